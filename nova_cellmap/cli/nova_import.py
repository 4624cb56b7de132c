# SPDX-License-Identifier: Apache-2.0
"""Nova's own API database: take it over."""

import argparse
from typing import Any

from nova_cellmap.cli import base
from nova_cellmap.cli import progress
from nova_cellmap.cli import run as cli_run
from nova_cellmap.cli import urls


class ImportNova(base.ShowOne):
    """Copy the cells and the instance mappings of Nova's own API database.

    Nova's database is only read. What is here already is left as it is. A cell that
    is here with another name or URL is a conflict, one whose name or database is another
    cell's too, and so is a mapping to another cell. A run that was stopped or
    killed goes on where it was; nothing is lost or done twice.
    """

    examples = (
        'nova-cellmap-manage cell_v2 import_nova \\',
        '    --connection-file /etc/nova-cellmap/nova-api-url',
        '# at most 50,000 mappings a run, until all are copied:',
        'until nova-cellmap-manage cell_v2 import_nova --connection-env URL \\',
        '    --max-count 50000; do [ $? -eq 1 ] || break; done',
    )
    exit_statuses = {
        0: 'all cells and mappings of Nova stand here',
        1: 'there are more mappings to copy: run it again',
        2: 'all were read, and some stand otherwise or could not be copied',
        base.Status.USAGE: 'the URL is wrong, or a number is not a positive one',
        base.Status.NO_INPUT: 'there is no such file or variable with the URL',
        base.Status.UNAVAILABLE: 'the database cannot be read, or is not a Nova API database',
    }
    tells_database = True
    columns = (
        'cells_created',
        'cells_existing',
        'cell_conflicts',
        'created',
        'existing',
        'conflicts',
        'invalid_rows',
        'all_done',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        urls.add(
            parser,
            '--connection',
            dest='connection',
            required=True,
            help="The SQLAlchemy URL of Nova's API database: [api_database] connection of its "
            'nova.conf. It may be a replica.',
        )
        cli_run.add_options(parser, 'mapping')
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        options = cli_run.options(parsed_args)
        connection = urls.given(parsed_args, 'connection', '--connection')
        assert connection is not None

        from nova_cellmap.upkeep import nova_import

        context = self.context
        with progress.shown('Importing', self.app.stderr, self.app.is_quiet) as report:
            run = nova_import.import_nova(
                context,
                connection,
                **options,
                on_batch=cli_run.telling(report),
            )
        self.status = cli_run.status_of(run, run.conflicts + run.cell_conflicts)
        return (
            self.columns,
            (
                run.cells_created,
                run.cells_existing,
                run.cell_conflicts,
                run.created,
                run.existing,
                run.conflicts,
                run.invalid,
                run.done,
            ),
        )
