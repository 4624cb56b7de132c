# SPDX-License-Identifier: Apache-2.0
"""What the commands share that change many mappings: their limit, and their journal."""

import argparse
from collections.abc import Sequence
import re
from typing import TYPE_CHECKING

from nova_cellmap import uuids
from nova_cellmap.cli import base

if TYPE_CHECKING:
    from oslo_config import cfg

    from nova_cellmap.upkeep import limits
    from nova_cellmap.upkeep.journal import Journal


def add_limit(parser: argparse.ArgumentParser, what: str) -> None:
    """The option --max-changes; *what* it does ends without a stop."""
    parser.add_argument(
        '--max-changes', metavar='N|P%', help=f'{what}; 1%% by default, but at least 100.'
    )


def most_changes(text: str | None) -> 'limits.MostChanges':
    """What --max-changes gives.

    :raises: CommandError
    """
    from nova_cellmap.upkeep import limits

    if text is None:
        return limits.DEFAULT
    found = re.fullmatch('([0-9]{1,18})|([0-9]{1,3}(?:[.][0-9]{1,6})?)%', text)
    if found is None or float(found[2] or 0) > 100:
        raise base.CommandError(
            f'--max-changes must be a number, or a percentage of at most 100%, not {text!r}.'
        )
    return limits.MostChanges(int(found[1] or 0), float(found[2] or 0))


def add_instances(parser: argparse.ArgumentParser, what: str) -> None:
    """The option --instance; *what* it does ends without a stop."""
    parser.add_argument(
        '--instance',
        metavar='UUID',
        action='append',
        default=[],
        help=f'{what}; may be repeated.',
    )


def instances(texts: Sequence[str]) -> list[str]:
    """What --instance gives, each once.

    :raises: CommandError
    """
    found = {text: uuids.canonical(text) for text in texts}
    for text, uuid in found.items():
        if uuid is None:
            raise base.CommandError(f'--instance must be a uuid, not {text!r}.')
    return list(dict.fromkeys(uuid for uuid in found.values() if uuid is not None))


def add_journal(parser: argparse.ArgumentParser, what: str = 'Journal of each change') -> None:
    """The option --journal."""
    parser.add_argument(
        '--journal',
        metavar='FILE',
        help=f'{what}; by default nova_cellmap_journal.jsonl under [DEFAULT] state_path.',
    )


def journal(conf: 'cfg.ConfigOpts', path: str | None) -> 'Journal':
    """The journal that --journal gives, which can be written.

    :raises: JournalUnwritable
    """
    from nova_cellmap.upkeep import journal as journals

    opened = journals.Journal(journals.path_of(conf) if path is None else path)
    opened.check()
    return opened


def tell_journal(command: base.Command, journal: 'Journal | None') -> None:
    """Say where the changes are written down, if there are any."""
    if journal is not None and journal.changes:
        command.say(f'The changes are in the journal, {journal.path}.')
