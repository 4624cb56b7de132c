# SPDX-License-Identifier: Apache-2.0
"""The connections to cells that are kept open."""

from collections.abc import Callable
from concurrent import futures
import contextlib
import datetime
import os
import threading
import time

import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import cells
from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap import runtime
from nova_cellmap.cells import connections
from nova_cellmap.cells import target
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.cells import servers
from nova_cellmap.upkeep import registration

_instances = nova_cell.instances


@base.on_each_database
class Kept(cells_base.InCells):
    """The connections that are kept, and when they are closed."""

    def test_the_next_block_finds_them_open(self) -> None:
        with self.in_cell() as context:
            first = context.cell.database
        for _ in range(3):
            self.uuids()
        with self.in_cell(self.loaded()) as context:
            self.assertIs(first, context.cell.database)
        self.assertEqual(1, target.count_open())
        self.assertLessEqual(servers.connections_to(self.nova), 1)

    def test_what_a_server_closed_meanwhile_is_opened_again(self) -> None:
        self.uuids()
        servers.kill_connections_to(self.nova)
        self.assertEqual(set(), self.uuids())

    def test_an_updated_cell_is_elsewhere_at_once(self) -> None:
        self.uuids()
        other = self.new_nova()
        expected = nova_cell.add(other)
        self.move(other)
        self.assertEqual({expected}, self.uuids(self.loaded()))
        self.assertEqual(1, target.count_open())
        servers.wait_for_no_connections_to(self.nova)

    def test_who_is_in_the_old_place_may_finish(self) -> None:
        expected = nova_cell.add(self.nova)
        with self.in_cell() as context, context.cell.reader():
            self.uuids(self.move(self.new_nova()))
            self.assertEqual({expected}, cells_base.uuids_of(context))
        self.assertEqual(1, target.count_open())
        servers.wait_for_no_connections_to(self.nova)

    def test_who_has_the_old_mapping_does_not_close_the_new_place(self) -> None:
        expected, old = nova_cell.add(self.nova), self.loaded()
        new = self.move(self.new_nova())
        old.created_at = new.created_at
        with self.in_cell(new) as context:
            database = context.cell.database
        self.assertEqual({expected}, self.uuids(old))
        with self.in_cell(new) as context:
            self.assertIs(database, context.cell.database)
        self.assertEqual(1, target.count_open())
        servers.wait_for_no_connections_to(self.nova)

    def test_a_clock_that_is_ahead_costs_no_connection_for_each_call(self) -> None:
        cell, later = self.move(self.new_nova()), self.move(self.nova)
        assert later.updated_at is not None
        cell.updated_at = later.updated_at + datetime.timedelta(hours=1)
        self.uuids(cell)
        databases = []
        for _ in range(8):
            with self.in_cell(later) as context:
                databases.append(context.cell.database)
        self.assertEqual(1, len({id(database) for database in databases[-4:]}))
        self.assertEqual(1, target.count_open())

    def test_a_cell_that_moves_back_is_where_it_was(self) -> None:
        expected, other = nova_cell.add(self.nova), self.new_nova()
        self.uuids()
        self.assertEqual(set(), self.uuids(self.move(other)))
        self.assertEqual({expected}, self.uuids(self.move(self.nova)))
        self.assertEqual(1, target.count_open())
        servers.wait_for_no_connections_to(other)

    def test_two_cells_in_one_database_share_them(self) -> None:
        twin = self.make_cell(name='twin', database_connection=cells_base.url_of(self.nova))
        self.uuids()
        self.uuids(twin)
        self.assertEqual(1, target.count_open())
        target.forget([twin.uuid])
        self.assertEqual(1, target.count_open())
        target.forget([self.cell.uuid])
        self.assertEqual(0, target.count_open())

    def test_a_cell_that_is_removed_is_closed(self) -> None:
        self.uuids()
        self.assertEqual(1, target.count_open())
        registration.delete_cell(self.context, self.loaded())
        self.assertEqual(0, target.count_open())

    def test_they_are_found_in_the_package(self) -> None:
        self.assertIs(target.target_cell, cells.target_cell)
        for name in cells.__all__:
            self.assertTrue(callable(getattr(cells, name)))

    def test_a_cell_that_is_forgotten_is_closed(self) -> None:
        self.uuids()
        target.forget([self.cell.uuid, base.new_uuid()])
        self.assertEqual(0, target.count_open())
        servers.wait_for_no_connections_to(self.nova)
        self.uuids()
        target.forget_all_but([self.cell.uuid])
        self.assertEqual(1, target.count_open())
        target.forget_all_but([])
        self.assertEqual(0, target.count_open())

    def test_no_more_are_kept_than_may_be(self) -> None:
        self.override(max_open_cells=2)
        cells = [self.new_cell(f'other{number}') for number in range(3)]
        with self.in_cell() as context:
            for cell, _ in cells:
                self.uuids(cell)
            self.assertEqual(2, target.count_open())
            self.assertEqual(set(), cells_base.uuids_of(context))
        for _, nova in cells[:2]:
            servers.wait_for_no_connections_to(nova)

    def test_more_than_may_be_kept_can_be_used_at_once(self) -> None:
        self.override(max_open_cells=1)
        other, _ = self.new_cell('other')
        with self.in_cell() as one, self.in_cell(other) as two:
            self.assertEqual((set(), set()), (cells_base.uuids_of(one), cells_base.uuids_of(two)))
            self.assertEqual(2, target.count_open())
        self.assertEqual(1, target.count_open())

    def test_what_nobody_uses_for_long_is_closed(self) -> None:
        self.uuids()
        self.override(idle_timeout=1)
        time.sleep(1.1)
        self.uuids(self.new_cell('other')[0])
        self.assertEqual(1, target.count_open())
        servers.wait_for_no_connections_to(self.nova)

    def test_another_configuration_closes_those_of_the_one_before(self) -> None:
        self.uuids()
        nova_cellmap.configure(self.make_conf())
        self.uuids(self.new_cell('other')[0])
        self.assertEqual(1, target.count_open())
        servers.wait_for_no_connections_to(self.nova)


