# SPDX-License-Identifier: Apache-2.0
"""The threads that work in cells, each on one cell's part of a call.

A thread that waits for a cell cannot be ended from outside. So there is a limit for the
runtime, and a lower one for each cell: a cell that does not answer holds up no more than
its own threads.
"""

import collections
from collections.abc import Callable
import logging
import threading
import time
from typing import Any, NamedTuple

from nova_cellmap import runtime
from nova_cellmap.cells import connections
from nova_cellmap.objects.cell_mapping import CellMapping

LOG = logging.getLogger(__name__)


class Count(NamedTuple):
    """How many threads work in cells, and how many of them nobody waits for any longer."""

    running: int
    stuck: int


class Task:
    """One cell's part of a call.

    :param run: does it, and tells those who wait; it must not raise
    :param deadline: until when somebody waits, on the clock of ``time.monotonic``
    :ivar has_begun: whether a thread does it, or did
    """

    def __init__(self, cell: CellMapping, deadline: float, run: 'Callable[[Task], None]') -> None:
        self.cell = cell
        # A cell whose URL was changed does not wait for the threads in its old place.
        self.line = (cell.uuid, connections.place_of(cell))
        self.deadline = deadline
        self.run = run
        self.has_begun = False

    @property
    def is_overdue(self) -> bool:
        return time.monotonic() > self.deadline


_Line = tuple[str, connections.Place]


class Workers(runtime.Part):
    """The threads of a runtime, and what waits for one."""

    def __init__(self, owner: Any) -> None:
        self._lock = threading.Lock()
        self._lines: dict[_Line, set[Task]] = {}
        self._waiting: collections.deque[Task] = collections.deque()

    def start(self, task: Task, limit: int, limit_per_cell: int) -> bool:
        """Have a thread do a task, now or when one is free, unless nobody waits any longer.

        :returns: False where the cell's threads all wait for it although nobody waits for them
        """
        with self._lock:
            self._waiting = collections.deque(
                waiting for waiting in self._waiting if not waiting.is_overdue
            )
            line = self._lines.get(task.line, set())
            if len(line) >= limit_per_cell and all(other.is_overdue for other in line):
                return False
            if len(line) >= limit_per_cell or self._count() >= limit:
                self._waiting.append(task)
                return True
            self._enter(task)
        thread = threading.Thread(
            target=self._work,
            args=(task, limit_per_cell),
            name=f'cell {task.cell.uuid}',
            # One that waits for ever must not keep the process from ending.
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError as error:
            LOG.warning('There is no thread for cell %s: %s', task.cell.identity, error)
            with self._lock:
                self._leave(task)
            return False
        return True

    def count(self, uuid: str | None = None) -> Count:
        """How many threads there are.

        :param uuid: only those in that cell
        """
        with self._lock:
            tasks = [
                task
                for line in self._lines.values()
                for task in line
                if uuid in (None, task.cell.uuid)
            ]
        return Count(len(tasks), sum(task.is_overdue for task in tasks))

    def _work(self, first: Task, limit_per_cell: int) -> None:
        task: Task | None = first
        while task is not None:
            task.run(task)
            if task.is_overdue:
                LOG.info('A thread that nobody waited for has left cell %s', task.cell.identity)
            with self._lock:
                self._leave(task)
                task = self._next(limit_per_cell)

    def _next(self, limit_per_cell: int) -> Task | None:
        for task in self._waiting:
            is_full = len(self._lines.get(task.line, ())) >= limit_per_cell
            if not is_full and not task.is_overdue:
                self._waiting.remove(task)
                self._enter(task)
                return task
        return None

    def _enter(self, task: Task) -> None:
        task.has_begun = True
        self._lines.setdefault(task.line, set()).add(task)

    def _leave(self, task: Task) -> None:
        line = self._lines[task.line]
        line.remove(task)
        if not line:
            del self._lines[task.line]

    def _count(self) -> int:
        return sum(map(len, self._lines.values()))
