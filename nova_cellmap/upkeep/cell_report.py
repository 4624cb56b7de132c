# SPDX-License-Identifier: Apache-2.0
"""What an audit tells of one cell."""

from collections import Counter
import dataclasses
import enum
from typing import Protocol

from nova_cellmap.objects.cell_mapping import CellMapping


class Counted(Protocol):
    """A problem, so far as a report has to know."""

    @property
    def kind(self) -> enum.StrEnum: ...

    @property
    def repaired(self) -> bool: ...


@dataclasses.dataclass
class CellReport:
    """What a run has seen of a cell.

    ``instances`` is how many of the cell's rows were read, of instances or of hosts, and
    ``mappings`` how many of the mapping name it; ``found`` and ``repaired`` count the problems by
    kind. ``in_flight`` counts what differs because Nova is at work on it: that is no problem, and
    left alone.
    """

    cell: CellMapping
    instances: int = 0
    mappings: int = 0
    found: Counter[enum.StrEnum] = dataclasses.field(default_factory=Counter)
    repaired: Counter[enum.StrEnum] = dataclasses.field(default_factory=Counter)
    in_flight: int = 0

    @property
    def left(self) -> int:
        """How many problems it still has."""
        return self.found.total() - self.repaired.total()

    def count(self, problem: Counted) -> None:
        self.found[problem.kind] += 1
        self.repaired[problem.kind] += problem.repaired
