# SPDX-License-Identifier: Apache-2.0
"""The cells: create, list, update, delete, cell0."""

import argparse
from collections.abc import Iterable
import json
from typing import Any

from nova_cellmap import exception
from nova_cellmap import url
from nova_cellmap.cli import base
from nova_cellmap.cli import urls


def add_cell(parser: argparse.ArgumentParser, required: bool = True, verb: str = '') -> None:
    """The option that names a cell."""
    parser.add_argument(
        '--cell_uuid',
        '--cell-uuid',
        '--cell',
        dest='cell',
        metavar='CELL',
        required=required,
        help=f'The uuid or the name of the cell{verb}.',
    )


def add_urls(parser: argparse.ArgumentParser, database: str, queue: str) -> None:
    """The options for the two URLs of a cell, with these helps."""
    _add_database(parser, database)
    urls.add(parser, '--transport-url', '--transport_url', dest='transport_url', help=queue)


def _add_database(parser: argparse.ArgumentParser, help: str) -> None:
    names = ('--database_connection', '--database-connection')
    urls.add(parser, *names, dest='database_connection', help=help)


def given_urls(parsed_args: argparse.Namespace) -> dict[str, str | None]:
    """The URLs, by field, None where one was not given."""
    options = {'database_connection': '--database_connection', 'transport_url': '--transport-url'}
    if parsed_args.database_connection_file == parsed_args.transport_url_file == '-':
        raise base.CommandError('Standard input can hold one of the URLs, not both.')
    return {field: urls.given(parsed_args, field, name) for field, name in options.items()}


class CreateCell(base.Command):
    """Add a cell and print its uuid.

    URLs may be templates such as
    mysql+pymysql://{username}:{password}@{hostname}:{port}/nova_cell1, filled from
    [database] connection and [DEFAULT] transport_url whenever the cell is used.
    """

    examples = (
        'nova-cellmap-manage cell_v2 create_cell --name cell1 \\',
        '    --database_connection mysql+pymysql://nova:secret@db1/nova_cell1 \\',
        '    --transport-url rabbit://nova:secret@mq1:5672/cell1',
        '# where nobody else on the machine is to see the passwords:',
        'nova-cellmap-manage cell_v2 create_cell --name cell1 \\',
        '    --database_connection-file /etc/nova-cellmap/cell1-database \\',
        '    --transport-url-file /etc/nova-cellmap/cell1-queue',
    )
    exit_statuses = {1: 'a URL is wrong or missing', 2: "the name or a URL is another cell's"}
    statuses = {exception.InvalidURL: 1, exception.CellMappingExists: 2}

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('--name', metavar='NAME', help='The name of the cell; must be unique.')
        add_urls(
            parser,
            "The SQLAlchemy URL of the cell's database; [database] connection by default.",
            "The URL of the cell's message queue; [DEFAULT] transport_url by default. "
            'none:/// for a cell without one.',
        )
        parser.add_argument(
            '--disabled', action='store_true', help='Nothing is scheduled to the cell yet.'
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from nova_cellmap.upkeep import registration

        cell = registration.create_cell(
            self.context,
            self.conf,
            name=parsed_args.name,
            **given_urls(parsed_args),
            disabled=parsed_args.disabled,
        )
        self.answer(cell.uuid)


class ListCells(base.Lister):
    """List the cells. Passwords are masked."""

    examples = (
        'nova-cellmap-manage cell_v2 list_cells',
        'nova-cellmap-manage cell_v2 list_cells -f value -c uuid',
    )

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[Any]]:
        from nova_cellmap.objects import CellMappingList

        return ('name', 'uuid', 'transport_url', 'database_connection', 'disabled'), (
            (
                cell.name,
                cell.uuid,
                url.mask(cell.transport_url),
                url.mask(cell.database_connection),
                cell.disabled,
            )
            for cell in CellMappingList.get_all(self.context)
        )


