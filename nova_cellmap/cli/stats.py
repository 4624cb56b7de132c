# SPDX-License-Identifier: Apache-2.0
"""How many mappings there are, by cell and by project."""

import argparse
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nova_cellmap.cli import base
from nova_cellmap.cli import plot

if TYPE_CHECKING:
    from nova_cellmap.upkeep.counts import Counts

# How many projects are drawn where no limit is given.
_DRAWN_PROJECTS = 15


class Stats(base.Lister):
    """Count the mappings of the whole cloud, by cell or by project.

    The largest come first. What is queued for delete is counted apart; all else is live.
    Only the mapping is read: no cell has to be up.
    """

    examples = (
        'nova-cellmap-manage cell_v2 stats',
        'nova-cellmap-manage cell_v2 stats --by project --limit 20 -f json',
        'nova-cellmap-manage cell_v2 stats --plot cloud.png',
    )
    exit_statuses = {
        base.Status.USAGE: 'the limit is not a positive number, or no picture can be made there, '
        'or not without matplotlib, which is not installed',
    }

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--by',
            choices=('cell', 'project'),
            default='cell',
            metavar='cell|project',
            help='A row for each cell, or for each project; cell by default.',
        )
        parser.add_argument('--limit', metavar='N', help='Only the N largest; all by default.')
        parser.add_argument(
            '--plot',
            metavar='FILE',
            help='Also draw the cells, and the largest projects, N or '
            f'{_DRAWN_PROJECTS} of them, to a .png, .svg or .pdf file. Needs matplotlib.',
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[Any]]:
        limit = base.positive('--limit', parsed_args.limit)
        if parsed_args.plot is not None:
            plot.check(parsed_args.plot)

        from nova_cellmap.upkeep import counts

        counted = counts.count(self.context)
        if parsed_args.plot is not None:
            _draw(parsed_args.plot, counted, limit or _DRAWN_PROJECTS)
            self.say(f'Drawn to {parsed_args.plot}.')
        if parsed_args.by == 'project':
            return _by_project(counted, limit)
        return _by_cell(counted, limit)


def _by_cell(
    counted: 'Counts', limit: int | None
) -> tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]:
    return ('name', 'uuid', 'mappings', 'live', 'queued_for_delete', 'projects'), (
        (
            cell.label if cell.uuid is None else cell.name,
            cell.uuid,
            cell.mappings,
            cell.live,
            cell.queued_for_delete,
            cell.projects,
        )
        for cell in counted.cells[:limit]
    )


def _by_project(
    counted: 'Counts', limit: int | None
) -> tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]:
    return ('project_id', 'mappings', 'live', 'queued_for_delete', 'cells'), (
        (
            project.project_id,
            project.mappings,
            project.live,
            project.queued_for_delete,
            project.cells,
        )
        for project in counted.projects[:limit]
    )


def _draw(path: str, counted: 'Counts', limit: int) -> None:
    labels = {cell.uuid: cell.label for cell in counted.cells}
    projects = []
    for project in counted.projects[:limit]:
        cells: Counter[str] = Counter()
        for uuid, number in project.by_cell.items():
            cells[labels[uuid]] += number
        projects.append(plot.ProjectBar(project.project_id, cells))
    bars = [plot.CellBar(cell.label, cell.live, cell.queued_for_delete) for cell in counted.cells]
    plot.draw(path, bars, projects)
