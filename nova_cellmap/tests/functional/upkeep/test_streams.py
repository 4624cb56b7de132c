# SPDX-License-Identifier: Apache-2.0
"""The mapping and the instances of cells, side by side."""

import bisect
from concurrent import futures
import datetime

import hypothesis
from hypothesis import strategies as st

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.db import api as db_api
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep.streams import CellReader
from nova_cellmap.upkeep.streams import MappingReader
from nova_cellmap.upkeep.streams import Page
from nova_cellmap.upkeep.streams import Stream

_UUIDS = st.sets(st.text('abc', min_size=1, max_size=3)).map(sorted)


class _Side:
    """A side with these facts, read in pages; each reading is noted."""

    def __init__(self, uuids: list[str], limit: int) -> None:
        self.facts = [(uuid, 'said') for uuid in uuids]
        self.limit = limit
        self.asked: list[str] = []

    def read(self, last: str) -> 'futures.Future[Page]':
        self.asked.append(last)
        place = bisect.bisect_right([uuid for uuid, _ in self.facts], last)
        some = self.facts[place : place + self.limit]
        future: futures.Future[Page] = futures.Future()
        future.set_result(Page(some[-1][0], some) if some else Page(last, is_end=True))
        return future


class Streams(tests_base.TestCase):
    @hypothesis.settings(deadline=None)
    @hypothesis.given(st.lists(_UUIDS, min_size=1, max_size=3), st.integers(1, 4))
    def test_sides_are_taken_in_step_and_nothing_is_left_out(
        self, sides: list[list[str]], limit: int
    ) -> None:
        streams = [Stream(_Side(uuids, limit).read) for uuids in sides]
        taken: list[list[str]] = [[] for _ in sides]
        reached = ''
        while True:
            for stream in streams:
                stream.fill()
            ends = [stream.last for stream in streams if not stream.is_done]
            if not ends:
                break
            end = min(ends)
            for stream, mine in zip(streams, taken, strict=True):
                some = [uuid for uuid, _ in stream.take(end)]
                # What is behind the end stays, and what was before it was taken before.
                self.assertTrue(all(reached < uuid <= end for uuid in some))
                mine += some
            reached = end
        self.assertEqual(sides, taken)

    def test_a_page_is_read_ahead_and_told_of_once(self) -> None:
        side = _Side(['a', 'b', 'c'], 2)
        stream = Stream(side.read)
        self.assertEqual([''], side.asked)
        page = stream.fill()
        self.assertEqual('b', page.last if page else None)
        self.assertEqual(['', 'b'], side.asked)
        # It has not been taken yet.
        self.assertIsNone(stream.fill())
        self.assertEqual([('a', 'said')], stream.take('a'))
        self.assertIsNone(stream.fill())
        self.assertEqual([('b', 'said')], stream.take('b'))
        page = stream.fill()
        self.assertEqual('c', page.last if page else None)

    def test_it_begins_behind_a_uuid(self) -> None:
        side = _Side(['a', 'b', 'c'], 2)
        stream = Stream(side.read, 'a')
        stream.fill()
        self.assertEqual([('b', 'said'), ('c', 'said')], stream.take('c'))

    def test_at_the_end_nothing_is_left(self) -> None:
        stream = Stream(_Side([], 2).read)
        page = stream.fill()
        self.assertTrue(page is not None and page.is_end and stream.is_done)
        self.assertEqual((None, ()), (stream.fill(), stream.take('z')))


@base.on_each_database
class Readers(cells_base.TestCase):
    def reader(self) -> CellReader:
        reader = CellReader(self.cell)
        self.addCleanup(reader.close)
        return reader

    def test_pages_of_a_cell(self) -> None:
        uuids = sorted(nova_cell.add(self.nova) for _ in range(3))
        nova_cell.add(self.nova, hidden=True)
        reader = self.reader()
        # The first is of those that are spelled otherwise: there are none.
        self.assertEqual(([], []), self.of_no_order(reader.page('', 2).result()))
        found: list[str] = []
        while not (page := reader.page(found[-1] if found else '', 2).result()).is_end:
            found += [uuid for uuid, _ in page.facts]
            self.assertEqual(found[-1], page.last)
        self.assertEqual(uuids, found)

    def of_no_order(self, page: Page) -> tuple[list[str], list[str]]:
        """Of a page the suspects, and what is nobody's."""
        self.assertEqual(([], False), ([*page.facts], page.is_end))
        self.assertEqual(page.odd, len(page.suspects) + len(page.invalid))
        return [*page.suspects], [row.shown for row in page.invalid]

    def test_rows_that_are_in_no_order_come_first(self) -> None:
        uuid = base.new_uuid()
        nova_cell.add(self.nova, uuid=uuid.upper(), project_id='another')
        nova_cell.add(self.nova, uuid='nonsense')
        nova_cell.add(self.nova, uuid=base.new_uuid().replace('-', ''), hidden=True)
        reader = self.reader()
        suspects, nobodys = list[str](), list[str]()
        while not (page := reader.page('', 1, 'p').result()).is_end:
            some, invalid = self.of_no_order(page)
            suspects += some
            nobodys += invalid
        self.assertEqual(([uuid], ['nonsense']), (suspects, nobodys))

    def test_rows_of_some_and_the_time(self) -> None:
        uuid, hidden = nova_cell.add(self.nova), nova_cell.add(self.nova, hidden=True)
        rows = self.reader().of([uuid, hidden, base.new_uuid()]).result()
        self.assertEqual({uuid, hidden}, {row.uuid for row in rows.found})
        self.assertIsInstance(rows.now, datetime.datetime)

    def test_moves(self) -> None:
        uuid = nova_cell.add(self.nova)
        row = {'instance_uuid': uuid, 'status': 'finished', 'cross_cell_move': True, 'deleted': 0}
        with self.nova.begin() as connection:
            connection.execute(nova_cell.migrations.insert(), row)
        moves = self.reader().moves_of([uuid, base.new_uuid()]).result()
        self.assertEqual({uuid: 'finished'}, moves)

    def test_whether_it_is_empty(self) -> None:
        self.assertTrue(self.reader().is_empty().result())
        nova_cell.add(self.nova, deleted=7)
        self.assertFalse(self.reader().is_empty().result())

    def test_a_cell_that_cannot_be_read(self) -> None:
        lost = self.make_cell(name='lost', database_connection='sqlite:////nosuch/x.sqlite')
        reader = CellReader(lost)
        self.addCleanup(reader.close)
        for answer in (reader.page('', 2), reader.of([]), reader.is_empty()):
            self.assertIsInstance(answer.exception(), exception.CellUnreachable)

    def test_pages_of_the_mapping(self) -> None:
        uuids = sorted(str(self.make_mapping(project_id='p').instance_uuid) for _ in range(3))
        self.make_mapping(project_id='another')
        reader = MappingReader(self.context, 'p')
        self.addCleanup(reader.close)
        facts: list[db_api.Fact] = []
        while not (page := reader.page(facts[-1][0] if facts else '', 2).result()).is_end:
            facts += page.facts
            self.assertEqual((facts[-1][0], 0), (page.last, page.odd))
        self.assertEqual(uuids, [uuid for uuid, _ in facts])
