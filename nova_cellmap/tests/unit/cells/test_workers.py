# SPDX-License-Identifier: Apache-2.0
"""The threads that work in cells, and their limits."""

import random
import threading
import time

from nova_cellmap import runtime
from nova_cellmap.cells import workers
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests import base

_LONG = 60


class Workers(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.runtime = runtime.Parts()
        self.workers = self.runtime.part(workers.Workers)
        self.begun: list[str] = []
        self.end = threading.Event()
        self.addCleanup(self.wait_for, 0)
        self.addCleanup(self.end.set)

    def cell(self, number: int = 1, url: str = 'none:///') -> CellMapping:
        uuid = f'00000000-0000-4000-8000-{number:012}'
        return CellMapping(uuid=uuid, database_connection=url, transport_url='none:///')

    def task(self, cell: CellMapping, seconds: float = _LONG) -> workers.Task:
        """Something that goes on until the end."""
        return workers.Task(cell, time.monotonic() + seconds, self.hang)

    def hang(self, task: workers.Task) -> None:
        self.begun.append(task.cell.uuid)
        self.end.wait(_LONG)

    def wait_for(self, running: int) -> None:
        end = time.monotonic() + 10
        while self.workers.count().running != running:
            if time.monotonic() > end:
                raise AssertionError(f'{self.workers.count()}, not {running}')
            time.sleep(0.005)

    def test_a_task_has_a_thread_at_once(self) -> None:
        self.assertTrue(self.workers.start(self.task(self.cell()), 10, 10))
        self.assertEqual((1, 0), self.workers.count())

    def test_one_that_is_over_its_time_is_stuck(self) -> None:
        self.workers.start(self.task(self.cell(), seconds=0), 10, 10)
        self.wait_for(1)
        time.sleep(0.01)
        self.assertEqual((1, 1), self.workers.count())

    def test_a_cell_waits_in_its_own_line(self) -> None:
        tasks = [self.task(self.cell()) for _ in range(3)]
        for task in tasks:
            self.assertTrue(self.workers.start(task, 10, 2))
        other = self.task(self.cell(2))
        self.workers.start(other, 10, 2)
        self.assertEqual([True, True, False], [task.has_begun for task in tasks])
        self.assertTrue(other.has_begun)
        self.end.set()
        self.wait_for(0)
        self.assertTrue(tasks[2].has_begun)

    def test_a_cell_whose_threads_are_all_stuck_gets_no_more(self) -> None:
        for _ in range(2):
            self.workers.start(self.task(self.cell(), seconds=0), 10, 2)
        time.sleep(0.01)
        self.assertFalse(self.workers.start(self.task(self.cell()), 10, 2))
        self.assertTrue(self.workers.start(self.task(self.cell(url='sqlite:///x')), 10, 2))

    def test_a_task_that_nobody_waits_for_any_longer_is_dropped(self) -> None:
        self.workers.start(self.task(self.cell()), 1, 1)
        late = self.task(self.cell(), seconds=0.01)
        self.workers.start(late, 1, 1)
        time.sleep(0.02)
        self.end.set()
        self.wait_for(0)
        self.assertFalse(late.has_begun)

    def test_whatever_comes_is_done_within_the_limits(self) -> None:
        lock, running, most = threading.Lock(), [0], [0]
        done = threading.Semaphore(0)

        def work(task: workers.Task) -> None:
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            time.sleep(0.001)
            with lock:
                running[0] -= 1
            done.release()

        dice = random.Random(1)
        for _ in range(300):
            cell = self.cell(dice.randrange(5))
            task = workers.Task(cell, time.monotonic() + _LONG, work)
            self.assertTrue(self.workers.start(task, 4, 2))
        for _ in range(300):
            self.assertTrue(done.acquire(timeout=10))
        self.assertEqual(4, most[0])
