# SPDX-License-Identifier: Apache-2.0
"""A run over a large table, in batches, that can be stopped and gone on from."""

import collections
from collections.abc import Callable, Generator, Iterable
from concurrent import futures
import contextlib
import dataclasses
import logging
import sys
from typing import Protocol, TypeVar

from nova_cellmap.db import api as db_api

LOG = logging.getLogger(__name__)

BATCH_SIZE = 2000

_MOST_WARNINGS = 100


@dataclasses.dataclass
class Run:
    """A run over the rows of a table, by their ``id``, and how far it has come.

    ``first_id``, ``last_id`` and ``end_id`` are ids of that table: after which the run began,
    has come to, and will end as far as is known. ``rows`` of them were read: ``created``
    mappings are new, ``existing`` stood already. ``conflicts`` counts the rows that could not
    be mapped, also in the runs that were stopped and that this one goes on from.
    """

    first_id: int = 0
    last_id: int = 0
    end_id: int = 0
    rows: int = 0
    created: int = 0
    existing: int = 0
    conflicts: int = 0
    done: bool = False


class Batch(Protocol):
    """Some rows that follow each other: how many, and the ``id`` of the last."""

    @property
    def last_id(self) -> int: ...

    @property
    def rows(self) -> int: ...


_Run = TypeVar('_Run', bound=Run)
_Batch = TypeVar('_Batch', bound=Batch)
_Result = TypeVar('_Result')


def go_through(
    run: _Run,
    read: Callable[[int, int], _Batch | None],
    write: Callable[[_Batch, db_api.Turn], _Result],
    note: Callable[[_Batch, _Result], None],
    *,
    writers: int,
    max_count: int | None,
    batch_size: int,
    on_batch: Callable[[_Run], None],
) -> None:
    """Go on with a run, from its ``last_id`` to the end or until *max_count* rows are read.

    :param read: the batch of at most so many rows after an id, or None at the end; called in
        a thread of its own, while the batches before are written
    :param write: what is done with a batch; called in threads of their own, and commits in turn
    :param note: what came of it, in the order of the batches
    :param writers: how many threads write
    :param on_batch: called after each batch
    """
    # Closed here, and not when the garbage is collected, since each has threads.
    with (
        contextlib.closing(_batches(read, run.last_id, max_count, batch_size)) as batches,
        contextlib.closing(_written(batches, write, writers)) as written,
    ):
        for batch, result in written:
            note(batch, result)
            run.last_id = batch.last_id
            run.rows += batch.rows
            on_batch(run)
    # Where the count is reached, one row more tells whether that was all.
    run.done = run.rows != max_count or read(run.last_id, 1) is None


def _written(
    batches: Iterable[_Batch], write: Callable[[_Batch, db_api.Turn], _Result], writers: int
) -> Generator[tuple[_Batch, _Result]]:
    """Each batch with what came of it. Several are under way: one is sent while the database
    is busy with the one before."""
    with futures.ThreadPoolExecutor(writers) as pool:
        under_way: collections.deque[tuple[_Batch, futures.Future[_Result]]] = collections.deque()
        for batch in batches:
            before = under_way[-1][1] if under_way else None
            under_way.append((batch, pool.submit(write, batch, _turn_after(before))))
            if len(under_way) == writers:
                first, result = under_way.popleft()
                yield first, result.result()
        for batch, result in under_way:
            yield batch, result.result()


def _turn_after(before: 'futures.Future[_Result] | None') -> db_api.Turn:
    def turn(seconds: float | None) -> bool:
        if before is None:
            return True
        if not futures.wait([before], seconds).done:
            return False
        # Where that one failed, this one must not be committed.
        before.result()
        return True

    return turn


def _batches(
    read: Callable[[int, int], _Batch | None],
    last_id: int,
    max_count: int | None,
    batch_size: int,
) -> Generator[_Batch]:
    left = sys.maxsize if max_count is None else max_count
    with futures.ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(read, last_id, min(batch_size, left))
        while batch := ahead.result():
            left -= batch.rows
            ahead = reader.submit(read, batch.last_id, min(batch_size, left))
            yield batch


def warn(where: str, problems: list[str], before: int) -> None:
    """Log the problems of a batch, but not a million of them: *before* is how many there were."""
    for number, problem in enumerate(problems, before + 1):
        if number <= _MOST_WARNINGS:
            LOG.warning('Left as it is, in %s: %s', where, problem)
        elif number == _MOST_WARNINGS + 1:
            LOG.warning('More of the kind in %s are counted and not shown', where)
