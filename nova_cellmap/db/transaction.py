# SPDX-License-Identifier: Apache-2.0
"""Connections and transactions for the function layer.

A function of the layer is decorated with :func:`reads` or :func:`writes`. Within a block of
:func:`reader` or :func:`writer` of its context, in its thread, it takes the block's connection;
whatever else is open on the context, such as a block of oslo.db on a cell's database, is nothing
to it. Outside of a block it is given a connection of its own.

What goes wrong in a way that may pass is tried again, until ``[api_database] db_max_retries`` or
``call_timeout`` say that it is enough. A commit whose outcome is not known is looked for first:
see :mod:`nova_cellmap.db.outcome`.
"""

from collections.abc import Callable, Iterator
import contextlib
import functools
import operator
import threading
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import sqlalchemy as sa

from nova_cellmap import context as contexts
from nova_cellmap import runtime
from nova_cellmap.context import RequestContext
from nova_cellmap.db import attempts
from nova_cellmap.db import connected
from nova_cellmap.db import errors
from nova_cellmap.db import outcome
from nova_cellmap.db.caching import changes
from nova_cellmap.db.connected import Changing
from nova_cellmap.db.connected import Connected
from nova_cellmap.db.connected import KeptReading
from nova_cellmap.db.connected import Reading
from nova_cellmap.db.connected import Writing
from nova_cellmap.db.engine import Engines
from nova_cellmap.db.errors import Kind
from nova_cellmap.db.outcome import Outcome

_P = ParamSpec('_P')
_T = TypeVar('_T')


class _Blocks(runtime.Part):
    """The blocks that are open.

    :ivar open: those of each context in each thread, the innermost last
    """

    def __init__(self, owner: runtime.Parts) -> None:
        self.open: dict[tuple[int, int], list[Reading | Writing]] = {}

    def after_fork(self) -> bool:
        # Their connections are the parent's.
        self.open.clear()
        return True


_blocks = runtime.process.part(_Blocks)


def _block(context: RequestContext) -> Reading | Writing | None:
    """The block that a context of ours is in."""
    if not _blocks.open:
        return None
    blocks = _blocks.open.get((threading.get_ident(), id(context)))
    return blocks[-1] if blocks else None


@contextlib.contextmanager
def _entered(context: RequestContext, block: Reading | Writing) -> Iterator[None]:
    key = threading.get_ident(), id(context)
    _blocks.open.setdefault(key, []).append(block)
    try:
        yield
    finally:
        # In whichever thread it ends, and also if an outer one has ended before.
        blocks = [each for each in _blocks.open.pop(key, ()) if each is not block]
        if blocks:
            _blocks.open[key] = blocks


def is_open(context: RequestContext) -> bool:
    """Whether the context is in a block."""
    return _block(contexts.of(context)) is not None


def in_transaction(context: RequestContext) -> bool:
    """Whether the context is in a block that writes."""
    return isinstance(_block(contexts.of(context)), Writing)


def connection(context: RequestContext) -> sa.Connection:
    """The connection of the block that the context is in."""
    block = _block(contexts.of(context))
    if block is None:
        raise RuntimeError('the context is in no block')
    return block.connection


@contextlib.contextmanager
def reader(context: RequestContext) -> Iterator[None]:
    """A block whose reads share one connection.

    Each statement sees what was committed when it began: the block is no snapshot, and a
    connection that is lost in it is replaced. Within a block of :func:`writer` it is a part
    of that.
    """
    # What an engine reads that also writes would be a transaction.
    context = contexts.of(context)
    owner = context.runtime
    engines = owner.part(Engines)
    if is_open(context) or not engines.only_reads(_engine(owner, engines, _READER)):
        yield
        return
    reading = KeptReading(owner, engines, engines.reading)
    with contextlib.closing(reading), _entered(context, reading):
        yield


@contextlib.contextmanager
def writer(context: RequestContext) -> Iterator[None]:
    """A block whose writes become visible together at its end, or not at all.

    Within another one it is a part of that.

    :raises: DatabaseOutcomeUnknown at its end, where the answer to the commit is lost
    """
    if in_transaction(context):
        yield
        return
    # A connection is made for the first call, but a program that is not configured is told now.
    context = contexts.of(context)
    owner = context.runtime
    _engine(owner, owner.part(Engines), _WRITER)
    with changes.noted(owner) as noted, contextlib.closing(Writing(owner, noted)) as writing:
        with _entered(context, writing):
            yield
        try:
            writing.commit()
        except errors.DRIVER as error:
            made = (
                attempts.uncommitted(error)
                if noted.is_committing
                else attempts.translated(error, owner)
            )
            raise made from errors.without_rows(error)


