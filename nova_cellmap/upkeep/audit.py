# SPDX-License-Identifier: Apache-2.0
"""Comparing the mapping with what the cells have, and repairing it.

The mapping and the instances of every cell are read side by side in the order of the
instances' uuids, a page of each at a time. What the two sides do not say alike is looked
at again, instance by instance, before it is called a problem: the sides were not read at
the same moment, and what differs may have been a build or a move.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from nova_cellmap import exception
from nova_cellmap.context import RequestContext
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.upkeep import empty_cells
from nova_cellmap.upkeep.age import Patience
from nova_cellmap.upkeep.case import Case
from nova_cellmap.upkeep.case import Problem
from nova_cellmap.upkeep.cell_report import CellReport
from nova_cellmap.upkeep.comparison import Comparison
from nova_cellmap.upkeep.judge import Judge
from nova_cellmap.upkeep.readers import Readers
from nova_cellmap.upkeep.repairs import Repairs

BATCH_SIZE = 1000

# How many instances are looked at again at a time, at most.
_MOST_SUSPECTS = 500


class Audit:
    """A run over the mapping and the cells.

    :param cells: all cells of the cloud: an instance may be in any of them
    :param only: look for the problems of this cell alone
    :param repair: repair what can be told from the cells: all but the orphaned and the duplicate
    :param purge: remove the orphaned
    :param batch_size: how many rows of each side are read at a time
    :param sleep: seconds to rest after each batch
    :param patience: how long is waited for Nova
    :ivar reports: a CellReport by the uuid of each cell that is looked at; complete once
        :meth:`problems` has come to its end
    """

    def __init__(
        self,
        context: RequestContext,
        cells: Iterable[CellMapping],
        *,
        only: CellMapping | None = None,
        repair: bool = False,
        purge: bool = False,
        batch_size: int = BATCH_SIZE,
        sleep: float = 0,
        patience: Patience | None = None,
    ) -> None:
        self._context = context
        self._readers = Readers(context, cells)
        self._judge = Judge(context, self._readers, patience or Patience())
        self._repairs = Repairs(context, repair=repair, purge=purge)
        self._purge = purge
        self._size = min(batch_size, _MOST_SUSPECTS)
        looked_at = self._readers.cells.values() if only is None else [only]
        self.reports = {cell.uuid: CellReport(cell) for cell in looked_at}
        self._only = only
        self._comparison = Comparison(
            context, self._readers, self.reports, batch_size=batch_size, sleep=sleep
        )
        # The instances that are looked at on their own account, and what was told of them: where
        # the mapping comes to them it is not told again.
        self._odd: set[str] = set()
        self._told: set[tuple[str, str, str]] = set()

    @property
    def instances(self) -> int:
        """How many instances have been compared."""
        return sum(report.instances for report in self.reports.values())

    @property
    def errors(self) -> dict[str, exception.CellError]:
        """Why a cell could not be read, by its uuid."""
        return self._readers.errors

    def problems(self, on_batch: Callable[[float], None] = lambda part: None) -> Iterator[Problem]:
        """Each problem as it is found, and repaired if it is to be.

        A cell that cannot be read is noted in ``errors``, and from there on no mapping is
        called orphaned.

        :raises: PurgeRefused, before anything is changed, where *purge* was given and a cell
            that many mappings name has no instances at all
        :param on_batch: called after each batch with the part of all uuids that is done, 0 to 1
        """
        with self._readers:
            if self._purge:
                empty_cells.check(self._context, self._readers.all())
            suspects: list[str] = []
            for batch in self._comparison.batches(on_batch):
                yield from self._booked(batch.invalid)
                if batch.are_odd:
                    self._odd.update(batch.suspects)
                suspects += batch.suspects
                while len(suspects) >= self._size:
                    yield from self._deal_with(suspects[: self._size])
                    del suspects[: self._size]
            yield from self._deal_with(suspects)
        on_batch(1)

    def _deal_with(self, suspects: Sequence[str]) -> Sequence[Problem]:
        cases = self._cases(suspects)
        for case in cases:
            if case.is_in_flight:
                self._report(case.home).in_flight += 1
        problems = [
            problem for case in cases for problem in case.problems if self._is_new(problem)
        ]
        if problems and self._repairs.are_any:
            self._repairs.make(cases)
            left = {
                (problem.instance_uuid, problem.kind)
                for case in self._cases([case.uuid for case in cases])
                # What was written just now may be young.
                for problem in (*case.differences, *case.problems)
            }
            for problem in problems:
                problem.repaired = (problem.instance_uuid, problem.kind) not in left
        return self._booked(problems)

    def _cases(self, suspects: Sequence[str]) -> list[Case]:
        """What differs, of the cells that are looked at."""
        return [
            case
            for case in self._judge.cases(suspects)
            if not self.reports.keys().isdisjoint({case.named, *case.rows, *case.invalid})
        ]

    def _is_new(self, problem: Problem) -> bool:
        if problem.instance_uuid not in self._odd:
            return True
        what = problem.instance_uuid, problem.kind, problem.cell_uuid
        is_new = what not in self._told
        self._told.add(what)
        return is_new

    def _booked(self, problems: Sequence[Problem]) -> Sequence[Problem]:
        """Problems, counted as their cells'; where one cell is looked at, as that one's."""
        for problem in problems:
            self._report(problem.cell_uuid).count(problem)
        return problems

    def _report(self, cell_uuid: str) -> CellReport:
        uuid = cell_uuid if self._only is None else self._only.uuid
        if uuid not in self.reports:
            # It was added meanwhile.
            self.reports[uuid] = CellReport(self._readers.cells[uuid])
        return self.reports[uuid]
