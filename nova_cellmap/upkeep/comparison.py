# SPDX-License-Identifier: Apache-2.0
"""On which instances the mapping and the cells differ."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import time

from nova_cellmap import exception
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.upkeep import streams
from nova_cellmap.upkeep.case import Kind
from nova_cellmap.upkeep.case import Problem
from nova_cellmap.upkeep.cell_report import CellReport
from nova_cellmap.upkeep.readers import Readers


@dataclasses.dataclass
class Differences:
    """What a batch of both sides tells.

    ``suspects`` are instances that are to be looked at one by one; where they ``are_odd`` the
    mapping may come to them again. ``invalid`` are rows of which nobody can tell the instance.
    ``last`` is the uuid up to which both sides were read; odd ones are of any place.
    """

    suspects: Sequence[str]
    invalid: Sequence[Problem] = ()
    last: str | None = None

    @property
    def are_odd(self) -> bool:
        return self.last is None


class Comparison:
    """Reads the mapping and the cells side by side, in the order of the instances' uuids.

    :param reports: of the cells that are looked at; counts in them what is read
    :param batch_size: how many rows of each side are read at a time
    :param sleep: seconds to rest after each batch
    :param project_id: read what either side says to be this project's alone
    """

    def __init__(
        self,
        context: RequestContext,
        readers: Readers,
        reports: Mapping[str, CellReport],
        *,
        batch_size: int,
        sleep: float,
        project_id: str | None,
    ) -> None:
        self._context = context
        self._readers = readers
        self._reports = reports
        self._size = batch_size
        self._sleep = sleep
        self._project_id = project_id

    def batches(
        self, on_batch: Callable[[float], None], after: str = ''
    ) -> Generator[Differences]:
        """Each batch in turn.

        :param after: begin behind this uuid
        :param on_batch: called after each with the part of all uuids that is done, 0 to 1
        """
        reader = streams.MappingReader(self._context, self._project_id)
        with contextlib.closing(reader):
            mapping = streams.Stream(lambda last: reader.page(last, self._size), after)
            cells = {uuid: self._stream(self._readers[uuid], after) for uuid in self._reports}
            while True:
                mapping.fill()
                yield from self._odd(cells)
                ends = [side.last for side in (mapping, *cells.values()) if not side.is_done]
                if not ends:
                    return
                end = min(ends)
                yield Differences(self._differences(mapping.take(end), cells, end), last=end)
                on_batch(_part(end))
                time.sleep(self._sleep)

    def _stream(self, reader: streams.CellReader, after: str) -> streams.Stream:
        return streams.Stream(lambda last: reader.page(last, self._size, self._project_id), after)

    def _odd(self, cells: dict[str, streams.Stream]) -> Iterator[Differences]:
        """Have rows of each cell; what is in no order comes with them."""
        for uuid, stream in list(cells.items()):
            try:
                page = stream.fill()
            except exception.CellError as error:
                self._readers.errors[uuid] = error
                del cells[uuid]
                continue
            if page is None:
                continue
            self._reports[uuid].instances += page.odd
            if page.suspects or page.invalid:
                yield Differences(page.suspects, _problems(uuid, page))

    def _differences(
        self, mapped: Sequence[db_api.Fact], cells: dict[str, streams.Stream], end: str
    ) -> list[str]:
        there: set[db_api.Fact] = set()
        for uuid, stream in cells.items():
            facts = stream.take(end)
            self._reports[uuid].instances += len(facts)
            there.update(facts)
        for named, number in Counter(map(db_api.cell_of_fact, mapped)).items():
            if named in self._reports:
                self._reports[named].mappings += number
        unmatched = there.symmetric_difference(mapped)
        if not unmatched:
            return []
        if self._project_id is not None:
            # A cell may say it to be another's.
            return sorted({fact[0] for fact in unmatched})
        # A mapping to a cell that is not read, or to none, matters where a cell that is read
        # has the instance.
        return sorted(
            {fact[0] for fact in unmatched if fact in there or db_api.cell_of_fact(fact) in cells}
        )


def _problems(cell_uuid: str, page: streams.Page) -> list[Problem]:
    return [
        Problem(row.shown, Kind.INVALID_ROW, cell_uuid, f'row {row.id}: {row.reason}')
        for row in page.invalid
    ]


def _part(uuid: str) -> float:
    """How many of all uuids come before this one: they are drawn at random."""
    try:
        return int(uuid[:8], 16) / 0xFFFFFFFF
    except ValueError:
        return 0
