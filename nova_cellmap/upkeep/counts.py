# SPDX-License-Identifier: Apache-2.0
"""How many mappings the cells and the projects of a cloud have."""

import dataclasses

from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api

_NO_CELL = 'no cell'


@dataclasses.dataclass
class Tally:
    """How many mappings there are, and how many of them are queued for delete."""

    mappings: int = 0
    queued_for_delete: int = 0

    @property
    def live(self) -> int:
        """How many are not queued for delete."""
        return self.mappings - self.queued_for_delete


@dataclasses.dataclass
class CellCount(Tally):
    """The mappings of a cell, or with ``uuid`` None those of no cell, of so many ``projects``."""

    uuid: str | None = None
    name: str | None = None
    projects: int = 0

    @property
    def label(self) -> str:
        """What to call it: its name, its uuid, or that it is none."""
        return self.name or self.uuid or _NO_CELL


@dataclasses.dataclass
class ProjectCount(Tally):
    """The mappings of a project; ``by_cell`` counts them by the cell's uuid, or None."""

    project_id: str = ''
    by_cell: dict[str | None, int] = dataclasses.field(default_factory=dict)

    @property
    def cells(self) -> int:
        """How many cells they are in."""
        return len(self.by_cell.keys() - {None})


@dataclasses.dataclass
class Counts:
    """All cells, and no cell, and all projects that have mappings; the largest come first."""

    cells: list[CellCount]
    projects: list[ProjectCount]


def count(context: RequestContext) -> Counts:
    """Count all mappings. Of queued for delete, NULL is no."""
    cells: dict[str | None, CellCount] = {None: CellCount()}
    for row in db_api.cell_mapping_get_all(context):
        cells[row['uuid']] = CellCount(uuid=row['uuid'], name=row['name'])
    projects: dict[str, ProjectCount] = {}
    pairs = db_api.instance_mapping_count_by_cell_and_project(context)
    for uuid, project_id, mappings, queued_for_delete in pairs:
        cell = cells.get(uuid)
        if cell is None:
            # It is new since the cells were read.
            cell = cells[uuid] = CellCount(uuid=uuid)
        project = projects.get(project_id)
        if project is None:
            project = projects[project_id] = ProjectCount(project_id=project_id)
        cell.projects += 1
        project.by_cell[uuid] = mappings
        cell.mappings += mappings
        project.mappings += mappings
        cell.queued_for_delete += queued_for_delete
        project.queued_for_delete += queued_for_delete
    return Counts(
        cells=sorted(cells.values(), key=lambda cell: (-cell.mappings, cell.label)),
        projects=sorted(projects.values(), key=_place),
    )


def _place(project: ProjectCount) -> tuple[int, str]:
    # SQLite keeps bytes in a column of text too.
    return -project.mappings, str(project.project_id)
