# SPDX-License-Identifier: Apache-2.0
"""Saying which cell instances are mapped to."""

import argparse
from collections.abc import Iterator
import contextlib
import io
import pathlib
import sys
from typing import IO, TYPE_CHECKING, Any

from nova_cellmap import exception
from nova_cellmap import uuids
from nova_cellmap.cli import base
from nova_cellmap.cli import changing
from nova_cellmap.cli import progress
from nova_cellmap.text import shown

if TYPE_CHECKING:
    from nova_cellmap.upkeep.moves import Move

_COUNTS = ('moved', 'existing', 'not_there', 'elsewhere', 'unmapped')


class ResolveDuplicate(base.ShowOne):
    """Map an instance that is live in two cells to the one that is right.

    Only the mapping is written, and only where it is still as it was read; it then says what
    the row in that cell says. No cell is ever written to: the row in the other one stays, and
    the audit goes on to call the instance a duplicate, until Nova's operator removes it.
    """

    examples = (
        'nova-cellmap-manage cell_v2 resolve_duplicate \\',
        '    74f0b3a6-c576-4930-a749-35624f38b6bc --keep cell2',
    )
    exit_statuses = {
        0: 'it is mapped to that cell, or was already',
        1: 'it has no mapping',
        2: 'another writer changed the mapping meanwhile: look at it again',
        4: 'that cell has no row of it, or a hidden or a deleted one; nothing was changed',
        5: 'that cell cannot be read',
        base.Status.NO_INPUT: 'there is no such cell',
    }
    statuses = {
        exception.InstanceMappingNotFound: 1,
        exception.InstanceMappingConflict: 2,
        exception.InstanceNotInCell: 4,
        exception.CellError: 5,
    }
    columns = ('instance_uuid', 'cell_uuid', 'cell_name', 'previous_cell_uuid', 'changed')

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('uuid', metavar='UUID', help='The uuid of the instance.')
        parser.add_argument(
            '--keep',
            metavar='CELL',
            required=True,
            help='The uuid or the name of the cell whose row is the right one.',
        )
        changing.add_journal(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        from nova_cellmap.upkeep import moves
        from nova_cellmap.upkeep import registration

        context = self.context
        cell = registration.get_cell(context, parsed_args.keep)
        journal = changing.journal(self.conf, parsed_args.journal)
        kept = moves.keep(context, parsed_args.uuid, cell, journal=journal)
        changing.tell_journal(self, journal)
        return self.columns, (
            kept.uuid,
            cell.uuid,
            cell.name,
            kept.previous_cell_uuid,
            bool(kept.changed),
        )


class MoveMappings(base.ShowOne):
    """Map the instances of a cell to another one, whose database has them now.

    For a cell's database that was split, merged into another or given to another cell. Only
    mappings are written, batch by batch, and only those that are still in the first cell. A run
    that was stopped or killed is begun again, and goes on where it was.
    """

    examples = (
        '# what would be moved, of what is in the other cell indeed:',
        'nova-cellmap-manage cell_v2 move_mappings --from cell1 --to cell2 --verify --dry-run',
        'nova-cellmap-manage cell_v2 move_mappings --from cell1 --to cell2 --verify',
        'nova-cellmap-manage cell_v2 move_mappings --from cell1 --to cell2 --uuids moved.txt',
    )
    exit_statuses = {
        0: 'all are mapped to the other cell',
        1: 'some are left as they are: standard error names them',
        base.Status.USAGE: 'a number or a uuid is none, or both cells are one',
        base.Status.NO_INPUT: 'there is no such cell or file',
        base.Status.UNAVAILABLE: 'the other cell cannot be read, with --verify',
    }
    columns = ('from_cell_uuid', 'to_cell_uuid', *_COUNTS, 'dry_run')

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--from',
            dest='source',
            metavar='CELL',
            required=True,
            help='The uuid or the name of the cell that they are mapped to.',
        )
        parser.add_argument(
            '--to',
            dest='target',
            metavar='CELL',
            required=True,
            help='The uuid or the name of the cell that they are to be mapped to.',
        )
        parser.add_argument(
            '--uuids',
            metavar='FILE',
            help='Only the instances in this file, a uuid a line; - for standard input. All of '
            'the cell by default.',
        )
        parser.add_argument(
            '--verify',
            action='store_true',
            help="Read the other cell's database, and leave the instances of which it has no row, "
            'or a hidden one.',
        )
        changing.add_journal(parser)
        parser.add_argument(
            '--dry-run', action='store_true', help='Write nothing; count what would be moved.'
        )
        parser.add_argument(
            '--batch-size',
            metavar='N',
            help='Move N mappings at a time; 1000 by default, at most 100,000.',
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        size = base.positive('--batch-size', parsed_args.batch_size, most=base.MOST_AT_ONCE)
        wanted = None if parsed_args.uuids is None else _uuids(parsed_args.uuids)

        from nova_cellmap.upkeep import moves
        from nova_cellmap.upkeep import registration

        context = self.context
        source = registration.get_cell(context, parsed_args.source)
        target = registration.get_cell(context, parsed_args.target)
        journal = None
        if not parsed_args.dry_run:
            journal = changing.journal(self.conf, parsed_args.journal)
        what = f'Moving {source.name or source.uuid} to {target.name or target.uuid}'
        with progress.shown(what, self.app.stderr, self.app.is_quiet) as report:

            def on_batch(move: 'Move') -> None:
                report(move.looked_at, max(move.total, move.looked_at), move.looked_at)

            move = moves.move_mappings(
                context,
                source,
                target,
                uuids=wanted,
                verify=parsed_args.verify,
                dry_run=parsed_args.dry_run,
                batch_size=size or moves.BATCH_SIZE,
                journal=journal,
                on_batch=on_batch,
            )
        changing.tell_journal(self, journal)
        self.status = 1 if move.left else 0
        counts = [getattr(move, name) for name in _COUNTS]
        return self.columns, (source.uuid, target.uuid, *counts, parsed_args.dry_run)


def _uuids(name: str) -> list[str]:
    """The uuids in a file, of lines that are neither blank nor comments.

    :raises: CommandError
    """
    found = []
    with _opened(name) as file:
        for number, data in enumerate(file, 1):
            text = data.decode('utf-8', 'replace').strip()
            if not text or text.startswith('#'):
                continue
            uuid = uuids.canonical(text)
            if uuid is None:
                raise base.CommandError(
                    f'--uuids {name}, line {number}: {shown(text)} is no uuid.'
                )
            found.append(uuid)
    return found


@contextlib.contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    try:
        if name == '-':
            yield io.BytesIO() if sys.stdin is None else sys.stdin.buffer
        else:
            with pathlib.Path(name).open('rb') as file:
                yield file
    except FileNotFoundError:
        raise base.CommandError(
            f'--uuids {name}: there is no such file.', base.Status.NO_INPUT
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, 'strerror', None) or error
        raise base.CommandError(f'--uuids {name}: {why}.') from None
