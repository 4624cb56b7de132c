# SPDX-License-Identifier: Apache-2.0
"""Comparing the mapping with what the cells have, and repairing it.

The mapping and the instances of every cell are read side by side in the order of the
instances' uuids, a page of each at a time. What the two sides do not say alike is looked
at again, instance by instance, before it is called a problem: the sides were not read at
the same moment, and what differs may have been a build or a move.

Nothing is changed until all is read: then it is known how much there is to change, and whether
that may be.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
import contextlib
import datetime
import logging
import time

from nova_cellmap import exception
from nova_cellmap.context import RequestContext
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.upkeep import empty_cells
from nova_cellmap.upkeep import limits
from nova_cellmap.upkeep.age import Patience
from nova_cellmap.upkeep.audit_place import AuditPlace
from nova_cellmap.upkeep.audit_place import is_place
from nova_cellmap.upkeep.case import Case
from nova_cellmap.upkeep.case import Problem
from nova_cellmap.upkeep.cell_report import CellReport
from nova_cellmap.upkeep.change import Change
from nova_cellmap.upkeep.changes import Changes
from nova_cellmap.upkeep.changing import Changer
from nova_cellmap.upkeep.comparison import Comparison
from nova_cellmap.upkeep.comparison import Differences
from nova_cellmap.upkeep.journal import Journal
from nova_cellmap.upkeep.judge import Judge
from nova_cellmap.upkeep.limits import Deadline
from nova_cellmap.upkeep.limits import MostChanges
from nova_cellmap.upkeep.readers import Readers
from nova_cellmap.upkeep.repairs import Repairs
from nova_cellmap.upkeep.selection import Selection

LOG = logging.getLogger(__name__)

BATCH_SIZE = 1000

# How many instances are looked at again at a time, at most.
_MOST_SUSPECTS = 500
# The part of a run that is over when all is read, where something may be changed.
_READ = 0.9


class Audit:
    """A run over the mapping and the cells.

    :param cells: all cells of the cloud: an instance may be in any of them
    :param only: look for the problems of this cell alone
    :param project_id: look at the instances of this project alone
    :param instances: look at these alone, by their uuids
    :param repair: repair what can be told from the cells: all but the orphaned and the duplicate
    :param purge: remove the orphaned
    :param batch_size: how many rows of each side are read at a time
    :param sleep: seconds to rest after each batch
    :param patience: how long is waited for Nova
    :param most_changes: change nothing where more mappings would be changed; None: any number
    :param most_time: read no further after this time; the next audit of the same kind that has
        such a time goes on there. What was found until then is changed.
    :param journal: where each change is written down before it is made; None: nowhere
    :param plan: called with the changes in place of their being made, of any number
    :ivar reports: a CellReport by the uuid of each cell that is looked at; complete once
        :meth:`problems` has come to its end
    :ivar refused: why nothing was changed, where *most_changes* are too few
    :ivar began_after: the uuid behind which it went on; empty at the beginning
    :ivar stopped_at: the uuid at which it ran out of time; None where it came to its end
    :ivar unknown: those of *instances* of which nobody knows anything
    """

    def __init__(
        self,
        context: RequestContext,
        cells: Iterable[CellMapping],
        *,
        only: CellMapping | None = None,
        project_id: str | None = None,
        instances: Sequence[str] = (),
        repair: bool = False,
        purge: bool = False,
        batch_size: int = BATCH_SIZE,
        sleep: float = 0,
        patience: Patience | None = None,
        most_changes: MostChanges | None = None,
        most_time: datetime.timedelta | None = None,
        journal: Journal | None = None,
        plan: Callable[[Sequence[Change]], None] | None = None,
    ) -> None:
        self._context = context
        self._readers = Readers(context, cells)
        self._judge = Judge(context, self._readers, patience)
        self._repairs = Repairs(repair=repair, purge=purge)
        self._changer = Changer(context, journal)
        self._plan = plan
        self._purge = purge
        self._size = min(batch_size, _MOST_SUSPECTS)
        self._sleep = sleep
        self._selection = Selection(only, project_id, instances)
        looked_at = self._readers.cells.values() if only is None else [only]
        self.reports = {cell.uuid: CellReport(cell) for cell in looked_at}
        self._comparison = Comparison(
            context,
            self._readers,
            self.reports,
            batch_size=batch_size,
            sleep=sleep,
            project_id=project_id,
        )
        self._most_changes = most_changes
        self._most_time = most_time
        planned = '' if plan is None else ', planned'
        self._place = AuditPlace(context, f'{self._selection}, {repair=}, {purge=}{planned}')
        # The instances that were looked at before the mapping comes to them.
        self._odd: set[str] = set()
        self.refused: exception.ChangesRefused | None = None
        self.began_after = ''
        self.stopped_at: str | None = None
        self.unknown: Sequence[str] = []

    @property
    def instances(self) -> int:
        """How many instances have been compared."""
        named = len(self._selection.instances)
        return named or sum(report.instances for report in self.reports.values())

    @property
    def errors(self) -> dict[str, exception.CellError]:
        """Why a cell could not be read, by its uuid."""
        return self._readers.errors

    def problems(self, on_batch: Callable[[float], None] = lambda part: None) -> Iterator[Problem]:
        """Each problem as it is found; what is to be changed comes last.

        A cell that cannot be read is noted in ``errors``, and from there on no mapping is
        called orphaned.

        :raises: PurgeRefused, before anything is changed, where *purge* was given and a cell
            that many mappings name has no instances at all
        :param on_batch: called after each batch with the part of all that is done, 0 to 1
        """
        read = _READ if self._repairs.are_any else 1
        with self._readers, Changes() as changes:
            if self._purge:
                empty_cells.check(self._context, self._readers.all())
            suspects: list[str] = []
            for batch in self._batches(lambda part: on_batch(read * part)):
                yield from self._booked(batch.invalid)
                suspects += self._new(batch)
                while len(suspects) >= self._size:
                    yield from self._look_at(suspects[: self._size], changes)
                    del suspects[: self._size]
            yield from self._look_at(suspects, changes)
            yield from self._change(changes, lambda part: on_batch(read + (1 - read) * part))
        self._note_place()
        on_batch(1)

    # Finding.

    def _batches(self, on_batch: Callable[[float], None]) -> Iterator[Differences]:
        if self._selection.instances:
            self.unknown = self._judge.unknown(self._selection.instances)
            yield Differences(self._selection.instances, last='')
            return
        if self._most_time is not None:
            self.began_after = self._place.get()
        deadline = Deadline(self._most_time)
        with contextlib.closing(self._comparison.batches(on_batch, self.began_after)) as batches:
            for batch in batches:
                yield batch
                # There is some progress in any case.
                if deadline.is_over and batch.last != self.began_after and is_place(batch.last):
                    self.stopped_at = batch.last
                    return

    def _new(self, batch: Differences) -> Sequence[str]:
        """Those that were not looked at before their turn."""
        new = [uuid for uuid in dict.fromkeys(batch.suspects) if uuid not in self._odd]
        if batch.are_odd:
            self._odd.update(new)
        return new

    def _look_at(self, suspects: Sequence[str], changes: Changes) -> Iterator[Problem]:
        """Tell what is wrong, but for what is to be changed: that is noted."""
        cases = self._cases(suspects)
        changes.add(case for case in cases if self._repairs.would_change(case))
        yield from self._told([case for case in cases if not self._repairs.would_change(case)])

    def _cases(self, suspects: Sequence[str]) -> list[Case]:
        """What differs, of what is looked at."""
        return [
            case
            for case in self._judge.cases(suspects)
            if not self.reports.keys().isdisjoint({case.named, *case.rows, *case.invalid})
            and self._selection.has_project_of(case)
        ]

    # Changing.

    def _change(self, changes: Changes, on_batch: Callable[[float], None]) -> Iterator[Problem]:
        """Make or plan the changes, if that may be, and tell of the problems."""
        if self._plan is None:
            self.refused = limits.refusal(
                self._context, self._most_changes, changes.number, changes.kinds.items()
            )
        done = 0
        for uuids in changes.batches(self._size):
            cases = self._cases(uuids)
            if self.refused is None:
                self._repair(cases)
            yield from self._told(cases)
            done += len(uuids)
            on_batch(done / changes.number)
            time.sleep(self._sleep)

    def _repair(self, cases: Sequence[Case]) -> None:
        changes = self._repairs.changes(cases)
        if self._plan is not None:
            self._plan(changes)
            return
        for uuid, why in self._changer.make(changes).items():
            LOG.warning('The mapping of instance %s is left as it is: %s', uuid, why)
        left = {
            (problem.instance_uuid, problem.kind)
            for case in self._cases([case.uuid for case in cases])
            # What was written just now is young, and so in flight.
            for problem in (*case.differences, *case.problems)
        }
        for case in cases:
            for problem in case.problems:
                problem.repaired = (problem.instance_uuid, problem.kind) not in left

    def _note_place(self) -> None:
        """Have the next audit of the kind begin where this one has come to."""
        if self._most_time is None or self._selection.instances or self.refused is not None:
            return
        if self.stopped_at is None:
            self._place.clear()
        else:
            self._place.note(self.stopped_at)

    # Telling.

    def _told(self, cases: Sequence[Case]) -> Sequence[Problem]:
        for case in cases:
            if case.is_in_flight:
                self._report(case.home).in_flight += 1
        return self._booked([problem for case in cases for problem in case.problems])

    def _booked(self, problems: Sequence[Problem]) -> Sequence[Problem]:
        """Problems, counted as their cells'; where one cell is looked at, as that one's."""
        for problem in problems:
            self._report(problem.cell_uuid).count(problem)
        return problems

    def _report(self, cell_uuid: str) -> CellReport:
        only = self._selection.cell
        uuid = cell_uuid if only is None else only.uuid
        if uuid not in self.reports:
            # It was added meanwhile.
            self.reports[uuid] = CellReport(self._readers.cells[uuid])
        return self.reports[uuid]
