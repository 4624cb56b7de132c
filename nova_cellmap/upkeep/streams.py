# SPDX-License-Identifier: Apache-2.0
"""The mapping and the instances of cells, read side by side in the order of their uuids."""

import bisect
from collections.abc import Callable, Sequence
from concurrent import futures
import dataclasses
import datetime
import operator
from typing import NamedTuple

from nova_cellmap.cells import database
from nova_cellmap.cells.instances import Instances
from nova_cellmap.cells.instances import OddSpellings
from nova_cellmap.cells.migrations import Migrations
from nova_cellmap.cells.rows import Instance
from nova_cellmap.cells.rows import InvalidRow
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.objects.cell_mapping import CellMapping


@dataclasses.dataclass
class Page:
    """What a side says of some instances, in the order of their uuids.

    ``last`` is the uuid up to which was read. ``suspects`` are instances whose rows are to be
    looked at one by one, and ``invalid`` are rows of which nobody can tell the instance: both are
    of any place in that order. ``odd`` is how many rows they are.
    """

    last: str
    facts: Sequence[db_api.Fact] = ()
    suspects: Sequence[str] = ()
    invalid: Sequence[InvalidRow] = ()
    odd: int = 0
    is_end: bool = False


class InstanceRows(NamedTuple):
    """A cell's rows of some instances, and the time there just before they were read."""

    found: list[Instance | InvalidRow]
    now: datetime.datetime | None


class Stream:
    """One side, read a page ahead of who takes from it.

    :param read: begins to read the page behind a uuid
    :param after: the uuid behind which it begins
    :ivar last: the uuid up to which there are rows to take
    """

    def __init__(self, read: 'Callable[[str], futures.Future[Page]]', after: str = '') -> None:
        self._read = read
        self._ahead = read(after)
        self._facts: Sequence[db_api.Fact] = ()
        self._is_taken = True
        self.last = after
        self.is_done = False

    def fill(self) -> Page | None:
        """Have rows to take, if there are any left; answer the page that they are from, once.

        :raises: what reading them raised
        """
        if self.is_done or not self._is_taken:
            return None
        page = self._ahead.result()
        self.is_done = page.is_end
        if not page.is_end:
            self._facts, self.last, self._is_taken = page.facts, page.last, False
            self._ahead = self._read(page.last)
        return page

    def take(self, end: str) -> Sequence[db_api.Fact]:
        """The rows up to and with a uuid, which is not behind :attr:`last`."""
        if self.is_done:
            return ()
        self._is_taken = end == self.last
        place = bisect.bisect_right(self._facts, end, key=operator.itemgetter(0))
        taken, self._facts = self._facts[:place], self._facts[place:]
        return taken


class MappingReader:
    """The mapping, or that of a project, read in a thread of its own."""

    def __init__(self, context: RequestContext, project_id: str | None = None) -> None:
        self._context = context
        self._project_id = project_id
        self._thread = futures.ThreadPoolExecutor(1)

    def page(self, last: str, limit: int) -> 'futures.Future[Page]':
        """What is behind a uuid."""
        return self._thread.submit(self._page, last, limit)

    def close(self) -> None:
        self._thread.shutdown()

    def _page(self, last: str, limit: int) -> Page:
        facts = db_api.instance_mapping_scan(self._context, last, limit, self._project_id)
        return Page(facts[-1][0], facts) if facts else Page(last, is_end=True)


class CellReader:
    """A cell's instances, read in a thread of its own: no cell waits for another.

    What a reading answers raises CellUnreachable or NotACellDatabase.
    """

    def __init__(self, cell: CellMapping) -> None:
        self.cell = cell
        self._thread = futures.ThreadPoolExecutor(1)
        self._reader = database.Reader(cell)
        self._opened: Instances | None = None
        # Up to which id the rows were read whose uuids are spelled otherwise; None at their end.
        self._last_odd_id: int | None = 0
        self._odd: OddSpellings | None = None

    def page(self, last: str, limit: int, project_id: str | None = None) -> 'futures.Future[Page]':
        """What is behind a uuid, hidden rows left out; of a project, or of all.

        The rows that are not in that order, since their uuids are spelled otherwise or are none,
        come first, of whatever project they are.
        """
        return self._thread.submit(self._page, last, limit, project_id)

    def of(self, uuids: Sequence[str]) -> 'futures.Future[InstanceRows]':
        """The rows of some instances, hidden ones too."""
        return self._thread.submit(self._of, uuids)

    def moves_of(self, uuids: Sequence[str]) -> 'futures.Future[dict[str, str]]':
        """In which state the moves to another cell are that are under way, by instance."""
        return self._thread.submit(lambda: Migrations(self._reader).moves_of(uuids))

    def is_empty(self) -> 'futures.Future[bool]':
        """Whether there are no rows at all, not even of deleted instances."""
        return self._thread.submit(lambda: self._instances.is_empty())

    def close(self) -> None:
        self._thread.submit(self._reader.close)
        self._thread.shutdown()

    def _page(self, last: str, limit: int, project_id: str | None) -> Page:
        if self._last_odd_id is not None:
            return self._odd_page(last, limit)
        said = self._instances.facts_after(last, limit, project_id)
        if not said.facts:
            return Page(last, is_end=True)
        return Page(said.facts[-1][0], said.facts, said.suspects)

    def _odd_page(self, last: str, limit: int) -> Page:
        assert self._last_odd_id is not None
        invalid = [] if self._last_odd_id else self._instances.without_an_id()
        odd = self._instances.odd_after(self._last_odd_id, limit)
        self._last_odd_id = odd and odd.last_id
        suspects = []
        if odd is not None:
            suspects += [each.uuid for each in odd.instances if not each.hidden]
            invalid += odd.invalid
        suspects += [each.uuid for each in invalid if each.uuid is not None]
        nobodys = [each for each in invalid if each.uuid is None]
        return Page(last, suspects=suspects, invalid=nobodys, odd=len(suspects) + len(nobodys))

    def _of(self, uuids: Sequence[str]) -> InstanceRows:
        if self._odd is None:
            self._odd = self._instances.odd_spellings()
        now = self._reader.now()
        return InstanceRows(self._instances.of(uuids, self._odd), now)

    @property
    def _instances(self) -> Instances:
        if self._opened is None:
            self._opened = Instances(self._reader, self.cell)
        return self._opened
