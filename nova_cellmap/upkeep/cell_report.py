# SPDX-License-Identifier: Apache-2.0
"""What an audit tells of one cell."""

from collections import Counter
import dataclasses

from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.upkeep.case import Kind
from nova_cellmap.upkeep.case import Problem


@dataclasses.dataclass
class CellReport:
    """What a run has seen of a cell.

    ``instances`` is how many of the cell's rows were read, ``mappings`` how many of the mapping
    name it; ``found`` and ``repaired`` count the problems by kind. ``in_flight`` counts what
    differs because Nova is at work on it: that is no problem, and left alone.
    """

    cell: CellMapping
    instances: int = 0
    mappings: int = 0
    found: Counter[Kind] = dataclasses.field(default_factory=Counter)
    repaired: Counter[Kind] = dataclasses.field(default_factory=Counter)
    in_flight: int = 0

    @property
    def left(self) -> int:
        """How many problems it still has."""
        return self.found.total() - self.repaired.total()

    def count(self, problem: Problem) -> None:
        self.found[problem.kind] += 1
        self.repaired[problem.kind] += problem.repaired
