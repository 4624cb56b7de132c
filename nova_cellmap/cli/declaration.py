# SPDX-License-Identifier: Apache-2.0
"""Cells as a deployment tool declares them."""

import argparse
from typing import Any

from nova_cellmap import exception
from nova_cellmap.cli import base
from nova_cellmap.cli import cell as cell_commands
from nova_cellmap.cli import formats


class EnsureCell(base.ShowOne):
    """Have a cell be as it is declared: add it, or change what differs, or change nothing.

    Prints one JSON object: uuid, changed (true or false), and diff, which has of each field
    that is changed what it was before and is after. Secrets are compared, and masked where
    they are printed. What no option declares stays as it is, and a new cell has it as
    create_cell gives it. The name says which cell it is; that of cell0 is cell0.
    """

    examples = (
        'nova-cellmap-manage cell_v2 ensure_cell --name cell1 \\',
        '    --database_connection-file /etc/nova-cellmap/cell1-database \\',
        '    --transport-url-file /etc/nova-cellmap/cell1-queue',
        '# what that would change:',
        'nova-cellmap-manage cell_v2 ensure_cell --name cell1 --check \\',
        '    --database_connection-file /etc/nova-cellmap/cell1-database \\',
        '    --transport-url-file /etc/nova-cellmap/cell1-queue',
        'nova-cellmap-manage cell_v2 ensure_cell --name cell1 --disabled',
    )
    exit_statuses = {
        0: 'the cell is as it is declared; with --check, it is or can be',
        1: 'a URL is wrong or missing',
        2: "a URL is another cell's, or several cells have the name",
        5: 'cell0 cannot be disabled',
    }
    statuses = {
        exception.InvalidURL: 1,
        exception.CellMappingExists: 2,
        exception.CellNameNotUnique: 2,
        exception.Cell0CannotBeDisabled: 5,
    }
    columns = ('uuid', 'changed', 'diff')

    @property
    def formatter_default(self) -> str:
        return 'json'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('--name', metavar='NAME', required=True, help='The name of the cell.')
        cell_commands.add_urls(
            parser,
            "The SQLAlchemy URL of the cell's database; of a new cell [database] connection by "
            'default.',
            "The URL of the cell's message queue; of a new cell [DEFAULT] transport_url by "
            'default. none:/// for a cell without one.',
        )
        state = parser.add_mutually_exclusive_group()
        state.add_argument(
            '--disabled',
            action='store_true',
            default=None,
            help='Nothing is scheduled to the cell.',
        )
        state.add_argument(
            '--enabled',
            dest='disabled',
            action='store_false',
            help='Instances may be scheduled to the cell; so it is with a new one by default.',
        )
        parser.add_argument(
            '--check',
            action='store_true',
            help='Write nothing; print the same. A cell that would be new has no uuid yet: null.',
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        from nova_cellmap.upkeep import declaration

        outcome = declaration.ensure_cell(
            self.context,
            self.conf,
            parsed_args.name,
            **cell_commands.given_urls(parsed_args),
            disabled=parsed_args.disabled,
            check=parsed_args.check,
        ).as_dict()
        lines = [
            f'{field}: {each["before"]} -> {each["after"]}'
            for field, each in outcome['diff'].items()
        ]
        diff = formats.Nested(outcome['diff'], lines)
        return self.columns, (outcome['uuid'], outcome['changed'], diff)
