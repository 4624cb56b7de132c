# SPDX-License-Identifier: Apache-2.0
"""Comparing the mapping with what the cells have, and repairing it.

The mapping and the instances of every cell are read side by side in the order of the
instances' uuids, a page of each at a time. What the two sides do not say alike is looked
at again, instance by instance, before it is called a problem: the sides were not read at
the same moment, and what differs may have been a build or a move.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import time

from nova_cellmap import exception
from nova_cellmap.cells.rows import Instance
from nova_cellmap.cells.rows import InvalidRow
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.objects.cell_mapping import CellMappingList
from nova_cellmap.upkeep import empty_cells
from nova_cellmap.upkeep import streams
from nova_cellmap.upkeep.case import Case
from nova_cellmap.upkeep.case import Kind
from nova_cellmap.upkeep.case import Problem
from nova_cellmap.upkeep.repairs import Repairs

# By instance and cell.
_Rows = dict[str, dict[str, Instance]]
_InvalidRows = dict[str, dict[str, list[InvalidRow]]]

BATCH_SIZE = 1000

# How many instances are looked at again at a time, at most.
_MOST_SUSPECTS = 500
# How often a mapping that others change meanwhile is looked at; then it is in good hands.
_ATTEMPTS = 3


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


class Audit:
    """A run over the mapping and the cells.

    :param cells: all cells of the cloud: an instance may be in any of them
    :param only: look for the problems of this cell alone
    :param repair: repair what can be told from the cells: all but the orphaned and the duplicate
    :param purge: remove the orphaned
    :param batch_size: how many rows of each side are read at a time
    :param sleep: seconds to rest after each batch
    :ivar reports: a CellReport by the uuid of each cell that is looked at; complete once
        :meth:`problems` has come to its end
    :ivar errors: why a cell could not be read, by its uuid
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
    ) -> None:
        self._context = context
        self._cells = {cell.uuid: cell for cell in cells}
        self._repairs = Repairs(context, repair=repair, purge=purge)
        self._purge = purge
        self._batch_size = batch_size
        self._sleep = sleep
        looked_at = self._cells.values() if only is None else [only]
        self.reports = {cell.uuid: CellReport(cell) for cell in looked_at}
        self.errors: dict[str, exception.CellError] = {}
        self._only = only
        self._readers: dict[str, streams.CellReader] = {}
        self._nobodys: list[Problem] = []
        # The instances that are looked at on their own account, and what was told of them: where
        # the mapping comes to them it is not told again.
        self._odd: set[str] = set()
        self._told: set[tuple[str, Kind, str]] = set()

    @property
    def instances(self) -> int:
        """How many instances have been compared."""
        return sum(report.instances for report in self.reports.values())

    def problems(self, on_batch: Callable[[float], None] = lambda part: None) -> Iterator[Problem]:
        """Each problem as it is found, and repaired if it is to be.

        A cell that cannot be read is noted in ``errors``, and from there on no mapping is
        called orphaned.

        :raises: PurgeRefused, before anything is changed, where *purge* was given and a cell
            that many mappings name has no instances at all
        :param on_batch: called after each batch with the part of all uuids that is done, 0 to 1
        """
        with contextlib.ExitStack() as stack:
            self._stack = stack
            for cell in self._cells.values():
                self._open(cell)
            if self._purge:
                empty_cells.check(self._context, list(self._readers.values()))
            size = min(self._batch_size, _MOST_SUSPECTS)
            suspects: list[str] = []
            for found in self._compare(on_batch):
                yield from self._take_nobodys()
                suspects += found
                while len(suspects) >= size:
                    yield from self._deal_with(suspects[:size])
                    del suspects[:size]
            yield from self._take_nobodys()
            yield from self._deal_with(suspects)
        on_batch(1)

    def _open(self, cell: CellMapping) -> None:
        reader = streams.CellReader(cell)
        self._readers[cell.uuid] = reader
        self._stack.callback(reader.close)

    # Reading the two sides.

    def _compare(self, on_batch: Callable[[float], None]) -> Iterator[list[str]]:
        """The uuids on which the mapping and the cells differ, batch by batch."""
        size = self._batch_size
        reader = streams.MappingReader(self._context)
        self._stack.callback(reader.close)
        mapping = streams.Stream(lambda last: reader.page(last, size))
        cells = {uuid: self._stream(self._readers[uuid]) for uuid in self.reports}
        while True:
            mapping.fill()
            odd: list[str] = []
            for uuid, stream in list(cells.items()):
                try:
                    odd += self._odd_in(stream.fill(), uuid)
                except exception.CellError as error:
                    self.errors[uuid] = error
                    del cells[uuid]
            if odd:
                yield odd
            ends = [side.last for side in (mapping, *cells.values()) if not side.is_done]
            if not ends:
                return
            end = min(ends)
            yield self._differences(mapping.take(end), cells, end)
            on_batch(_part(end))
            time.sleep(self._sleep)

    def _odd_in(self, page: streams.Page | None, cell_uuid: str) -> Sequence[str]:
        """The instances of a page that are in no order, and so are met again in the mapping's."""
        if page is None:
            return ()
        self.reports[cell_uuid].instances += page.odd
        self._nobodys += [
            Problem(row.shown, Kind.INVALID_ROW, cell_uuid, f'row {row.id}: {row.reason}')
            for row in page.invalid
        ]
        self._odd.update(page.suspects)
        return page.suspects

    def _take_nobodys(self) -> list[Problem]:
        """The rows of which nobody can tell the instance."""
        problems, self._nobodys = self._nobodys, []
        for problem in problems:
            self._book(problem)
        return problems

    def _stream(self, reader: streams.CellReader) -> streams.Stream:
        return streams.Stream(lambda last: reader.page(last, self._batch_size))

    def _differences(
        self, mapped: Sequence[db_api.Fact], cells: dict[str, streams.Stream], end: str
    ) -> list[str]:
        there: set[db_api.Fact] = set()
        for uuid, stream in cells.items():
            facts = stream.take(end)
            self.reports[uuid].instances += len(facts)
            there.update(facts)
        for named, number in Counter(map(db_api.cell_of_fact, mapped)).items():
            if named in self.reports:
                self.reports[named].mappings += number
        unmatched = there.symmetric_difference(mapped)
        if not unmatched:
            return []
        # A mapping to a cell that is not read, or to none, matters where a cell that is read
        # has the instance.
        return sorted(
            {fact[0] for fact in unmatched if fact in there or db_api.cell_of_fact(fact) in cells}
        )

    # Looking again.

    def _deal_with(self, suspects: Sequence[str]) -> list[Problem]:
        cases = self._judge(suspects)
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
                for case in self._judge([case.uuid for case in cases])
                for problem in case.problems
            }
            for problem in problems:
                problem.repaired = (problem.instance_uuid, problem.kind) not in left
        for problem in problems:
            self._book(problem)
        return problems

    def _is_new(self, problem: Problem) -> bool:
        if problem.instance_uuid not in self._odd:
            return True
        what = problem.instance_uuid, problem.kind, problem.cell_uuid
        is_new = what not in self._told
        self._told.add(what)
        return is_new

    def _book(self, problem: Problem) -> None:
        """Count a problem as its cell's; where one cell is looked at, as that one's."""
        report = self._report(problem.cell_uuid)
        report.found[problem.kind] += 1
        report.repaired[problem.kind] += problem.repaired

    def _report(self, cell_uuid: str) -> CellReport:
        uuid = cell_uuid if self._only is None else self._only.uuid
        if uuid not in self.reports:
            # It was added meanwhile.
            self.reports[uuid] = CellReport(self._cells[uuid])
        return self.reports[uuid]

    def _judge(self, uuids: Sequence[str]) -> list[Case]:
        """What is wrong with each of these instances; nothing where all is well."""
        cases = self._judge_once(uuids)
        orphaned = [case.uuid for case in cases if case.has(Kind.ORPHANED)]
        if not orphaned:
            return cases
        # Another cell may have come meanwhile. And a move may hide an instance in one cell
        # before it shows it in the other: both were read, but not at one moment.
        self._look_for_cells()
        cases = [case for case in cases if not case.has(Kind.ORPHANED)]
        return cases + self._judge_once(orphaned)

    def _look_for_cells(self) -> None:
        for cell in CellMappingList.get_all(self._context):
            known = self._cells.setdefault(cell.uuid, cell)
            if known.database_connection != cell.database_connection:
                self.errors[cell.uuid] = exception.CellUnreachable(
                    cell=cell.identity, reason='its URL was changed meanwhile'
                )
            elif cell.uuid not in self._readers:
                self._open(cell)

    def _judge_once(self, uuids: Sequence[str]) -> list[Case]:
        cases: list[Case] = []
        for _ in range(_ATTEMPTS):
            if not uuids:
                break
            # The cells are read between two looks at the mapping. Where it did not change, what
            # it says held while each of the cells was read.
            before = self._mapped(uuids)
            rows, invalid = self._rows(uuids)
            building = self._building(uuids, before)
            after = self._mapped(uuids)
            steady = [uuid for uuid in uuids if before.get(uuid) == after.get(uuid)]
            _take_ownerless(rows, invalid, [uuid for uuid in steady if uuid in after])
            cases += [
                Case(
                    uuid,
                    mapping=after.get(uuid),
                    rows=rows.get(uuid, {}),
                    unread=self.errors.keys(),
                    identity=self._identity,
                    invalid=invalid.get(uuid, {}),
                    is_building=uuid in building,
                )
                for uuid in steady
            ]
            uuids = [uuid for uuid in uuids if before.get(uuid) != after.get(uuid)]
        return [
            case
            for case in cases
            if (case.problems or case.is_in_flight) and self._is_concerned(case)
        ]

    def _mapped(self, uuids: Sequence[str]) -> dict[str, db_api.Row]:
        rows: Sequence[db_api.Row]
        try:
            rows = db_api.instance_mapping_get_by_instance_uuids(self._context, uuids)
        except exception.DatabaseError as error:
            # Not its kinds, of a database that cannot be asked.
            if type(error) is not exception.DatabaseError:
                raise
            rows = db_api.instance_mapping_get_as_stored(self._context, uuids)
        return {row['instance_uuid']: row for row in rows}

    def _building(self, uuids: Sequence[str], mapped: Mapping[str, db_api.Row]) -> set[str]:
        """Those that Nova is building, of the instances that are mapped to no cell.

        Nova maps one before it removes its build request.
        """
        nowhere = [uuid for uuid in uuids if uuid not in mapped or not mapped[uuid]['cell_uuid']]
        if not nowhere:
            return set()
        return db_api.build_request_get_by_instance_uuids(self._context, nowhere)

    def _rows(self, uuids: Sequence[str]) -> tuple[_Rows, _InvalidRows]:
        """By instance, the rows that are not hidden, by cell; and those that are invalid."""
        asked = {
            uuid: reader.of(uuids)
            for uuid, reader in self._readers.items()
            if uuid not in self.errors
        }
        rows: _Rows = {}
        invalid: _InvalidRows = {}
        for cell_uuid, answer in asked.items():
            try:
                found = answer.result()
            except exception.CellError as error:
                self.errors[cell_uuid] = error
                continue
            for row in found:
                if isinstance(row, InvalidRow):
                    invalid.setdefault(str(row.uuid), {}).setdefault(cell_uuid, []).append(row)
                elif not row.hidden:
                    rows.setdefault(row.uuid, {})[cell_uuid] = row
        return rows, invalid

    def _is_concerned(self, case: Case) -> bool:
        """Whether one of the cells that are looked at has to do with it."""
        return not self.reports.keys().isdisjoint({case.named, *case.rows, *case.invalid})

    def _identity(self, uuid: str) -> str:
        return self._cells[uuid].identity if uuid in self._cells else uuid


def _take_ownerless(rows: _Rows, invalid: _InvalidRows, mapped: Sequence[str]) -> None:
    """Take rows that only lack a project for what else they say: the mapping has a project."""
    for uuid in mapped:
        each = [
            (cell, row.instance) for cell, some in invalid.get(uuid, {}).items() for row in some
        ]
        found = {cell: instance for cell, instance in each if instance is not None}
        if found and len(found) == len(each):
            rows.setdefault(uuid, {}).update(found)
            del invalid[uuid]


def _part(uuid: str) -> float:
    """How many of all uuids come before this one: they are drawn at random."""
    try:
        return int(uuid[:8], 16) / 0xFFFFFFFF
    except ValueError:
        return 0
