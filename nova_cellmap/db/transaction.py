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

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import functools
import itertools
import logging
import operator
import random
import threading
import time
from typing import Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa

from nova_cellmap import context as contexts
from nova_cellmap import exception
from nova_cellmap import runtime
from nova_cellmap.context import RequestContext
from nova_cellmap.db import engine
from nova_cellmap.db import errors
from nova_cellmap.db import outcome
from nova_cellmap.db.caching import changes
from nova_cellmap.db.engine import Engines
from nova_cellmap.db.errors import Kind
from nova_cellmap.db.outcome import Outcome
from nova_cellmap.db.schemas.detection import Detected
from nova_cellmap.db.schemas.schema import Schema

LOG = logging.getLogger(__name__)

_P = ParamSpec('_P')
_T = TypeVar('_T')

# What another try may find to be gone.
_PASSING = (Kind.LOST, Kind.LOCKED, Kind.CROWDED, Kind.READ_ONLY)

# After so many connections were lost a replica and its primary stand in for each other; after one
# that took so many seconds at once, since another would take them again.
_STAND_IN_AFTER = 3
_SILENT_SECONDS = 1


class Query(Protocol):
    """What reads, through the driver or by SQLAlchemy: see :mod:`nova_cellmap.db.statements`."""

    def tuples(
        self, connection: sa.PoolProxiedConnection, dialect: sa.Dialect, values: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]: ...

    def executed(
        self, connection: sa.Connection, values: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]: ...


class Insert(Protocol):
    """What inserts a row, in either way."""

    insert: sa.Insert

    def key(
        self, connection: sa.PoolProxiedConnection, dialect: Any, values: Mapping[str, Any]
    ) -> int: ...


class Connected(Protocol):
    """A context, so far as a function that reads or writes has to know.

    :ivar runtime: is that of the context
    :ivar connection: is open
    :ivar schema: the tables that are there
    :ivar noted: what the transaction has changed; None where there is none
    :ivar own: the same where nothing is older than what this process has written
    """

    @property
    def runtime(self) -> runtime.Runtime: ...

    @property
    def connection(self) -> sa.Connection: ...

    @property
    def schema(self) -> Schema: ...

    @property
    def noted(self) -> changes.Changes | None: ...

    @property
    def own(self) -> 'Connected': ...

    def tuples(self, query: Query, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]: ...


class Changing(Connected, Protocol):
    """The same of a function that writes.

    :ivar proofs: by which its outcome can be found out
    :ivar after: what is done once it is committed
    """

    proofs: list[outcome.Proof]
    after: list[Callable[[], None]]

    @property
    def noted(self) -> changes.Changes: ...

    def insert(self, query: Insert, values: Mapping[str, Any]) -> int: ...


