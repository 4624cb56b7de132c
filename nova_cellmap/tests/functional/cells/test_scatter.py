# SPDX-License-Identifier: Apache-2.0
"""Calling a function in many cells at once."""

from collections.abc import Callable
import os
import threading
import time
from typing import Any

from oslo_context import context as oslo_context
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.cells import scatter
from nova_cellmap.cells import target
from nova_cellmap.cells.scatter import Answer
from nova_cellmap.cells.scatter import Failure
from nova_cellmap.cells.scatter import NoAnswer
from nova_cellmap.cells.scatter import Why
from nova_cellmap.context import RequestContext
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.cells import servers
from nova_cellmap.upkeep import registration

# In seconds: what a cell that answers takes at most, and how long others are waited for.
_QUICK = 5
_PATIENCE = 0.5


def _count(context: RequestContext) -> int:
    with context.cell.reader() as connection:
        query = sa.select(sa.func.count()).select_from(nova_cell.instances)
        return int(connection.execute(query).scalar_one())


class _Case(cells_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # What a test leaves hanging is let go at its end.
        self.end = threading.Event()
        self.addCleanup(target.forget_all)
        self.addCleanup(lambda: scatter.forget_troubles(scatter.troubles()))
        self.addCleanup(self.wait_for_threads, 0)
        self.addCleanup(self.end.set)

    def override(self, **options: Any) -> None:
        for name, value in options.items():
            self.conf.set_override(name, value, group='cells')

    def gather(self, *cells: CellMapping, timeout: float = _QUICK) -> scatter.Results[int]:
        return scatter.scatter_gather_cells(self.context, cells, timeout, _count)

    def hang(self, *cells: CellMapping, timeout: float = 0.05) -> scatter.Results[None]:
        return scatter.scatter_gather_cells(self.context, cells, timeout, self.until_end)

    def until_end(self, context: RequestContext) -> None:
        self.end.wait(60)

    def silent_cell(self, name: str = 'silent') -> CellMapping:
        self.override(read_timeout=3)
        url = servers.mariadb_at(servers.silent_port(self))
        return self.make_cell(name=name, database_connection=url)

    def refusing_cell(self, name: str = 'refusing') -> CellMapping:
        url = servers.mariadb_at(servers.refusing_port())
        return self.make_cell(name=name, database_connection=url)

    def wait_for_threads(self, count: int) -> None:
        end = time.monotonic() + 20
        while (found := scatter.count_threads().running) != count:
            if time.monotonic() > end:
                raise AssertionError(f'{found} threads are there, not {count}')
            time.sleep(0.01)

    def why(self, result: Any) -> Why:
        assert isinstance(result, NoAnswer), result
        return result.why


@base.on_each_database
class Calls(_Case):
    def test_each_cell_answers_for_itself(self) -> None:
        cell2, nova2 = self.new_cell('cell2')
        nova_cell.fill(self.nova, 3)
        nova_cell.fill(nova2, 5)
        results = self.gather(self.cell, cell2)
        self.assertEqual({self.cell.uuid: 3, cell2.uuid: 5}, results.answers)
        self.assertEqual({}, results.failures)
        self.assertEqual([3, 5], sorted(result.get() for result in results.values()))

    def test_each_call_has_a_name_of_its_own(self) -> None:
        cell0 = self.make_cell(
            uuid=CellMapping.CELL0_UUID, database_connection=cells_base.url_of(self.new_nova())
        )
        both = {cell0.uuid: 0, self.cell.uuid: 0}
        skipped = {self.cell.uuid: 0}
        self.assertEqual(both, scatter.scatter_gather_all_cells(self.context, _count).answers)
        self.assertEqual(skipped, scatter.scatter_gather_skip_cell0(self.context, _count).answers)
        single = scatter.scatter_gather_single_cell(self.context, self.cell, _count)
        self.assertEqual(skipped, single.answers)

    def test_the_function_writes(self) -> None:
        def write(context: RequestContext, uuid: str, *, host: str) -> None:
            with context.cell.writer() as connection:
                values = {'uuid': uuid, 'host': host, 'deleted': 0}
                connection.execute(nova_cell.instances.insert().values(values))

        uuid = base.new_uuid()
        results = scatter.scatter_gather_cells(
            self.context, [self.cell], _QUICK, write, uuid, host='compute1'
        )
        self.assertEqual({self.cell.uuid: None}, results.answers)
        self.assertEqual([uuid], list(cells_base.instances_in(self.nova)))

    def test_the_connections_to_cells_that_are_gone_are_closed(self) -> None:
        gone, nova = self.new_cell('gone')
        self.gather(self.cell, gone)
        gone.destroy()
        scatter.scatter_gather_all_cells(self.context, _count)
        self.assertEqual(1, target.count_open())
        servers.wait_for_no_connections_to(nova)

    def test_no_cells_give_no_results(self) -> None:
        self.assertEqual({}, self.gather())

    def test_a_cell_that_is_given_twice_is_called_once(self) -> None:
        self.assertEqual(1, len(list(self.as_answered(self.cell, self.cell))))

    def as_answered(self, *cells: CellMapping) -> Any:
        return scatter.as_answered(self.context, cells, _QUICK, _count)


class Contexts(_Case):
    def test_the_function_has_a_context_of_its_own_in_a_thread_of_its_own(self) -> None:
        def look(context: RequestContext) -> Any:
            return context, threading.get_ident(), oslo_context.get_current()

        cell2, _ = self.new_cell('cell2')
        results = scatter.scatter_gather_cells(
            self.context, [self.cell, cell2], _QUICK, look
        ).answers.values()
        self.assertEqual(3, len({id(self.context), *(id(context) for context, _, _ in results)}))
        self.assertNotIn(threading.get_ident(), [thread for _, thread, _ in results])
        for context, _, logged in results:
            self.assertEqual(self.context.request_id, context.request_id)
            self.assertIs(context, logged)
        self.assertRaises(exception.NoCellTargeted, getattr, self.context, 'cell')


class Results(_Case):
    """A failure cannot be taken for a value."""

    def test_an_answer(self) -> None:
        result = self.gather(self.cell)[self.cell.uuid]
        self.assertEqual(Answer(self.cell, 0), result)
        self.assertFalse(scatter.is_cell_failure_sentinel(result))
        match result:
            case Answer(cell, value):
                self.assertEqual((self.cell.uuid, 0), (cell.uuid, value))
            case _:
                self.fail(str(result))

    def test_an_error_of_the_function(self) -> None:
        def fail(context: RequestContext) -> int:
            raise LookupError('x')

        results = scatter.scatter_gather_cells(self.context, [self.cell], _QUICK, fail)
        result = results[self.cell.uuid]
        assert isinstance(result, Failure)
        self.assertEqual(self.cell.uuid, result.cell.uuid)
        self.assertRaises(LookupError, result.get)
        self.assertFalse(hasattr(result, 'value'))
        self.assertTrue(scatter.is_cell_failure_sentinel(result))
        self.assertEqual(({}, {self.cell.uuid: result}), (results.answers, results.failures))

    def test_an_error_as_a_value_is_an_answer(self) -> None:
        def answer(context: RequestContext) -> Exception:
            return LookupError('x')

        results = scatter.scatter_gather_cells(self.context, [self.cell], _QUICK, answer)
        self.assertIsInstance(results.answers[self.cell.uuid], LookupError)

    def test_what_ends_a_thread_ends_no_more_than_that(self) -> None:
        def leave(context: RequestContext) -> int:
            raise SystemExit(3)

        results = scatter.scatter_gather_cells(self.context, [self.cell], _QUICK, leave)
        self.assertIsInstance(results[self.cell.uuid], Failure)

    def test_a_cell_that_cannot_be_reached(self) -> None:
        cell = self.refusing_cell()
        result = self.gather(cell)[cell.uuid]
        error = self.assertRaises(exception.CellUnreachable, result.get)
        self.assertNotIn('sekret', str(error) + repr(result))

    def test_no_answer(self) -> None:
        cell = self.silent_cell()
        result = self.gather(cell, timeout=0.1)[cell.uuid]
        assert isinstance(result, NoAnswer)
        self.assertEqual((cell.uuid, Why.TIMEOUT), (result.cell.uuid, result.why))
        error = self.assertRaises(exception.CellDidNotAnswer, result.get)
        self.assertIn('no answer within 0.1 s', str(error))
        self.assertNotIn('sekret', str(error) + repr(result))


class Deadlines(_Case):
    def test_dead_cells_do_not_delay_the_others(self) -> None:
        dead = [self.silent_cell('silent1'), self.silent_cell('silent2'), self.refusing_cell()]
        alive = [self.cell, self.new_cell('cell2')[0]]
        began = time.monotonic()
        come = scatter.as_answered(self.context, [*dead, *alive], 3, _count)
        first = [next(come) for _ in range(3)]
        self.assertLess(time.monotonic() - began, 2)
        expected = {dead[2].uuid, *(cell.uuid for cell in alive)}
        self.assertEqual(expected, {result.cell.uuid for result in first})
        self.assertEqual({dead[0].uuid, dead[1].uuid}, {result.cell.uuid for result in come})

    def test_a_call_takes_no_longer_than_its_timeout(self) -> None:
        began = time.monotonic()
        results = self.gather(self.silent_cell(), self.cell, timeout=_PATIENCE)
        self.assertLess(time.monotonic() - began, _PATIENCE + 0.5)
        self.assertEqual({self.cell.uuid: 0}, results.answers)

    def test_what_came_in_time_counts_however_late_it_is_asked_for(self) -> None:
        come = scatter.as_answered(self.context, [self.cell], _PATIENCE, _count)
        time.sleep(2 * _PATIENCE)
        self.assertEqual([0], [result.get() for result in come])

    def test_what_came_too_late_does_not_count(self) -> None:
        def sleep(context: RequestContext) -> int:
            time.sleep(0.2)
            return 1

        come = scatter.as_answered(self.context, [self.cell], 0.1, sleep)
        time.sleep(0.4)
        self.assertEqual([Why.TIMEOUT], [self.why(result) for result in come])

    def test_the_options_say_how_long_by_default(self) -> None:
        self.override(timeout=0.1)
        result = scatter.scatter_gather_single_cell(self.context, self.cell, self.until_end)
        self.assertEqual(Why.TIMEOUT, self.why(result[self.cell.uuid]))

    def test_threads_that_were_left_are_counted_until_they_end(self) -> None:
        self.hang(self.cell)
        self.assertEqual((1, 1), scatter.count_threads())
        self.assertEqual((1, 1), scatter.count_threads(self.cell.uuid))
        self.assertEqual((0, 0), scatter.count_threads(base.new_uuid()))
        self.end.set()
        self.wait_for_threads(0)

    def test_a_silent_server_keeps_a_thread_no_longer_than_its_connection(self) -> None:
        cell = self.silent_cell()
        self.override(read_timeout=1)
        self.gather(cell, timeout=0.1)
        self.assertEqual((1, 1), scatter.count_threads())
        self.wait_for_threads(0)

    def test_when_a_call_is_over_no_thread_is_left_of_cells_that_answered(self) -> None:
        before = threading.active_count()
        self.gather(self.cell)
        self.wait_for_threads(0)
        end = time.monotonic() + 5
        while threading.active_count() > before and time.monotonic() < end:
            time.sleep(0.01)
        self.assertEqual(before, threading.active_count())


class Limits(_Case):
    def test_a_cell_has_no_more_threads_than_it_may(self) -> None:
        self.override(max_workers_per_cell=2, failures_before_skip=0)
        whys = [self.why(self.hang(self.cell)[self.cell.uuid]) for _ in range(4)]
        self.assertEqual([Why.TIMEOUT] * 2 + [Why.NO_WORKER] * 2, whys)
        self.assertEqual((2, 2), scatter.count_threads())

    def test_the_threads_of_a_dead_cell_are_not_missed_by_others(self) -> None:
        self.override(max_workers_per_cell=2, failures_before_skip=0)
        for _ in range(4):
            self.hang(self.cell)
        other, _ = self.new_cell('other')
        self.assertEqual({other.uuid: 0}, self.gather(other).answers)

    def test_a_cell_that_moved_does_not_wait_for_the_threads_in_its_old_place(self) -> None:
        self.override(max_workers_per_cell=1, failures_before_skip=0)
        self.hang(self.cell)
        changes = {'database_connection': cells_base.url_of(self.new_nova())}
        moved = registration.update_cell(self.context, self.conf, self.cell, **changes)
        self.assertEqual({moved.uuid: 0}, self.gather(moved).answers)

    def test_more_calls_than_threads_wait_for_one_another(self) -> None:
        self.override(max_workers=2)
        running: list[int] = []

        def work(context: RequestContext) -> int:
            running.append(scatter.count_threads().running)
            time.sleep(0.02)
            return 1

        cells = [self.make_cell(name=f'many{number}') for number in range(10)]
        results = scatter.scatter_gather_cells(self.context, cells, _QUICK, work)
        self.assertEqual(10, sum(results.answers.values()))
        self.assertEqual(2, max(running))

    def test_who_waits_for_a_thread_waits_no_longer_than_its_timeout(self) -> None:
        self.override(max_workers=1)
        self.hang(self.cell)
        other, _ = self.new_cell('other')
        began = time.monotonic()
        result = self.gather(other, timeout=_PATIENCE)[other.uuid]
        self.assertEqual(Why.NO_WORKER, self.why(result))
        self.assertLess(time.monotonic() - began, _PATIENCE + 0.5)
        self.assertNotIn(other.uuid, scatter.troubles())

    def test_what_nobody_waits_for_any_longer_is_not_done(self) -> None:
        self.override(max_workers=1)
        self.hang(self.cell)
        done: list[str] = []

        def work(context: RequestContext) -> None:
            done.append(context.cell.uuid)

        other, _ = self.new_cell('other')
        scatter.scatter_gather_cells(self.context, [other], 0.05, work)
        self.end.set()
        self.wait_for_threads(0)
        self.assertEqual([], done)

    def test_who_looks_at_some_results_only_leaves_nothing_behind(self) -> None:
        cells = [self.cell, self.new_cell('cell2')[0]]
        next(scatter.as_answered(self.context, cells, _QUICK, _count))
        self.wait_for_threads(0)
        self.assertEqual(2, len(self.gather(*cells).answers))


class Skipping(_Case):
    def test_a_cell_that_keeps_failing_is_skipped_and_tried_again(self) -> None:
        self.override(failures_before_skip=2, skip_time=1)
        cell = self.refusing_cell()
        for number in (1, 2):
            self.assertIsInstance(self.gather(cell)[cell.uuid], Failure)
            self.assertEqual(number, scatter.troubles()[cell.uuid].failures)
        result = self.gather(cell)[cell.uuid]
        assert isinstance(result, NoAnswer)
        self.assertEqual(Why.SKIPPED, result.why)
        self.assertIn('2 times in a row', result.reason)
        self.assertIn('refused', result.reason)
        assert result.until
        self.assertEqual(
            result.until.replace(microsecond=0),
            scatter.troubles()[cell.uuid].until.replace(microsecond=0),  # type: ignore[union-attr]
        )
        time.sleep(1.1)
        self.assertIsInstance(self.gather(cell)[cell.uuid], Failure)
        self.assertEqual(Why.SKIPPED, self.why(self.gather(cell)[cell.uuid]))

    def test_a_cell_that_hangs_is_skipped_at_once(self) -> None:
        self.override(failures_before_skip=2)
        for _ in range(2):
            self.hang(self.cell)
        began = time.monotonic()
        result = self.gather(self.cell)[self.cell.uuid]
        self.assertLess(time.monotonic() - began, 1)
        self.assertEqual(Why.SKIPPED, self.why(result))

    def test_one_call_tries_it_while_others_skip_it(self) -> None:
        self.override(failures_before_skip=1, skip_time=1)
        self.hang(self.cell)
        time.sleep(1.1)
        probe = scatter.as_answered(self.context, [self.cell], _QUICK, self.until_end)
        self.assertEqual(Why.SKIPPED, self.why(self.gather(self.cell)[self.cell.uuid]))
        self.end.set()
        self.assertIsInstance(next(probe), Answer)
        self.assertEqual({self.cell.uuid: 0}, self.gather(self.cell).answers)
        self.assertEqual({}, scatter.troubles())

    def test_an_answer_begins_the_count_anew(self) -> None:
        self.override(failures_before_skip=2)
        for _ in range(3):
            self.hang(self.cell)
            self.assertEqual({self.cell.uuid: 0}, self.gather(self.cell).answers)

    def test_an_error_of_the_function_is_an_answer_of_the_cell(self) -> None:
        def fail(context: RequestContext) -> int:
            raise LookupError('x')

        self.override(failures_before_skip=1)
        for _ in range(3):
            results = scatter.scatter_gather_cells(self.context, [self.cell], _QUICK, fail)
            self.assertIsInstance(results[self.cell.uuid], Failure)
        self.assertEqual({}, scatter.troubles())

    def test_a_cell_that_moved_is_tried_at_once(self) -> None:
        self.override(failures_before_skip=1)
        cell = self.refusing_cell()
        self.gather(cell)
        changes = {'database_connection': cells_base.url_of(self.new_nova())}
        moved = registration.update_cell(self.context, self.conf, cell, **changes)
        self.assertEqual({moved.uuid: 0}, self.gather(moved).answers)

    def test_it_can_be_switched_off(self) -> None:
        self.override(failures_before_skip=0)
        cell = self.refusing_cell()
        for _ in range(5):
            self.assertIsInstance(self.gather(cell)[cell.uuid], Failure)

    def test_an_operator_can_have_a_cell_tried_at_once(self) -> None:
        self.override(failures_before_skip=1)
        cell = self.refusing_cell()
        self.gather(cell)
        scatter.forget_troubles([cell.uuid])
        self.assertIsInstance(self.gather(cell)[cell.uuid], Failure)

    def test_cells_that_are_gone_are_no_trouble(self) -> None:
        cell = self.refusing_cell()
        self.gather(cell)
        cell.destroy()
        scatter.scatter_gather_all_cells(self.context, _count)
        self.assertEqual({}, scatter.troubles())


class Forks(_Case):
    def test_a_child_begins_without_threads_and_troubles(self) -> None:
        self.override(failures_before_skip=1)
        cell = self.refusing_cell()
        self.gather(cell)
        self.hang(self.cell)
        other, _ = self.new_cell('other')

        def look() -> bool:
            is_anew = (scatter.count_threads(), scatter.troubles()) == ((0, 0), {})
            return is_anew and self.gather(other).answers == {other.uuid: 0}

        self.assertEqual(0, _status_of_child(look))
        self.assertEqual((1, 1), scatter.count_threads())


def _status_of_child(work: Callable[[], bool]) -> int:
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
