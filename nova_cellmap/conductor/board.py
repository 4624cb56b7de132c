# SPDX-License-Identifier: Apache-2.0
"""The numbers that the conductor's processes share: what the workers have done and are doing.

They are in memory that is made before the workers are: a row for each, which it alone writes and
everybody reads. A worker that takes a dead one's place goes on with its row, so nothing starts
over, nothing is left behind and nothing grows.
"""

import bisect
from collections.abc import Iterator
import contextlib
import enum
import mmap
import threading
import time
from typing import NamedTuple

import oslo_messaging

from nova_cellmap.conductor import labels

# In seconds: what calls take is counted by the first of these that it is not above.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

# In seconds: a worker says each second that it runs, and one that is silent for so long does not.
BEAT = 1.0
_LONGEST_SILENCE = 15.0

_NUMBER_SIZE = 8


class State(enum.IntEnum):
    """What a worker is at."""

    STARTING = 0
    ANSWERING = 1
    ENDING = 2


class Latency(NamedTuple):
    """How long calls of a method took.

    :ivar counts: how many were not above each of :data:`BUCKETS` but above the one before; the
        last is of those above all
    :ivar seconds: all of them together
    """

    counts: tuple[int, ...]
    seconds: float


class _Columns:
    """Where in a row what is."""

    STATE, BEAT, STARTS, THREADS, BUSY, _END = range(6)

    def __init__(self) -> None:
        latency_size = len(BUCKETS) + 2
        self.latencies = {
            name: self._END + number * latency_size for number, name in enumerate(labels.methods())
        }
        errors_start = self._END + len(self.latencies) * latency_size
        self.errors = {name: errors_start + number for number, name in enumerate(labels.errors())}
        self.size = errors_start + len(self.errors)


class Board:
    """The rows of all workers.

    :param workers: how many there are; they are numbered from 0
    """

    def __init__(self, workers: int) -> None:
        columns = _Columns()
        memory = mmap.mmap(-1, workers * columns.size * _NUMBER_SIZE)
        numbers = memoryview(memory).cast('d')
        self.tallies = [
            Tally(worker, columns, numbers[worker * columns.size : (worker + 1) * columns.size])
            for worker in range(workers)
        ]

    @property
    def answering(self) -> int:
        """How many workers answer calls."""
        return sum(tally.is_up for tally in self.tallies)

    def latency(self, method: str) -> Latency:
        """That of a method, of all workers."""
        found = [tally.latency(method) for tally in self.tallies]
        counts = tuple(map(sum, zip(*(each.counts for each in found), strict=True)))
        return Latency(counts, sum(each.seconds for each in found))

    def errors(self, name: str) -> int:
        """How many calls ended so, of all workers."""
        return sum(tally.errors(name) for tally in self.tallies)


class Tally:
    """The row of one worker.

    A number is read and written as a whole; those of one call are not written at once.

    :ivar worker: which one
    """

    def __init__(self, worker: int, columns: _Columns, numbers: 'memoryview[float]') -> None:
        self.worker = worker
        self._columns = columns
        self._numbers = numbers
        self._lock = threading.Lock()
        # So the time until the first beat is counted from here.
        self.beat()

    # What the worker writes.

    def start(self, threads: int) -> None:
        """A process begins as this worker, which answers so many calls at once."""
        numbers = self._numbers
        numbers[_Columns.STATE], numbers[_Columns.BUSY] = State.STARTING, 0
        numbers[_Columns.THREADS] = threads
        numbers[_Columns.STARTS] += 1
        self.beat()

    def become(self, state: State) -> None:
        self._numbers[_Columns.STATE] = state

    def beat(self) -> None:
        """Say that the worker runs."""
        # All processes of a machine have this clock.
        self._numbers[_Columns.BEAT] = time.monotonic()

    @contextlib.contextmanager
    def call(self, method: str) -> Iterator[None]:
        """A block that answers a call; what it raises for the caller is counted.

        :param method: as :func:`labels.method` has it
        """
        begun = time.monotonic()
        with self._lock:
            self._numbers[_Columns.BUSY] += 1
        error = None
        try:
            yield
        except oslo_messaging.ExpectedException as expected:
            error = labels.error(expected.exc_info[1])
            raise
        finally:
            self._end(method, time.monotonic() - begun, error)

    def _end(self, method: str, seconds: float, error: str | None) -> None:
        numbers, start = self._numbers, self._columns.latencies[method]
        with self._lock:
            numbers[_Columns.BUSY] -= 1
            numbers[start + bisect.bisect_left(BUCKETS, seconds)] += 1
            numbers[start + len(BUCKETS) + 1] += seconds
            if error is not None:
                numbers[self._columns.errors[error]] += 1

    # What everybody reads.

    @property
    def state(self) -> State:
        return State(int(self._numbers[_Columns.STATE]))

    @property
    def age(self) -> float:
        """How many seconds ago it said that it runs."""
        return max(0.0, time.monotonic() - self._numbers[_Columns.BEAT])

    @property
    def is_up(self) -> bool:
        """Whether it runs and listens for calls."""
        return self.state is State.ANSWERING and self.age <= _LONGEST_SILENCE

    @property
    def starts(self) -> int:
        """How many processes have begun as this worker."""
        return int(self._numbers[_Columns.STARTS])

    @property
    def threads(self) -> int:
        """How many calls it answers at once."""
        return int(self._numbers[_Columns.THREADS])

    @property
    def busy(self) -> int:
        """How many calls it is answering."""
        return int(self._numbers[_Columns.BUSY])

    def latency(self, method: str) -> Latency:
        start = self._columns.latencies[method]
        *counts, seconds = self._numbers[start : start + len(BUCKETS) + 2]
        return Latency(tuple(map(int, counts)), seconds)

    def errors(self, name: str) -> int:
        return int(self._numbers[self._columns.errors[name]])