class _Reading:
    """Reads, each on its own: of one function, or of a block."""

    noted = None

    def __init__(self, owner: runtime.Runtime, engines: Engines, engine_: sa.Engine) -> None:
        self.runtime = owner
        self._engines = engines
        self._engine = engine_
        # Sent through the driver until something goes wrong. What the one that writes is sent
        # would be a transaction, which the pool does not end.
        is_plain = not (engines.has_replica and engine_ is engines.writer)
        self._is_direct = is_plain and not engine.is_watched(engine_)
        self._connection: sa.Connection | None = None
        self._own: _Reading | None = None
        self._losses = 0

    @property
    def schema(self) -> Schema:
        detected = self.runtime.part(Detected)
        if detected.found is not None:
            return detected.found
        schema = detected.schema(self.connection)
        # What is read next may take another one, where there is only one.
        self.close()
        return schema

    @property
    def own(self) -> 'Connected':
        if self._engine is self._engines.own or self._losses >= _STAND_IN_AFTER - 1:
            return self
        if self._own is None:
            self._own = _Reading(self.runtime, self._engines, self._engines.own)
        return self._own

    @property
    def connection(self) -> sa.Connection:
        if self._connection is None:
            self._connection = errors.connect(self._engine)
        return self._connection

    def tuples(self, query: Query, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """What a query finds: through the driver, or by SQLAlchemy after something went wrong."""
        if not self._is_direct:
            return query.executed(self.connection, values)
        pooled = None
        try:
            pooled = self._engine.raw_connection()
            found = query.tuples(pooled, self._engine.dialect, values)
        except BaseException as error:
            if pooled is not None:
                _give_back(pooled, error)
                pooled.close()
            elif isinstance(error, Exception):
                raise errors.unconnected(error) from error
            raise
        pooled.close()
        return found

    def run(
        self, function: Callable[..., _T], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> _T:
        def attempt() -> _T:
            begun = time.monotonic()
            try:
                return function(self, *args, **kwargs)
            except errors.DRIVER as error:
                self._begin_again(error, time.monotonic() - begun)
                raise

        return _repeat(attempt, self.runtime)

    def _begin_again(self, error: BaseException, seconds: float) -> None:
        """Connect again, and let SQLAlchemy do it: it clears the pool of what is lost.

        Where there is a replica, it and the server that is written to stand in for each other.
        """
        self.close()
        if errors.kind_of(error) is not Kind.LOST:
            return
        self._is_direct = False
        self._losses += _STAND_IN_AFTER if seconds >= _SILENT_SECONDS else 1
        if self._losses >= _STAND_IN_AFTER and self._engines.has_replica:
            reader, writer = self._engines.reader, self._engines.writer
            if self._engine is reader:
                self._engines.leave_replica(errors.reason(error))
            self._engine = writer if self._engine is reader else reader

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            _close(connection)
        if self._own is not None:
            self._own.close()


class _KeptReading(_Reading):
    """Those of a block: they share one connection."""

    def tuples(self, query: Query, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        connection = self.connection
        if not self._is_direct:
            return query.executed(connection, values)
        try:
            return query.tuples(connection.connection, connection.dialect, values)
        except BaseException as error:
            _give_back(connection, error)
            raise


def _give_back(connection: sa.PoolProxiedConnection | sa.Connection, error: BaseException) -> None:
    """Close it to the next one, unless the error was none of its own."""
    if errors.kind_of(error) is Kind.VALUE:
        return
    # What may still come over it is nobody else's.
    connection.invalidate()


class _Writing:
    """One transaction, which begins when its connection is asked for."""

    def __init__(
        self, owner: runtime.Runtime, noted: changes.Changes, is_direct: bool = True
    ) -> None:
        self.runtime = owner
        self.noted = noted
        self._engines = owner.part(Engines)
        self.proofs: list[outcome.Proof] = []
        self.after: list[Callable[[], None]] = []
        self._is_direct = is_direct
        self._connection: sa.Connection | None = None
        self._is_untouched = True
        # What has taken back all that was written before it.
        self._end: BaseException | None = None

    @property
    def schema(self) -> Schema:
        detected = self.runtime.part(Detected)
        schema = detected.found or detected.schema(self.connection)
        if schema.lacks:
            columns = ', '.join(sorted(schema.lacks))
            raise exception.SchemaTooOld(database=self._engines.shown_url, columns=columns)
        return schema

    @property
    def own(self) -> 'Connected':
        return self

    @property
    def connection(self) -> sa.Connection:
        if self._connection is None:
            self._connection = connection = errors.connect(self._engines.writer)
            connection.begin()
        return self._connection

    def tuples(self, query: Query, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        return query.executed(self.connection, values)

    def insert(self, query: Insert, values: Mapping[str, Any]) -> int:
        connection = self.connection
        if not self._is_direct or engine.is_watched(connection.engine):
            result: Any = connection.execute(query.insert, values)
            return int(result.inserted_primary_key[0])
        try:
            return query.key(connection.connection, connection.dialect, values)
        except BaseException as error:
            if not isinstance(error, Exception) or errors.kind_of(error) in errors.LEAVING:
                # What may still come over it is nobody else's: it is closed at the end.
                connection.detach()
            raise

    def run(
        self, function: Callable[..., _T], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> _T:
        """Run a function of a block: only the first can be begun again."""

        def attempt() -> _T:
            try:
                with self._savepoint():
                    return function(self, *args, **kwargs)
            except errors.DRIVER as error:
                if self._is_untouched:
                    self.close()
                elif self._end is None and self._is_end(error):
                    self._end = error
                raise

        try:
            return _repeat(attempt, self.runtime, is_last=not self._is_untouched)
        finally:
            self._is_untouched = False

    def _is_end(self, error: BaseException) -> bool:
        """Whether nothing may be left of what was written before, even where the error is caught.

        MySQL takes all of a transaction back that has met a deadlock, and begins another.
        """
        kind = errors.kind_of(error)
        return kind is Kind.LOST or (kind is Kind.LOCKED and not self._has_savepoints)

    @property
    def _has_savepoints(self) -> bool:
        """Whether each call of a block is in a savepoint."""
        return self._engines.writer.dialect.name == 'postgresql'

    def _savepoint(self) -> contextlib.AbstractContextManager[Any]:
        """A block that PostgreSQL takes back alone where it fails.

        Else it would take back all of the transaction, at a commit that says nothing of it.
        """
        if not self._has_savepoints:
            return contextlib.nullcontext()
        return self.connection.begin_nested()

    def commit(self) -> None:
        """:raises: one of ``errors.DRIVER``; ``noted.is_committing`` tells what it says"""
        if self._connection is None:
            _do(self.after)
            return
        if self._end is not None:
            raise self._end
        self.noted.is_committing = True
        try:
            self._connection.commit()
        except errors.DRIVER as error:
            # Who has met another's lock is told so before anything is made.
            self.noted.is_committing = errors.kind_of(error) is not Kind.LOCKED
            raise
        _do(self.after)

    def close(self) -> None:
        """Roll back what is not committed."""
        connection, self._connection = self._connection, None
        self.after = []
        if connection is not None:
            _close(connection)


def _do(calls: list[Callable[[], None]]) -> None:
    for call in calls:
        call()


def _close(connection: sa.Connection) -> None:
    try:
        connection.close()
    except errors.DRIVER:
        # It is not for the next one. What has failed before is what is told.
        if not (connection.closed or connection.invalidated):
            connection.invalidate()
        connection.close()


class _Blocks(runtime.Part):
    """The blocks that are open.

    :ivar open: those of each context in each thread, the innermost last
    """

    def __init__(self, owner: runtime.Parts) -> None:
        self.open: dict[tuple[int, int], list[_Reading | _Writing]] = {}

    def after_fork(self) -> bool:
        # Their connections are the parent's.
        self.open.clear()
        return True


_blocks = runtime.process.part(_Blocks)


def _block(context: RequestContext) -> _Reading | _Writing | None:
    """The block that a context of ours is in."""
    if not _blocks.open:
        return None
    blocks = _blocks.open.get((threading.get_ident(), id(context)))
    return blocks[-1] if blocks else None


@contextlib.contextmanager
def _entered(context: RequestContext, block: _Reading | _Writing) -> Iterator[None]:
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
    return isinstance(_block(contexts.of(context)), _Writing)


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
    reading = _KeptReading(owner, engines, engines.reading)
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
    with changes.noted(owner) as noted, contextlib.closing(_Writing(owner, noted)) as writing:
        with _entered(context, writing):
            yield
        try:
            writing.commit()
        except errors.DRIVER as error:
            made = _uncommitted(error) if noted.is_committing else _translated(error, owner)
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
        if isinstance(block, _Writing) or (block is not None and source is engines.reader):
            return block.run(function, args, kwargs)
        reading = _Reading(owner, engines, source)
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
        if isinstance(block, _Writing):
            return block.run(function, args, kwargs)
        owner = context.runtime
        write = _Write(owner, lambda writing: function(writing, *args, **kwargs))
        made: _T = _repeat(write.attempt, owner, write)
        return made

    return call


class _Doubt(NamedTuple):
    """A try whose commit failed in a way that leaves open whether it was made."""

    error: BaseException
    proofs: list[outcome.Proof]
    after: list[Callable[[], None]]
    result: Any


class _Write:
    """A call of a function that writes, with all the tries that it takes.

    :ivar doubt: the try before, while it is not known whether that was made
    """

    def __init__(self, owner: runtime.Runtime, function: Callable[[_Writing], Any]) -> None:
        self._owner = owner
        self._function = function
        self._is_first = True
        self.doubt: _Doubt | None = None

    def attempt(self) -> Any:
        before = self.doubt
        if before is not None and self._was_made(before):
            return before.result
        try:
            return self._try()
        except Exception:
            # It exists, say: that may be what the try before has made after all.
            if before is not None and self.doubt is before and self._was_made(before):
                return before.result
            raise

    def _try(self) -> Any:
        with self._transaction() as one:
            result = self._function(one)
            try:
                one.commit()
            except errors.DRIVER as error:
                if one.noted.is_committing:
                    # What the one before was about would have kept this one from its commit.
                    self.doubt = _Doubt(error, one.proofs, one.after, result)
                raise
        return result

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[_Writing]:
        with changes.noted(self._owner) as noted:
            writing = _Writing(self._owner, noted, is_direct=self._is_first)
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
            raise _uncommitted(doubt.error)
        if found is Outcome.NOT_SEEN and errors.kind_of(doubt.error) is not Kind.LOST:
            # The server has answered: nothing of it is on its way.
            found = Outcome.NOT_MADE
        if found is Outcome.NOT_MADE:
            self.doubt = None
            if errors.kind_of(doubt.error) not in _PASSING:
                raise doubt.error
        if found is Outcome.MADE:
            _do(doubt.after)
        return found is Outcome.MADE


def _repeat(
    attempt: Callable[[], _T],
    owner: runtime.Runtime,
    write: _Write | None = None,
    *,
    is_last: bool = False,
) -> _T:
    """Try until it goes well, nothing suggests that it will, or it has been tried for long.

    :param write: what is tried, if that may be in doubt
    """
    begun = time.monotonic()
    pauses: Iterator[float] = iter(()) if is_last else _pauses(owner)
    is_again = False
    while True:
        try:
            return attempt()
        except errors.DRIVER as error:
            doubt = None if write is None else write.doubt
            longest = owner.part(Engines).call_timeout
            may_pass = doubt is not None or errors.kind_of(error) in _PASSING
            pause = next(pauses, None) if may_pass else None
            if pause is None or time.monotonic() - begun + pause > longest:
                made = _translated(error, owner) if doubt is None else _uncommitted(doubt.error)
                raise made from errors.without_rows(error)
            if not is_again:
                LOG.warning('Trying again: %s', errors.reason(error))
            is_again = True
            time.sleep(pause)


def _pauses(owner: runtime.Runtime) -> Iterator[float]:
    """How many seconds there are between one try and the next."""
    retries = owner.part(Engines).retries
    pause = retries.first_pause
    for _ in itertools.count() if retries.most < 0 else range(retries.most):
        # Two who met in a deadlock are not to meet in another.
        yield pause * random.uniform(0.5, 1)
        if retries.longest_pause is not None:
            pause = min(2 * pause, retries.longest_pause)


def _translated(error: BaseException, owner: runtime.Runtime) -> exception.CellMapError:
    if errors.kind_of(error) is Kind.SCHEMA:
        # What was found there before is not there any longer.
        owner.part(Detected).forget()
    return errors.of_mapping(error, owner.part(Engines).shown_url)


def _uncommitted(error: BaseException) -> exception.DatabaseOutcomeUnknown:
    return exception.DatabaseOutcomeUnknown(reason=errors.reason(error))


def _engine(owner: runtime.Runtime, engines: Engines, which: _Which) -> sa.Engine:
    """An engine; the first time it is asked for it is made."""
    try:
        return which(engines)
    except errors.DRIVER as error:
        raise _translated(error, owner) from errors.without_rows(error)


def prove(context: Changing, proof: outcome.Proof) -> None:
    """Have it found out by this whether the transaction was made, should its commit not tell."""
    context.proofs.append(proof)