class UpdateCell(base.Command):
    """Change what is named of a cell, and nothing else.

    Running processes see it the next time they load the cell.
    """

    examples = (
        'nova-cellmap-manage cell_v2 update_cell --cell_uuid cell1 --name cell-east-1',
        'nova-cellmap-manage cell_v2 update_cell --cell_uuid cell1 --disable',
    )
    exit_statuses = {
        1: 'there is no such cell, or a URL is wrong',
        3: "the name or a URL is another cell's",
        4: 'both --enable and --disable were given',
        5: 'cell0 cannot be disabled',
    }
    statuses = {
        exception.CellMappingNotFound: 1,
        exception.InvalidURL: 1,
        exception.CellMappingExists: 3,
        exception.Cell0CannotBeDisabled: 5,
    }

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        add_cell(parser)
        parser.add_argument('--name', metavar='NAME', help='The new name; must be unique.')
        add_urls(
            parser,
            "The new SQLAlchemy URL of the cell's database.",
            "The new URL of the cell's message queue.",
        )
        parser.add_argument(
            '--enable', action='store_true', help='Instances may be scheduled to the cell.'
        )
        parser.add_argument(
            '--disable', action='store_true', help='Nothing is scheduled to the cell any more.'
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from nova_cellmap.upkeep import registration

        if parsed_args.enable and parsed_args.disable:
            raise base.CommandError('Give either --enable or --disable, not both.', 4)
        given = {'name': parsed_args.name, **given_urls(parsed_args)}
        changes: dict[str, Any] = {
            field: value for field, value in given.items() if value is not None
        }
        if parsed_args.enable or parsed_args.disable:
            changes['disabled'] = parsed_args.disable
        context = self.context
        cell = registration.get_cell(context, parsed_args.cell)
        different = registration.differences(context, cell, changes)
        registration.update_cell(context, self.conf, cell, **changes)
        self.say(_told(cell, different, changes))


def _told(cell: Any, different: dict[str, Any], changes: dict[str, Any]) -> str:
    """What became of the *changes* that were asked for."""
    changed = ', '.join(map(_word, different.items()))
    same = ', '.join(_word(item) for item in changes.items() if item[0] not in different)
    if not changed:
        why = f'it is so already ({same})' if same else 'no option says what'
        return f'Nothing changed of cell {cell.identity}: {why}.'
    return f'Changed cell {cell.identity}: {changed}.' + (f' As it was: {same}.' if same else '')


def _word(change: tuple[str, Any]) -> str:
    field, value = change
    return field if field != 'disabled' else 'disabled' if value else 'enabled'


class DeleteCell(base.Command):
    """Remove a cell that has no live instances left."""

    examples = (
        'nova-cellmap-manage cell_v2 delete_cell --cell_uuid cell1',
        'nova-cellmap-manage cell_v2 delete_cell --cell_uuid cell1 --force',
    )
    exit_statuses = {
        1: 'there is no such cell',
        2: "Nova has mapped hosts to it, in tables that are Nova's own",
        3: 'it has instances that are not deleted',
        4: 'mappings of deleted instances are left, and --force was not given',
        5: 'mappings are left, its database cannot be asked for live instances, and --unasked '
        'was not given',
    }
    statuses = {
        exception.CellMappingNotFound: 1,
        exception.CellHasHosts: 2,
        exception.CellHasInstances: 3,
        exception.CellHasMappings: 4,
        exception.CellMappingInUse: 4,
        exception.CellCannotBeAsked: 5,
    }

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        add_cell(parser)
        parser.add_argument(
            '--force',
            action='store_true',
            help='Remove the mappings of its deleted instances with it.',
        )
        parser.add_argument(
            '--unasked',
            action='store_true',
            help='Remove its mappings with it also where it has no database, or one that cannot '
            'be read: nobody can tell then whether they are of live instances. Where it can be '
            'read and has live ones, the cell is kept all the same.',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from nova_cellmap.upkeep import registration

        context = self.context
        cell = registration.get_cell(context, parsed_args.cell)
        removed = registration.delete_cell(
            context, cell, force=parsed_args.force, unasked=parsed_args.unasked
        )
        self.say(f'Removed cell {cell.identity} and {removed} mappings.')


class MapCell0(base.Command):
    """Add cell0, where the instances are that could not be scheduled.

    Where it is mapped already nothing is changed; with --ensure its database is.
    """

    examples = (
        'nova-cellmap-manage cell_v2 map_cell0',
        'nova-cellmap-manage cell_v2 map_cell0 \\',
        '    --database_connection mysql+pymysql://nova:secret@db/nova_cell0',
        '# for deployment tools, which want to know whether anything was changed:',
        'nova-cellmap-manage cell_v2 map_cell0 --ensure \\',
        '    --database_connection-file /etc/nova-cellmap/cell0-database',
    )
    exit_statuses = {
        0: 'success, also where it is mapped already',
        1: 'the URL is wrong or missing',
        2: "its name or database is another cell's",
    }
    statuses = {exception.InvalidURL: 1, exception.CellMappingExists: 2}

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        _add_database(
            parser,
            "The SQLAlchemy URL of cell0's database; by default [database] connection "
            "with _cell0 after the database's name.",
        )
        parser.add_argument(
            '--ensure',
            action='store_true',
            help='Have a cell0 that is mapped already be as it is given here, and print what was '
            'changed as JSON, like ensure_cell --name cell0.',
        )
        parser.add_argument(
            '--check',
            action='store_true',
            help='Write nothing; print what --ensure would.',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        from nova_cellmap.upkeep import declaration
        from nova_cellmap.upkeep import registration

        connection = urls.given(parsed_args, 'database_connection', '--database_connection')
        context = self.context
        if parsed_args.ensure or parsed_args.check:
            outcome = declaration.ensure_cell(
                context,
                self.conf,
                registration.CELL0_NAME,
                database_connection=connection,
                check=parsed_args.check,
            )
            self.answer(json.dumps(outcome.as_dict()))
            return
        cell, is_new = registration.map_cell0(context, self.conf, connection)
        self.say(f'Mapped {cell.identity}.' if is_new else f'{cell.identity} is mapped already.')
