# SPDX-License-Identifier: Apache-2.0
"""The checks of the conductor: its database, its message queue, its workers."""

from concurrent import futures
import time
from typing import Any

import oslo_messaging

from nova_cellmap import exception
from nova_cellmap.conductor import rpc
from nova_cellmap.conductor.board import Board
from nova_cellmap.conductor.health import Finding
from nova_cellmap.conductor.health import Status
from nova_cellmap.db import engine as db_engine
from nova_cellmap.db import ping

# In seconds: what takes longer passes with a warning.
_SLOW = 1.0
# In seconds: for how long a worker's answer is waited for.
_PATIENCE = 5.0
# So many workers are asked at a time.
_AT_ONCE = 16


def database(engines: db_engine.Engines) -> Finding:
    """Whether the mapping database answers; without its replica there is a warning."""
    begun = time.monotonic()
    try:
        ping.ping(engines)
    except exception.CellMapError as error:
        return Finding(Status.FAIL, str(error))
    seconds = time.monotonic() - begun
    try:
        ping.ping_replica(engines)
    except exception.CellMapError as error:
        return Finding(Status.WARN, f'Of the replica: {error}', seconds, 's')
    return _timed('the mapping database', seconds)


class Queue:
    """Whether calls come through the message queue to the workers, and answers back.

    :param caller: a :class:`nova_cellmap.conductor.caller.Caller`
    :param host: the name of the conductor on the message queue
    """

    def __init__(self, caller: Any, host: str, board: Board) -> None:
        self._caller = caller
        self._host = host
        self._board = board
        self._askers = futures.ThreadPoolExecutor(
            min(_AT_ONCE, len(board.tallies)), thread_name_prefix='nova-cellmap-ask'
        )

    def check(self) -> Finding:
        """Call each worker that listens."""
        workers = [tally.worker for tally in self._board.tallies if tally.is_up]
        if not workers:
            return self._check_any()
        answers = dict(zip(workers, self._askers.map(self._ask, workers), strict=True))
        times = [answer for answer in answers.values() if isinstance(answer, float)]
        errors = [answer for answer in answers.values() if isinstance(answer, str)]
        if not times:
            return Finding(Status.FAIL, f'no worker can be called: {errors[0]}')
        if errors:
            silent = ', '.join(str(each) for each in workers if isinstance(answers[each], str))
            reason = f'workers that do not answer within {_PATIENCE:g} seconds: {silent}'
            return Finding(Status.WARN, reason, max(times), 's')
        return _timed('a call through the message queue', max(times))

    def _check_any(self) -> Finding:
        """Call a conductor of another machine: what fails may be the message queue."""
        answer = self._ask(None)
        if isinstance(answer, str):
            return Finding(Status.FAIL, answer)
        return _timed('a call through the message queue', answer)

    def _ask(self, worker: int | None) -> float | str:
        """How long a worker, or any, took to answer; or why it did not."""
        name = None if worker is None else rpc.worker_name(self._host, worker)
        begun = time.monotonic()
        try:
            self._caller.ping(_PATIENCE, name)
        except (oslo_messaging.MessagingException, exception.CellMapError) as error:
            return str(error)
        return time.monotonic() - begun


def workers(board: Board) -> Finding:
    """Whether all workers run and listen for calls."""
    up, number = board.answering, len(board.tallies)
    silent = [str(tally.worker) for tally in board.tallies if not tally.is_up]
    reason = f'not listening for calls: {", ".join(silent)}' if silent else ''
    status = Status.FAIL if not up else Status.WARN if up < number else Status.PASS
    return Finding(status, reason, up, 'workers')


def _timed(what: str, seconds: float) -> Finding:
    if seconds > _SLOW:
        return Finding(Status.WARN, f'{what} took {seconds:.1f} seconds', seconds, 's')
    return Finding(Status.PASS, '', seconds, 's')
