# SPDX-License-Identifier: Apache-2.0
"""Which instances an audit looks at."""

from collections.abc import Sequence
import dataclasses

from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.upkeep.case import Case


@dataclasses.dataclass(frozen=True)
class Selection:
    """Those that have to do with this ``cell``, are of this ``project_id``, or are these
    ``instances`` alone; all, where nothing is said.

    Of a project are those that a cell says to be its, and those that the mapping does.
    """

    cell: CellMapping | None = None
    project_id: str | None = None
    instances: Sequence[str] = ()

    def __str__(self) -> str:
        """What tells it from another one."""
        cell = None if self.cell is None else self.cell.uuid
        return f'cell {cell}, project {self.project_id}, instances {sorted(self.instances)}'

    def has_project_of(self, case: Case) -> bool:
        """Whether a case is of the project; where nothing tells whose it is, it may be."""
        if self.project_id is None:
            return True
        projects = case.projects
        return not projects or self.project_id in projects
