# SPDX-License-Identifier: Apache-2.0
"""The instances: map, verify, show, list."""

import argparse
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from nova_cellmap import exception
from nova_cellmap.cli import base
from nova_cellmap.cli import cell as cell_commands
from nova_cellmap.cli import progress
from nova_cellmap.cli import run as cli_run

if TYPE_CHECKING:
    from nova_cellmap.objects import InstanceMapping

# How many mappings list_instances reads at a time.
_PAGE = 1000
# The exit status of a number that is none, as Nova has it for map_instances alone.
_NO_NUMBER = 127

_MAPPING_COLUMNS = (
    'instance_uuid',
    'cell_uuid',
    'cell_name',
    'project_id',
    'user_id',
    'queued_for_delete',
)


def _mapping_values(mapping: 'InstanceMapping') -> tuple[Any, ...]:
    cell = mapping.cell_mapping
    return (
        mapping.instance_uuid,
        mapping.cell_uuid,
        None if cell is None else cell.name,
        mapping.project_id,
        mapping.user_id if 'user_id' in mapping else None,
        mapping.queued_for_delete,
    )


class MapInstances(base.ShowOne):
    """Map the instances of a cell to it, from the cell's own database.

    What is mapped already is left as it is; deleted instances are mapped as queued
    for delete; hidden rows, the other half of a move, are left out. A run that was
    stopped or killed goes on where it was; nothing is lost or done twice.
    """

    examples = (
        'nova-cellmap-manage cell_v2 map_instances --cell_uuid cell1',
        '# at most 50,000 instances a run, until all are mapped:',
        'until nova-cellmap-manage cell_v2 map_instances --cell_uuid cell1 \\',
        '    --max-count 50000; do [ $? -eq 1 ] || break; done',
    )
    exit_statuses = {
        0: 'all instances of the cell are mapped to it',
        1: 'there are more to map: run it again',
        2: 'all were read, and some are mapped to another cell, or of some rows no mapping can be '
        'made: standard error names them',
        base.Status.NO_INPUT: 'there is no such cell',
        _NO_NUMBER: 'a number is not a positive one',
    }
    columns = (
        'cell_uuid',
        'cell_name',
        'created',
        'existing',
        'conflicts',
        'invalid_rows',
        'hidden',
        'all_done',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        cell_commands.add_cell(parser, verb=' whose instances are mapped')
        cli_run.add_options(parser, 'instance')
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        options = cli_run.options(parsed_args, _NO_NUMBER)

        from nova_cellmap.upkeep import mapping
        from nova_cellmap.upkeep import registration

        context = self.context
        cell = registration.get_cell(context, parsed_args.cell)
        what = f'Mapping {cell.name or cell.uuid}'
        with progress.shown(what, self.app.stderr, self.app.is_quiet) as report:
            run = mapping.map_instances(
                context,
                cell,
                **options,
                on_batch=cli_run.telling(report),
            )
        self.status = cli_run.status_of(run, run.conflicts)
        return (
            self.columns,
            (
                cell.uuid,
                cell.name,
                run.created,
                run.existing,
                run.conflicts,
                run.invalid,
                run.hidden,
                run.done,
            ),
        )


class VerifyInstance(base.Command):
    """Tell whether an instance is mapped to a cell and is there."""

    examples = (
        'nova-cellmap-manage cell_v2 verify_instance \\',
        '    --uuid 74f0b3a6-c576-4930-a749-35624f38b6bc',
    )
    exit_statuses = {
        0: 'it is mapped, and its cell has it',
        1: 'it has no mapping',
        2: 'it is mapped to no cell yet',
        3: 'it is mapped, and deleted in its cell',
        4: 'it is mapped, and gone from its cell',
        5: 'it is mapped, and its cell cannot be read',
    }
    statuses = {
        exception.InstanceMappingNotFound: 1,
        exception.CellUnreachable: 5,
        exception.NotACellDatabase: 5,
        exception.InvalidCellRow: 5,
    }

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--uuid', metavar='UUID', required=True, help='The uuid of the instance.'
        )
        parser.add_argument(
            '--quiet', action='store_true', help='Print no verdict; the exit status tells it.'
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from nova_cellmap.cells import lookup
        from nova_cellmap.objects import InstanceMapping

        try:
            found = lookup.find_instance(
                self.context, InstanceMapping.get_by_instance_uuid(self.context, parsed_args.uuid)
            )
        except tuple(self.statuses) as error:
            if not self.app.is_quiet:
                raise
            # A verdict too.
            self.status = base.status_of(error, self.statuses)
            return
        self.status, words = _verdict(found)
        if not self.app.is_quiet:
            self.answer(f'Instance {found.mapping.instance_uuid} {words}')


def _verdict(found: Any) -> tuple[int, str]:
    cell = found.mapping.cell_mapping
    if cell is None:
        return 2, 'is mapped to no cell yet: it is being built, or its build failed early.'
    if found.instance is None:
        return 4, f'is mapped to cell {cell.identity}, which does not have it any more.'
    if found.instance.deleted:
        return 3, f'is mapped to cell {cell.identity}, and deleted there.'
    return 0, f'is in cell {cell.identity}.'


class ShowInstance(base.ShowOne):
    """Show the mapping of an instance, its cell, and the instance as its cell knows it."""

    examples = (
        'nova-cellmap-manage cell_v2 show_instance 74f0b3a6-c576-4930-a749-35624f38b6bc',
        'nova-cellmap-manage cell_v2 show_instance UUID -f value -c cell_name',
    )
    exit_statuses = {
        1: 'it has no mapping',
        2: 'it is mapped to no cell yet',
        4: 'it is gone from its cell',
        5: 'its cell cannot be read',
    }
    statuses = {exception.InstanceMappingNotFound: 1}

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('uuid', metavar='UUID', help='The uuid of the instance.')
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        from nova_cellmap.cells import lookup
        from nova_cellmap.objects import InstanceMapping

        context = self.context
        mapping = InstanceMapping.get_by_instance_uuid(context, parsed_args.uuid)
        try:
            found = lookup.find_instance(context, mapping)
            self.status, words = _verdict(found)
        except exception.CellError as error:
            found = lookup.Found(mapping)
            self.status, words = 5, f'is mapped, but: {error}'
        if self.status == 3:
            # Deleted is what the cell knows of it, and no failure to find it.
            self.status = 0
        if self.status:
            self.say(f'Instance {mapping.instance_uuid} {words}')
        # As text: json and yaml have no word for a time.
        details = {
            name: None if value is None else str(value)
            for name, value in found.details.items()
            if name != 'uuid'
        }
        return (*_MAPPING_COLUMNS, *details), (*_mapping_values(mapping), *details.values())


class ListInstances(base.Lister):
    """List mappings, oldest first."""

    examples = (
        'nova-cellmap-manage cell_v2 list_instances --project a64fadafa3e5493693b64b22ba0fbc6c',
        'nova-cellmap-manage cell_v2 list_instances --cell cell1 --limit 100 -f json',
        'nova-cellmap-manage cell_v2 list_instances --limit 100 --marker LAST_UUID_OF_THE_PAGE',
    )
    exit_statuses = {
        base.Status.USAGE: 'the limit is not a positive number',
        base.Status.NO_INPUT: 'there is no such cell, or the marker is not listed',
    }

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('--project', metavar='ID', help='Only those of this project.')
        cell_commands.add_cell(parser, required=False, verb=' that they are mapped to')
        parser.add_argument('--limit', metavar='N', help='At most N of them; all by default.')
        parser.add_argument(
            '--marker', metavar='UUID', help='Begin after this instance, the last one seen.'
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[Any]]:
        limit = base.positive('--limit', parsed_args.limit)

        from nova_cellmap.upkeep import registration

        context = self.context
        cell_uuid = None
        if parsed_args.cell is not None:
            cell_uuid = registration.get_cell(context, parsed_args.cell).uuid
        mappings = _pages(context, parsed_args.project, cell_uuid, limit, parsed_args.marker)
        return _MAPPING_COLUMNS, map(_mapping_values, mappings)


def _pages(
    context: Any, project: str | None, cell_uuid: str | None, limit: int | None, marker: str | None
) -> Iterator['InstanceMapping']:
    from nova_cellmap.objects import InstanceMappingList

    while limit is None or limit > 0:
        size = _PAGE if limit is None else min(_PAGE, limit)
        page = InstanceMappingList.get_all(
            context, project_id=project, cell_uuid=cell_uuid, limit=size, marker=marker
        )
        yield from page
        if len(page) < size:
            return
        marker = page[-1].instance_uuid
        limit = None if limit is None else limit - size