def reads(
    function: Callable[Concatenate[Connected, _P], _T],
) -> Callable[Concatenate[RequestContext, _P], _T]:
    """Run *function* with ``context.connection`` open for reading, and try it again."""
    return _reads(function, _READING)


def reads_own(
    function: Callable[Concatenate[Connected, _P], _T],
) -> Callable[Concatenate[RequestContext, _P], _T]:
    """The same where nothing is older than what this process has written.

    A replica may not have it yet.
    """
    return _reads(function, _OWN)


# Which engine.
_Which = Callable[[Engines], sa.Engine]
_READER, _WRITER = operator.attrgetter('reader'), operator.attrgetter('writer')
_READING, _OWN = operator.attrgetter('reading'), operator.attrgetter('own')


def _reads(
    function: Callable[Concatenate[Connected, _P], _T], from_: _Which
) -> Callable[Concatenate[RequestContext, _P], _T]:
    @functools.wraps(function)
    def call(context: RequestContext, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        context = contexts.of(context)
        block = _block(context)
        owner = context.runtime
        engines = owner.part(Engines)
        source = _engine(owner, engines, from_)
        if isinstance(block, Writing) or (block is not None and source is engines.reader):
            return block.run(function, args, kwargs)
        reading = Reading(owner, engines, source)
        try:
            return reading.run(function, args, kwargs)
        finally:
            reading.close()

    return call


def writes(
    function: Callable[Concatenate[Changing, _P], _T],
) -> Callable[Concatenate[RequestContext, _P], _T]:
    """Run *function* with ``context.connection`` in a transaction, and try it again."""

    @functools.wraps(function)
    def call(context: RequestContext, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        context = contexts.of(context)
        block = _block(context)
        if isinstance(block, Writing):
            return block.run(function, args, kwargs)
        owner = context.runtime
        write = _Write(owner, lambda writing: function(writing, *args, **kwargs))
        made: _T = attempts.repeat(write.attempt, owner, doubt=write.error_in_doubt)
        return made

    return call


class _Doubt(NamedTuple):
    """A try whose commit failed in a way that leaves open whether it was made."""

    error: BaseException
    proofs: list[outcome.Proof]
    after: list[Callable[[], None]]
    result: Any


class _Write:
    """A call of a function that writes, with all the tries that it takes."""

    def __init__(self, owner: runtime.Runtime, function: Callable[[Writing], Any]) -> None:
        self._owner = owner
        self._function = function
        self._is_first = True
        # The previous try, while it is not known whether that was made.
        self._doubt: _Doubt | None = None

    def error_in_doubt(self) -> BaseException | None:
        """The error of the previous try's commit, while it is not known whether it was made."""
        return None if self._doubt is None else self._doubt.error

    def attempt(self) -> Any:
        """Try it, unless the previous try turns out to have been made."""
        previous = self._doubt
        if previous is not None and self._was_made(previous):
            return previous.result
        try:
            return self._try()
        except Exception:
            # It exists, say: that may be what the previous try has made after all.
            if previous is not None and self._doubt is previous and self._was_made(previous):
                return previous.result
            raise

    def _try(self) -> Any:
        with self._transaction() as one:
            result = self._function(one)
            try:
                one.commit()
            except errors.DRIVER as error:
                if one.noted.is_committing:
                    # While the previous one was under way, this one could not have come so far.
                    self._doubt = _Doubt(error, one.proofs, one.after, result)
                raise
        return result

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Writing]:
        with changes.noted(self._owner) as noted:
            writing = Writing(self._owner, noted, is_direct=self._is_first)
            self._is_first = False
            with contextlib.closing(writing):
                yield writing

    def _was_made(self, doubt: _Doubt) -> bool:
        """Look whether it was.

        :raises: DatabaseOutcomeUnknown where that cannot be told
        """
        with self._transaction() as looking:
            found = outcome.combined(doubt.proofs, looking.connection)
        if found is Outcome.UNKNOWN:
            raise attempts.uncommitted(doubt.error)
        if found is Outcome.NOT_SEEN and errors.kind_of(doubt.error) is not Kind.LOST:
            # The server has answered: nothing of it is on its way.
            found = Outcome.NOT_MADE
        if found is Outcome.NOT_MADE:
            self._doubt = None
            if errors.kind_of(doubt.error) not in attempts.PASSING:
                raise doubt.error
        if found is Outcome.MADE:
            connected.do(doubt.after)
        return found is Outcome.MADE


def _engine(owner: runtime.Runtime, engines: Engines, which: _Which) -> sa.Engine:
    """An engine; the first time it is asked for it is made."""
    try:
        return which(engines)
    except errors.DRIVER as error:
        raise attempts.translated(error, owner) from errors.without_rows(error)


def prove(context: Changing, proof: outcome.Proof) -> None:
    """Have it found out by this whether the transaction was made, should its commit not tell."""
    context.proofs.append(proof)
