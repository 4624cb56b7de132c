# SPDX-License-Identifier: Apache-2.0
"""Calling a function in many cells at once.

Each cell has a thread and a deadline of its own, and a result that says whether it is an
answer::

    for result in scatter.as_answered(ctxt, cells, 5, count_instances):
        match result:
            case scatter.Answer(cell, count):
                print(cell.name, count)
            case scatter.Failure(cell, error):
                print(cell.name, 'failed:', error)
            case scatter.NoAnswer(cell, why, reason):
                print(cell.name, 'did not answer:', reason)
"""

from collections.abc import Callable, Collection, Iterable, Iterator
import dataclasses
import datetime
import enum
import logging
import queue
import threading
import time
from typing import Any, ClassVar, Concatenate, Generic, Literal, NoReturn, ParamSpec, TypeVar

from oslo_db import exception as db_exc

from nova_cellmap import context as contexts
from nova_cellmap import exception
from nova_cellmap import runtime
from nova_cellmap.cells import health
from nova_cellmap.cells import target
from nova_cellmap.cells import workers
from nova_cellmap.context import RequestContext
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.objects.cell_mapping import CellMappingList

LOG = logging.getLogger(__name__)

_P = ParamSpec('_P')
_T = TypeVar('_T')

# What says that it is the cell that failed, and not what was asked of it.
_UNREACHABLE = (exception.CellUnreachable, db_exc.DBConnectionError)


class Why(enum.Enum):
    """Why a cell gave no answer."""

    TIMEOUT = 'timeout'
    #: It failed several times in a row: see ``[cells] failures_before_skip``.
    SKIPPED = 'skipped'
    #: All threads that it may have were taken: see ``[cells] max_workers``.
    NO_WORKER = 'no worker'


@dataclasses.dataclass(frozen=True)
class Answer(Generic[_T]):
    """What the function returned in a cell."""

    cell: CellMapping
    value: _T
    is_answer: ClassVar[Literal[True]] = True

    def get(self) -> _T:
        """The value."""
        return self.value


@dataclasses.dataclass(frozen=True)
class Failure:
    """What the function raised in a cell."""

    cell: CellMapping
    error: BaseException
    is_answer: ClassVar[Literal[False]] = False

    def get(self) -> NoReturn:
        """:raises: the error"""
        raise self.error


@dataclasses.dataclass(frozen=True)
class NoAnswer:
    """That a cell did not answer in time, or was not asked.

    ``reason`` says it in words. ``until`` is when a cell that was skipped is tried again.
    """

    cell: CellMapping
    why: Why
    reason: str
    until: datetime.datetime | None = None
    is_answer: ClassVar[Literal[False]] = False

    def get(self) -> NoReturn:
        """:raises: CellDidNotAnswer"""
        raise exception.CellDidNotAnswer(cell=self.cell.identity, reason=self.reason)


Result = Answer[_T] | Failure | NoAnswer


class Results(dict[str, Result[_T]]):
    """The result of each cell, by the cell's uuid."""

    @property
    def answers(self) -> dict[str, _T]:
        """What the function returned, of the cells where it did."""
        return {uuid: result.value for uuid, result in self.items() if result.is_answer}

    @property
    def failures(self) -> dict[str, Failure | NoAnswer]:
        """The results of the other cells."""
        return {uuid: result for uuid, result in self.items() if not result.is_answer}


def is_cell_failure_sentinel(result: Result[Any]) -> bool:
    """Whether a result is anything but an answer."""
    return not result.is_answer


# What is known of the cells, by the runtime of a context, or by the default one.


def count_threads(
    cell_uuid: str | None = None, context: RequestContext | None = None
) -> workers.Count:
    """How many threads work in cells, or in that one.

    Those that a call left behind when its time was over are in it, and are its ``stuck``.
    """
    return runtime.of(context).part(workers.Workers).count(cell_uuid)


def troubles(context: RequestContext | None = None) -> dict[str, health.Trouble]:
    """What is wrong with each cell whose last call failed, by its uuid."""
    return _health(context).troubles()


def forget_troubles(cell_uuids: Collection[str], context: RequestContext | None = None) -> None:
    """Call these cells as if they had not failed."""
    _health(context).forget(cell_uuids)


def _health(context: RequestContext | None) -> health.Health:
    return runtime.of(context).part(health.Health)


# Calls.