@base.on_each_database
class Races(cells_base.InCells):
    def test_a_url_is_changed_under_running_lookups(self) -> None:
        """Every lookup is in the old or the new database, and the old one is left in the end."""
        other = self.new_nova()
        old, new = nova_cell.add(self.nova), nova_cell.add(other)
        places = {old: self.nova, new: other}
        end, seen = threading.Event(), []

        def look_up() -> None:
            stale = self.loaded()
            while not end.is_set():
                # Some ask for the mapping each time, some only now and then.
                for cell in (self.loaded(), stale):
                    [found] = self.uuids(cell)
                    seen.append(found)
                stale = self.loaded()

        with futures.ThreadPoolExecutor(6) as threads:
            running = [threads.submit(look_up) for _ in range(6)]
            try:
                for place in (other, self.nova, other):
                    time.sleep(0.4)
                    changed = self.move(place)
                time.sleep(0.4)
            finally:
                end.set()
            for each in running:
                each.result()
        self.assertEqual(places.keys(), set(seen))
        self.assertEqual({new}, self.uuids(changed))
        self.assertEqual(1, target.count_open())
        servers.wait_for_no_connections_to(self.nova)

    def test_many_threads_in_more_cells_than_are_kept_open(self) -> None:
        self.override(max_open_cells=2)
        cells = [self.cell, *(self.new_cell(f'cell{number}')[0] for number in range(2, 6))]

        def work(number: int) -> int:
            return sum(len(self.uuids(cells[(number + turn) % 5])) for turn in range(20))

        with futures.ThreadPoolExecutor(8) as threads:
            self.assertEqual([0] * 8, list(threads.map(work, range(8))))
        self.assertEqual(2, target.count_open())


@base.on_each_database
class Forks(cells_base.InCells):
    """A child has connections of its own, and leaves its parent's alone."""

    def in_child(self, work: Callable[[], bool]) -> bool:
        """What a child answers, which must come within seconds."""
        pid = os.fork()
        if pid == 0:
            status = 2
            with contextlib.suppress(BaseException):
                status = 0 if work() else 1
            os._exit(status)
        end = time.monotonic() + 20
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                raise AssertionError('the child hangs')
            time.sleep(0.01)
        return True

    def test_the_parents_connections_survive_the_child(self) -> None:
        expected = {nova_cell.add(self.nova)}
        with self.in_cell() as context, context.cell.reader() as connection:
            query = sa.select(_instances.c.uuid)
            self.assertEqual(expected, set(connection.execute(query).scalars()))
            with self.in_cell(self.cell):
                self.check(lambda: self.uuids(self.child_cell()) == expected)
            self.assertEqual(expected, set(connection.execute(query).scalars()))
        self.assertEqual(expected, self.uuids())

    def child_cell(self) -> CellMapping:
        # Not loaded: the mapping's own connections are another matter.
        return self.cell

    def check(self, work: Callable[[], bool]) -> None:
        read, write = os.pipe()
        self.in_child(lambda: bool(os.write(write, b'1' if work() else b'0')))
        os.close(write)
        answer = os.read(read, 1)
        os.close(read)
        self.assertEqual(b'1', answer)

    def test_a_context_that_was_targeted_in_the_parent_is_refused(self) -> None:
        def is_refused() -> bool:
            try:
                context.cell.reader()
            except exception.NoCellTargeted:
                return True
            return False

        with self.in_cell() as context:
            cells_base.uuids_of(context)
            self.check(is_refused)

    def test_a_lock_that_is_held_during_the_fork_stays_with_the_parent(self) -> None:
        with self.in_cell(), runtime.default().part(connections.OpenConnections)._lock:
            self.check(lambda: self.uuids(self.child_cell()) == set())

    def test_a_block_that_the_child_leaves_closes_nothing(self) -> None:
        def leave() -> bool:
            stack.close()
            return target.count_open() == 0

        with contextlib.ExitStack() as stack:
            context = stack.enter_context(self.in_cell())
            cells_base.uuids_of(context)
            self.check(leave)
            self.assertEqual(set(), cells_base.uuids_of(context))
