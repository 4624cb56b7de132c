# SPDX-License-Identifier: Apache-2.0
"""Threads for what may take without end.

A caller waits for as long as it wants, and no longer. What it waited for goes on, in a thread of
its own, and nobody hears of it.
"""

import collections
from collections.abc import Callable
import contextvars
import queue
import threading
import time
from typing import Any

# In seconds: for how long a thread waits for more work before it ends.
_IDLE = 60


class Helpers:
    """Threads that are kept for the next work, made as they are needed.

    :param most: so many at the same time, also of those that nobody waits for any more
    """

    def __init__(self, most: int) -> None:
        self._free = threading.Semaphore(most)
        self._idle: collections.deque[_Helper] = collections.deque()

    def run(self, work: Callable[[], Any], seconds: float) -> Any:
        """Answer what *work* does, or raise what it raises.

        :raises: TimeoutError where it is not done within that time
        """
        end = time.monotonic() + seconds
        if not self._free.acquire(timeout=seconds):
            raise TimeoutError('too many calls wait for an answer already')
        task = _Task(contextvars.copy_context(), work)
        try:
            helper = self._idle.pop()
        except IndexError:
            helper = _Helper(self._idle, self._free)
            helper.start()
        helper.tasks.put(task)
        if not task.done.acquire(timeout=max(0, end - time.monotonic())):
            raise TimeoutError('it is not done in time')
        if task.error is not None:
            raise task.error
        return task.result


class _Task:
    result: Any = None
    error: BaseException | None = None

    def __init__(self, context: contextvars.Context, work: Callable[[], Any]) -> None:
        self._context = context
        self._work = work
        self.done = threading.Lock()
        self.done.acquire()

    def run(self) -> None:
        try:
            self.result = self._context.run(self._work)
        except BaseException as error:
            self.error = error
        finally:
            self.done.release()


class _Helper(threading.Thread):
    def __init__(self, idle: 'collections.deque[_Helper]', free: threading.Semaphore) -> None:
        # What does not end keeps no process from its end.
        super().__init__(name='nova-cellmap-call', daemon=True)
        self.tasks: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._among = idle
        self._free = free

    def run(self) -> None:
        while True:
            try:
                task = self.tasks.get(timeout=_IDLE)
            except queue.Empty:
                try:
                    self._among.remove(self)
                except ValueError:
                    # It has just been taken.
                    continue
                return
            task.run()
            del task
            # In this order: there are never more than may be.
            self._among.append(self)
            self._free.release()