def scatter_gather_cells(
    context: RequestContext,
    cell_mappings: Iterable[CellMapping],
    timeout: float | None,
    fn: Callable[Concatenate[RequestContext, _P], _T],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> Results[_T]:
    """Call a function in each of the cells, and wait for all of them.

    :param timeout: for how many seconds each cell is waited for, and so the whole call;
        None: ``[cells] timeout``
    :param fn: called as ``fn(cctxt, *args, **kwargs)``, each time in another thread; *cctxt*
        is a copy of the context that is targeted at the cell
    """
    results = as_answered(context, cell_mappings, timeout, fn, *args, **kwargs)
    return Results({result.cell.uuid: result for result in results})


def scatter_gather_all_cells(
    context: RequestContext,
    fn: Callable[Concatenate[RequestContext, _P], _T],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> Results[_T]:
    """Call a function in every cell, see :func:`scatter_gather_cells`."""
    return scatter_gather_cells(context, _all_cells(context), None, fn, *args, **kwargs)


def scatter_gather_skip_cell0(
    context: RequestContext,
    fn: Callable[Concatenate[RequestContext, _P], _T],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> Results[_T]:
    """Call a function in every cell but cell0, see :func:`scatter_gather_cells`."""
    cells = [cell for cell in _all_cells(context) if not cell.is_cell0()]
    return scatter_gather_cells(context, cells, None, fn, *args, **kwargs)


def scatter_gather_single_cell(
    context: RequestContext,
    cell_mapping: CellMapping,
    fn: Callable[Concatenate[RequestContext, _P], _T],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> Results[_T]:
    """Call a function in one cell, see :func:`scatter_gather_cells`."""
    return scatter_gather_cells(context, [cell_mapping], None, fn, *args, **kwargs)


def as_answered(
    context: RequestContext,
    cell_mappings: Iterable[CellMapping],
    timeout: float | None,
    fn: Callable[Concatenate[RequestContext, _P], _T],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> Iterator[Result[_T]]:
    """As :func:`scatter_gather_cells`, but give each result as soon as it is there.

    The function is called in all cells at once, whether a result is asked for or not. What
    a cell answers in its time counts, however late it is asked for.
    """
    owner = runtime.of(context)
    seconds = owner.conf.cells.timeout if timeout is None else timeout
    # The caller may go on with its own meanwhile.
    copied = contexts.copy_of(context)

    def work(cell: CellMapping) -> _T:
        with target.target_cell(copied, cell) as cctxt:
            # The log names the request.
            cctxt.update_store()
            return fn(cctxt, *args, **kwargs)

    call: _Call[_T] = _Call(work, seconds, owner)
    for cell in {cell.uuid: cell for cell in cell_mappings}.values():
        call.begin(cell)
    return call.results()


def _all_cells(context: RequestContext) -> list[CellMapping]:
    cells: list[CellMapping] = list(CellMappingList.get_all(context))
    uuids = {cell.uuid for cell in cells}
    target.forget_all_but(uuids, context)
    _health(context).forget_all_but(uuids)
    return cells


class _Call(Generic[_T]):
    """A call in several cells, under way."""

    def __init__(
        self, work: Callable[[CellMapping], _T], seconds: float, owner: runtime.Runtime
    ) -> None:
        self._work = work
        self._seconds = seconds
        self._limits = owner.conf.cells
        self._health = owner.part(health.Health)
        self._workers = owner.part(workers.Workers)
        self._come: queue.SimpleQueue[Result[_T]] = queue.SimpleQueue()
        # The tasks that have no result yet. The one who takes one out decides what it is.
        self._open: dict[str, workers.Task] = {}
        self._lock = threading.Lock()
        self._left = 0

    def begin(self, cell: CellMapping) -> None:
        """Have the work done in a cell, or skip it."""
        self._left += 1
        trouble = self._health.check(cell, self._seconds)
        if trouble is not None:
            self._come.put(_skipped(cell, trouble))
            return
        task = workers.Task(cell, time.monotonic() + self._seconds, self._run)
        with self._lock:
            self._open[cell.uuid] = task
        limits = self._limits
        if not self._workers.start(task, limits.max_workers, limits.max_workers_per_cell):
            self._settle(self._without_worker(cell))

    def results(self) -> Iterator[Result[_T]]:
        while self._left:
            try:
                result = self._come.get(timeout=self._patience())
            except queue.Empty:
                self._give_up_overdue()
            else:
                self._left -= 1
                yield result

    def _run(self, task: workers.Task) -> None:
        """What a thread does."""
        result = self._result_of(task.cell)
        if task.is_overdue:
            self._give_up(task)
        else:
            self._settle(result)

    def _result_of(self, cell: CellMapping) -> Answer[_T] | Failure:
        try:
            return Answer(cell, self._work(cell))
        # All of them: nobody would hear of one that ends the thread.
        except BaseException as error:
            return Failure(cell, error)

    def _settle(self, result: Result[_T]) -> None:
        """Have this be the result of its cell, unless there is one."""
        with self._lock:
            if self._open.pop(result.cell.uuid, None) is None:
                return
        # A caller that has the result finds what was made of it.
        self._take_note(result)
        self._come.put(result)

    def _patience(self) -> float | None:
        """For how many seconds no task is overdue; None where all have their results."""
        with self._lock:
            deadlines = [task.deadline for task in self._open.values()]
        return max(0, min(deadlines) - time.monotonic()) if deadlines else None

    def _give_up_overdue(self) -> None:
        with self._lock:
            overdue = [task for task in self._open.values() if task.is_overdue]
        for task in overdue:
            self._give_up(task)

    def _give_up(self, task: workers.Task) -> None:
        if not task.has_begun:
            self._settle(self._without_worker(task.cell))
            return
        reason = f'no answer within {self._seconds:g} s'
        self._settle(NoAnswer(task.cell, Why.TIMEOUT, reason))

    def _take_note(self, result: Result[Any]) -> None:
        cell = result.cell
        if isinstance(result, NoAnswer):
            if result.why is Why.TIMEOUT:
                LOG.warning('Cell %s: %s', cell.identity, result.reason)
                self._health.failed(cell, result.reason)
            return
        if isinstance(result, Failure):
            is_foreseen = isinstance(result.error, exception.CellMapError)
            LOG.warning(
                'A call in cell %s failed: %s',
                cell.identity,
                result.error,
                exc_info=None if is_foreseen else result.error,
            )
            if isinstance(result.error, _UNREACHABLE):
                self._health.failed(cell, str(result.error))
                return
        self._health.succeeded(cell)

    def _without_worker(self, cell: CellMapping) -> NoAnswer:
        threads, stuck = self._workers.count(cell.uuid)
        reason = (
            f'no thread was free: {threads} are in the cell, {stuck} of them without an answer'
        )
        return NoAnswer(cell, Why.NO_WORKER, reason)


def _skipped(cell: CellMapping, trouble: health.Trouble) -> NoAnswer:
    reason = f'skipped, since it failed {trouble.failures} times in a row; {trouble.reason}'
    return NoAnswer(cell, Why.SKIPPED, reason, trouble.until)
