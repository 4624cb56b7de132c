# SPDX-License-Identifier: Apache-2.0
"""The mapping and the instances of cells, read side by side in the order of their uuids."""

import bisect
from collections.abc import Callable, Sequence
from concurrent import futures
import contextlib
import dataclasses
import operator

from nova_cellmap import exception
from nova_cellmap.cells import database
from nova_cellmap.cells.instances import Instance
from nova_cellmap.cells.instances import Instances
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.objects.cell_mapping import CellMapping


@dataclasses.dataclass
class Page:
    """What a side says of some instances, in the order of their uuids.

    ``last`` is the last uuid; empty at the end of the side.
    """

    last: str
    facts: Sequence[db_api.Fact]


class Stream:
    """One side, read a page ahead of who takes from it.

    :param read: begins to read the page behind a uuid
    :ivar last: the uuid up to which there are rows to take
    """

    def __init__(self, read: 'Callable[[str], futures.Future[Page]]') -> None:
        self._read = read
        self._ahead = read('')
        self._facts: Sequence[db_api.Fact] = ()
        self._is_taken = True
        self.last = ''
        self.is_done = False

    def fill(self) -> None:
        """Have rows to take, if there are any left.

        :raises: what reading them raised
        """
        if self.is_done or not self._is_taken:
            return
        page = self._ahead.result()
        if not page.last:
            self.is_done = True
            return
        self._facts, self.last, self._is_taken = page.facts, page.last, False
        self._ahead = self._read(page.last)

    def take(self, end: str) -> Sequence[db_api.Fact]:
        """The rows up to and with a uuid, which is not behind :attr:`last`."""
        if self.is_done:
            return ()
        self._is_taken = end == self.last
        place = bisect.bisect_right(self._facts, end, key=operator.itemgetter(0))
        taken, self._facts = self._facts[:place], self._facts[place:]
        return taken


class MappingReader:
    """The mapping, read in a thread of its own."""

    def __init__(self, context: RequestContext) -> None:
        self._context = context
        self._thread = futures.ThreadPoolExecutor(1)

    def page(self, last: str, limit: int) -> 'futures.Future[Page]':
        """What is behind a uuid."""
        return self._thread.submit(self._page, last, limit)

    def close(self) -> None:
        self._thread.shutdown()

    def _page(self, last: str, limit: int) -> Page:
        facts = db_api.instance_mapping_scan(self._context, last, limit)
        return Page(facts[-1][0] if facts else '', facts)


class CellReader:
    """A cell's instances, read in a thread of its own: no cell waits for another.

    What a reading answers raises CellUnreachable or NotACellDatabase.
    """

    def __init__(self, cell: CellMapping) -> None:
        self.cell = cell
        self._thread = futures.ThreadPoolExecutor(1)
        self._stack = contextlib.ExitStack()
        self._instances: Instances | None = None

    def page(self, last: str, limit: int) -> 'futures.Future[Page]':
        """What is behind a uuid, hidden rows left out."""
        return self._thread.submit(self._page, last, limit)

    def of(self, uuids: Sequence[str]) -> 'futures.Future[list[Instance]]':
        """The rows of some instances, hidden ones too."""
        return self._thread.submit(self._of, uuids)

    def close(self) -> None:
        self._thread.submit(self._stack.close)
        self._thread.shutdown()

    def _page(self, last: str, limit: int) -> Page:
        with database.errors_translated(self.cell):
            facts = self._opened().facts_after(last, limit)
        uuids = [uuid for uuid, _ in facts]
        if uuids != sorted(uuids) or (uuids and uuids[0] <= last):
            raise exception.CellUnreachable(
                cell=self.cell.identity,
                reason=f'the uuids of its instances are not in order, behind {last!r}',
            )
        return Page(uuids[-1] if uuids else '', facts)

    def _of(self, uuids: Sequence[str]) -> list[Instance]:
        with database.errors_translated(self.cell):
            return list(self._opened().of(uuids).values())

    def _opened(self) -> Instances:
        if self._instances is None:
            connection = self._stack.enter_context(database.connect(self.cell))
            self._instances = Instances(connection, self.cell)
        return self._instances
