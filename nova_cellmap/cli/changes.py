# SPDX-License-Identifier: Apache-2.0
"""Changes that are planned, and that were made: applying, taking back, telling of them."""

import argparse
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nova_cellmap import exception
from nova_cellmap import uuids
from nova_cellmap.cli import base
from nova_cellmap.cli import changing
from nova_cellmap.cli import durations
from nova_cellmap.cli import formats
from nova_cellmap.cli import progress

if TYPE_CHECKING:
    from nova_cellmap.upkeep.applying import Applied
    from nova_cellmap.upkeep.change_files import Entry
    from nova_cellmap.upkeep.reverting import Reverted


class Apply(base.ShowOne):
    """Make the changes that an audit has planned, as far as they still hold.

    Takes what audit --plan has written, or some lines of it. Each instance is looked at
    again: a change is made only where the mapping is as it was, and the cells say the same.
    Every other one is named on standard error, and left. It may be killed and run again at
    any time.
    """

    examples = (
        'nova-cellmap-manage cell_v2 apply plan.jsonl',
        '# only some of them:',
        'grep \'"wrong_cell"\' plan.jsonl > part.jsonl',
        'nova-cellmap-manage cell_v2 apply part.jsonl --max-changes 5%',
        '# what the journals tell of, where the mapping was restored from a backup:',
        'nova-cellmap-manage cell_v2 apply nova_cellmap_journal.jsonl',
    )
    exit_statuses = {
        0: 'all are made',
        1: 'some do not hold any more, and are left',
        2: 'a cell could not be read; what has to do with it is left',
        3: 'nothing was changed: there are more than --max-changes; or a cell is empty and many '
        'mappings name it, and mappings were to be removed',
        base.Status.USAGE: 'a line of the file is no change, or a value is none',
        base.Status.NO_INPUT: 'there is no such file',
        base.Status.UNAVAILABLE: 'the journal cannot be written, or the database is not there',
    }
    statuses = {exception.PurgeRefused: 3, exception.ChangesRefused: 3}
    tells_database = True
    columns = ('changes', 'made', 'left', 'journal')

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'files',
            metavar='FILE',
            nargs='+',
            help='A plan. It may be a journal: of several, the oldest first.',
        )
        changing.add_limit(parser, 'Change nothing where there are more than N, or P%% of all')
        changing.add_journal(parser)
        parser.add_argument(
            '--min-age',
            metavar='TIME',
            default=durations.MIN_AGE,
            help='Leave what was changed later, in its cell or in the mapping: it may be in '
            f'flight; {durations.MIN_AGE} by default.',
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        max_changes = changing.most_changes(parsed_args.max_changes)
        min_age = durations.duration('--min-age', parsed_args.min_age)

        from nova_cellmap.objects import CellMappingList
        from nova_cellmap.upkeep import age
        from nova_cellmap.upkeep import applying

        context = self.context
        journal = changing.journal(self.conf, parsed_args.journal)
        with progress.shown('Applying', self.app.stderr, self.app.is_quiet) as report:

            def on_batch(applied: 'Applied') -> None:
                report(applied.looked_at, applied.total, applied.looked_at)

            applied = applying.apply(
                context,
                CellMappingList.get_all(context),
                parsed_args.files,
                journal=journal,
                patience=age.Patience(min_age),
                most_changes=max_changes,
                on_batch=on_batch,
            )
        for error in applied.errors.values():
            self.say(str(error))
        self.status = 2 if applied.errors else 1 if applied.left else 0
        return self.columns, (applied.total, applied.made, applied.left, str(journal.path))


class Revert(base.ShowOne):
    """Take back changes that are in a journal, the newest first.

    The mapping becomes again what it was, where nobody has changed it since; the rest is
    named on standard error, and left. No cell is ever written to. FILE.1 to FILE.9, the
    journals before it, are read too. It may be killed and run again at any time.
    """

    examples = (
        '# what the last night has done:',
        'nova-cellmap-manage cell_v2 revert /var/lib/nova-cellmap/nova_cellmap_journal.jsonl \\',
        '    --since 12h',
        'nova-cellmap-manage cell_v2 revert nova_cellmap_journal.jsonl --instance UUID',
    )
    exit_statuses = {
        0: 'all are taken back',
        1: 'others have changed some of the mappings since, which are left',
        3: 'nothing was changed: there are more than --max-changes',
        base.Status.USAGE: 'a line of the journal is none, or a value is none',
        base.Status.NO_INPUT: 'there is no such file',
        base.Status.UNAVAILABLE: 'the journal cannot be written, or the database is not there',
    }
    statuses = {exception.ChangesRefused: 3}
    tells_database = True
    columns = ('changes', 'reverted', 'left', 'unmade', 'journal')

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('file', metavar='FILE', help='The journal.')
        parser.add_argument(
            '--since',
            metavar='TIME',
            help='Only what was done then or later: 2026-11-30T22:00 (UTC), or so long ago: 90s, '
            '15m, 12h, 1d. All by default.',
        )
        changing.add_instances(parser, 'Only what was done to this instance')
        changing.add_limit(parser, 'Change nothing where more than N, or P%% of all, would be')
        changing.add_journal(parser, 'Journal of each change, which may be the same')
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        max_changes = changing.most_changes(parsed_args.max_changes)
        instances = changing.instances(parsed_args.instance)
        since = None
        if parsed_args.since is not None:
            since = durations.moment('--since', parsed_args.since)

        from nova_cellmap.upkeep import change_files
        from nova_cellmap.upkeep import journal as journals
        from nova_cellmap.upkeep import reverting

        context = self.context
        # Before one is made there, where the two are the same.
        change_files.check_there(journals.files(parsed_args.file))
        journal = changing.journal(self.conf, parsed_args.journal)
        with progress.shown('Taking back', self.app.stderr, self.app.is_quiet) as report:

            def on_batch(reverted: 'Reverted') -> None:
                report(reverted.looked_at, reverted.total, reverted.looked_at)

            reverted = reverting.revert(
                context,
                parsed_args.file,
                since=since,
                instances={*instances},
                journal=journal,
                most_changes=max_changes,
                on_batch=on_batch,
            )
        self.status = 1 if reverted.left else 0
        return self.columns, (
            reverted.total,
            reverted.reverted,
            reverted.left,
            reverted.unmade,
            str(journal.path),
        )


class History(base.Lister):
    """Tell what was changed of the mapping of an instance, by the journals.

    Prints a row for each change, the oldest first: when, what was wrong, what the mapping
    said, what it says since, why, and what became of it: made; not made, with the reason; or
    unknown, where the run was killed. It asks no database.
    """

    examples = (
        'nova-cellmap-manage cell_v2 history 74f0b3a6-c576-4930-a749-35624f38b6bc',
        'nova-cellmap-manage cell_v2 history UUID -f json',
    )
    exit_statuses = {
        0: 'there is something of it in the journals',
        1: 'there is nothing',
        base.Status.USAGE: 'a line of a journal is none',
        base.Status.NO_INPUT: 'there is no such journal',
    }
    columns = ('when', 'problems', 'before', 'after', 'why', 'outcome')

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('uuid', metavar='UUID', help='The uuid of the instance.')
        changing.add_journal(parser, 'Read this journal, and those before it')
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[Any]]:
        from nova_cellmap.upkeep import change_files
        from nova_cellmap.upkeep import journal

        # In the mapping there may be what is no uuid.
        uuid = uuids.canonical(parsed_args.uuid) or parsed_args.uuid
        path = parsed_args.journal or journal.path_of(self.conf)
        with change_files.ChangeFiles(
            journal.files(path),
            wanted=lambda change: change.instance_uuid == uuid,
            may_be_torn=True,
        ) as found:
            rows = [tuple(_row(entry)) for entry in found.entries()]
        self.status = 0 if rows else 1
        return self.columns, rows


def _row(entry: 'Entry') -> Iterator[Any]:
    change = entry.change
    yield f'{change.when.isoformat(timespec="seconds")}Z'
    yield formats.Nested([*change.problems], change.problems)
    yield _values(change.before)
    yield _values(change.after)
    yield change.why
    yield entry.why_not or entry.fate.name.lower()


def _values(values: Mapping[str, Any] | None) -> Any:
    if values is None:
        return None
    return formats.Nested({**values}, [f'{name}: {value}' for name, value in values.items()])
