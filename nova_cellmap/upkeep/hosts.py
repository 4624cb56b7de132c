# SPDX-License-Identifier: Apache-2.0
"""Comparing Nova's mapping of hosts with what the cells have, and repairing it.

Nova sends an instance to a host by the cell that the host is mapped to. There are thousands of
hosts where there are millions of instances: all of them are read before anything is said.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
import dataclasses
import datetime

from nova_cellmap import exception
from nova_cellmap.cells import database
from nova_cellmap.cells import hosts
from nova_cellmap.cells import rows
from nova_cellmap.cells.hosts import Host
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.db import nova_hosts
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.upkeep import age
from nova_cellmap.upkeep.age import Patience
from nova_cellmap.upkeep.cell_report import CellReport
from nova_cellmap.upkeep.host_case import HostCase
from nova_cellmap.upkeep.host_case import HostProblem

# How many cells are read at once.
_MOST_CELLS = 16


class HostAudit:
    """A run over the mapping of hosts and the cells.

    :param cells: all cells of the cloud: a host may be in any of them
    :param only: look for the problems of this cell alone
    :param patience: how long is waited for Nova
    :ivar reports: a CellReport by the uuid of each cell that is looked at, of hosts in place of
        instances
    :ivar errors: why a cell could not be read, by its uuid
    """

    # What an audit of instances may have besides.
    began_after = ''
    stopped_at: str | None = None
    refused: exception.ChangesRefused | None = None
    unknown: Sequence[str] = ()

    def __init__(
        self,
        context: RequestContext,
        cells: Iterable[CellMapping],
        *,
        only: CellMapping | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._context = context
        self._cells = {cell.uuid: cell for cell in cells}
        self._only = only
        self._patience = patience or Patience()
        looked_at = [cell for cell in self._cells.values() if not cell.is_cell0()]
        if only is not None:
            looked_at = [only]
        self.reports = {cell.uuid: CellReport(cell) for cell in looked_at}
        self.errors: dict[str, exception.CellError] = {}

    @property
    def instances(self) -> int:
        """How many hosts have been compared."""
        return sum(report.instances for report in self.reports.values())

    def problems(
        self, on_batch: Callable[[float], None] = lambda part: None
    ) -> Iterator[HostProblem]:
        """Each problem, in the order of the hosts' names.

        :param on_batch: called with the part of all that is done, 0 to 1
        :raises: NotNovasTables
        """
        cases = self._cases()
        on_batch(1)
        for case in cases:
            if case.is_in_flight:
                self._report(case).in_flight += 1
            elif case.problem is not None:
                self._report(case).count(case.problem)
                yield case.problem

    # Finding.

    def _cases(self) -> list[HostCase]:
        """The hosts of which something differs."""
        before = self._mapped()
        now = db_api.utc_time_get(self._context)
        in_cells = self._in_cells()
        # What the mapping says held while each of the cells was read; what others change is in
        # good hands.
        after = self._mapped()
        self._count(after, in_cells)
        keys = sorted({*after, *(key for cell in in_cells.values() for key in cell.found)})
        cases = [
            self._case(key, after.get(key), in_cells, now)
            for key in keys
            if before.get(key) == after.get(key)
        ]
        found = [case for case in cases if case.differs and self._is_wanted(case)]
        self._ask_for_instances(found)
        return found

    def _mapped(self) -> dict[str, db_api.Row]:
        """The mappings by the keys of their hosts."""
        found = nova_hosts.host_mapping_get_all(self._context)
        if found is None:
            raise exception.NotNovasTables()
        return {hosts.key_of(str(row['host'])): row for row in found}

    def _in_cells(self) -> dict[str, '_InCell']:
        """What each cell has that can be read. cell0 has no hosts, and is not asked."""
        asked = [cell for cell in self._cells.values() if not cell.is_cell0()]
        found = {}
        with futures.ThreadPoolExecutor(min(len(asked), _MOST_CELLS) or 1) as pool:
            answers = [(cell, pool.submit(_hosts_of, cell)) for cell in asked]
            for cell, answer in answers:
                try:
                    found[cell.uuid] = answer.result()
                except exception.CellError as error:
                    self.errors[cell.uuid] = error
        return found

    def _count(self, mapped: Mapping[str, db_api.Row], in_cells: Mapping[str, '_InCell']) -> None:
        names = Counter(row['cell_uuid'] for row in mapped.values())
        for uuid, report in self.reports.items():
            report.mappings = names[uuid]
            report.instances = len(in_cells[uuid].found) if uuid in in_cells else 0

    def _case(
        self,
        key: str,
        mapping: db_api.Row | None,
        in_cells: Mapping[str, '_InCell'],
        now: datetime.datetime,
    ) -> HostCase:
        found = {uuid: cell.found[key] for uuid, cell in in_cells.items() if key in cell.found}
        ages = [age.since(in_cells[uuid].now, host.made_at) for uuid, host in found.items()]
        is_cell_empty = False
        if mapping is not None:
            named = in_cells.get(mapping['cell_uuid'])
            is_cell_empty = named is not None and not named.found
            written = rows.last_time(mapping['updated_at'], mapping['created_at'])
            ages.append(age.since(now, written))
        return HostCase(
            next(iter(found.values())).name if mapping is None else str(mapping['host']),
            mapping,
            found,
            unread=self.errors.keys(),
            identity=self._identity,
            is_cell_empty=is_cell_empty,
            age=age.least(ages),
            patience=self._patience,
        )

    def _ask_for_instances(self, cases: Sequence[HostCase]) -> None:
        """Have the cells that mappings name wrongly tell of which hosts they have instances."""
        by_cell: dict[str, list[HostCase]] = {}
        for case in cases:
            if case.named in self._cells and case.named not in case.found:
                by_cell.setdefault(str(case.named), []).append(case)
        for uuid, some in by_cell.items():
            names = {name for case in some for name in case.names}
            try:
                with_instances = _with_instances(self._cells[uuid], names)
            except exception.CellError as error:
                self.errors[uuid] = error
                continue
            for case in some:
                case.has_instances = hosts.key_of(case.name) in with_instances

    def _is_wanted(self, case: HostCase) -> bool:
        return self._only is None or case.concerns(self._only.uuid)

    def _identity(self, uuid: str) -> str:
        return self._cells[uuid].identity if uuid in self._cells else uuid

    def _report(self, case: HostCase) -> CellReport:
        """The report that a case is counted in."""
        assert case.difference is not None
        uuid = case.difference.cell_uuid if self._only is None else self._only.uuid
        cell = self._cells.get(uuid)
        if cell is None:
            # Of a mapping to a cell that is not there.
            cell = next(iter(self._cells.values()))
        return self.reports.setdefault(cell.uuid, CellReport(cell))


@dataclasses.dataclass
class _InCell:
    """The hosts of a cell, by their keys, and the time there just before they were read."""

    found: dict[str, Host]
    now: datetime.datetime | None


def _hosts_of(cell: CellMapping) -> _InCell:
    with database.connect(cell) as reader:
        now = reader.now()
        return _InCell(hosts.Hosts(reader, cell).all(), now)


def _with_instances(cell: CellMapping, names: Collection[str]) -> set[str]:
    with database.connect(cell) as reader:
        return hosts.with_instances(reader, cell, names)
