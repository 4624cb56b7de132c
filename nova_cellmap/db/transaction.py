# SPDX-License-Identifier: Apache-2.0
"""Connections and transactions for the function layer, and what their errors mean.

A function of the layer is decorated with :func:`reads` or :func:`writes`. Within a block of
:func:`reader` or :func:`writer` it takes the block's connection; outside of one it is given one,
and is tried again where that was lost, or where it met a deadlock.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import functools
from typing import Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar

from oslo_db import api as oslo_db_api
from oslo_db import exception as db_exc
import sqlalchemy as sa

from nova_cellmap import context as contexts
from nova_cellmap import exception
from nova_cellmap import short_ways
from nova_cellmap.context import RequestContext
from nova_cellmap.db import changes
from nova_cellmap.db import engine
from nova_cellmap.db import errors
from nova_cellmap.db import prepared

Row = dict[str, Any]
_P = ParamSpec('_P')
_T = TypeVar('_T')


@contextlib.contextmanager
def reader(context: RequestContext) -> Iterator[None]:
    """A block whose reads share one connection.

    Each statement sees what was committed when it began: the block is no snapshot.
    """
    with _errors_translated(), engine.reader(contexts.of(context)):
        yield


@contextlib.contextmanager
def writer(context: RequestContext) -> Iterator[None]:
    """A block whose writes become visible together at its end, or not at all."""
    context = contexts.of(context)
    with _errors_translated():
        if is_open(context):
            with engine.writer(context):
                yield
            return
        with (
            changes.noted() as noted,
            engine.writer(context),
            _noting(context.connection, noted),
        ):
            yield


class Connected(Protocol):
    """A context, so far as a function that reads or writes has to know: its connection is open."""

    @property
    def connection(self) -> sa.Connection: ...


class _Reading:
    """One read outside of any block. What oslo.db sets up for a block takes as long as it."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._connection: sa.Connection | None = None

    @property
    def connection(self) -> sa.Connection:
        if self._connection is None:
            self._connection = errors.connect(self.engine)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class _Writing(NamedTuple):
    """One transaction outside of any block."""

    connection: sa.Connection


def reads(
    function: Callable[Concatenate[Connected, _P], _T],
) -> Callable[Concatenate[RequestContext, _P], _T]:
    """Run *function* with ``context.connection`` open for reading, and try it again."""

    @functools.wraps(function)
    def call(context: RequestContext, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        context = contexts.of(context)
        if is_open(context):
            with _errors_translated():
                return function(context, *args, **kwargs)

        def attempt() -> _T:
            reading = _Reading(engine.reader_engine())
            try:
                return function(reading, *args, **kwargs)
            finally:
                reading.close()

        return _run(attempt)

    return call


def writes(
    function: Callable[Concatenate[Connected, _P], _T],
) -> Callable[Concatenate[RequestContext, _P], _T]:
    """Run *function* with ``context.connection`` in a transaction, and try it again."""

    @functools.wraps(function)
    def call(context: RequestContext, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        context = contexts.of(context)
        if is_open(context):
            with _errors_translated(), engine.writer(context):
                return function(context, *args, **kwargs)

        def attempt() -> _T:
            with changes.noted() as noted:
                try:
                    with engine.writer_engine().begin() as connection, _noting(connection, noted):
                        result = function(_Writing(connection), *args, **kwargs)
                except db_exc.DBConnectionError:
                    if not noted.is_committing:
                        raise
                    raise exception.DatabaseUnreachable(
                        reason='the connection was lost during a commit, '
                        'which may or may not have been made'
                    ) from None
            return result

        return _run(attempt)

    return call


def _run(attempt: Callable[[], _T]) -> _T:
    with _errors_translated():
        try:
            return attempt()
        except Exception as error:
            return _retry(error, attempt)


def _retry(first: Exception, attempt: Callable[[], _T]) -> _T:
    """Try again after a *first* error, if it is one of those that go away."""
    # What oslo.db makes of a function costs more than a read, and few need it: so it meets
    # the first error when it calls.
    failures = [first]

    def again() -> _T:
        if failures:
            raise failures.pop()
        return attempt()

    retry = oslo_db_api.wrap_db_retry(
        retry_on_disconnect=True,
        retry_on_deadlock=True,
        exception_checker=_goes_away,
        **engine.retry_settings(),
    )
    result: _T = retry(again)()
    return result


@contextlib.contextmanager
def _noting(connection: sa.Connection, noted: changes.Changes) -> Iterator[None]:
    """A block that is all of a transaction but its commit."""
    info = connection.info
    info[_CHANGES] = noted
    try:
        yield
    finally:
        info.pop(_CHANGES, None)
    noted.is_committing = True


# Under this a connection knows what its transaction changes.
_CHANGES = 'nova_cellmap_changes'


def changes_of(context: Connected) -> changes.Changes:
    """Where to note what is changed."""
    # Of a transaction that was begun elsewhere the end is not seen: its tombstones expire.
    return noted(context) or changes.Changes()


def noted(context: Connected) -> changes.Changes | None:
    """What the transaction has changed; None where there is no transaction."""
    if isinstance(context, _Reading):
        return None
    noted: changes.Changes | None = context.connection.info.get(_CHANGES)
    return noted


def is_open(context: RequestContext) -> bool:
    """Whether the context is in a block."""
    try:
        return contexts.of(context).transaction_ctx is not None
    except db_exc.NoEngineContextEstablished:
        return False


@contextlib.contextmanager
def _errors_translated() -> Iterator[None]:
    try:
        yield
    except errors.DRIVER as error:
        raise errors.of_mapping(error, engine.shown_url()) from error


def _goes_away(error: Exception) -> bool:
    return errors.kind_of(error) in (errors.Kind.CROWDED, errors.Kind.READ_ONLY)


def rows(context: Connected, query: prepared.Query, values: Mapping[str, Any]) -> list[Row]:
    """What a query finds, as :func:`tuples`, keyed by the names of the columns."""
    found = tuples(context, query, values)
    return [dict(zip(query.columns, row)) for row in found]  # noqa: B905 - it is slower


def tuples(
    context: Connected, query: prepared.Query, values: Mapping[str, Any]
) -> Sequence[Sequence[Any]]:
    """What a query finds: by way of the driver, but in a transaction.

    Whatever goes wrong there SQLAlchemy is asked as well: it knows what it was, and connects
    anew where the connection was lost.
    """
    found = None
    if isinstance(context, _Reading):
        if _is_direct(context.engine):
            found = _found_by_pool(context.engine, query, values)
    elif engine.only_reads(context.connection.engine) and _is_direct(context.connection.engine):
        found = _found_in_block(context.connection, query, values)
    return context.connection.execute(query.select, values).all() if found is None else found


class Refused(Exception):
    """What was to be done by way of the driver is to be begun anew, by SQLAlchemy."""


def insert(context: Connected, query: prepared.Insert, values: Mapping[str, Any]) -> int:
    """Insert a row by way of the driver, as the first step of a transaction; answer its key.

    :raises: Refused, whatever goes wrong: SQLAlchemy knows what it is
    """
    connection = context.connection
    if not _is_direct(connection.engine):
        raise Refused
    try:
        return query.key(connection.connection, connection.dialect, values)
    except Exception as error:
        raise Refused from error
    except BaseException:
        # What may still come over it is nobody else's: it is closed at the end.
        connection.detach()
        raise


def _is_direct(engine_: sa.Engine) -> bool:
    return short_ways.are_on and not engine.is_watched(engine_)


def _found_by_pool(
    reader: sa.Engine, query: prepared.Query, values: Mapping[str, Any]
) -> Sequence[Sequence[Any]] | None:
    connection = None
    try:
        connection = reader.raw_connection()
        found = query.tuples(connection, reader.dialect, values)
    except BaseException as error:
        if connection is not None:
            # What may still come over it is nobody else's.
            connection.invalidate()
        if isinstance(error, Exception):
            return None
        raise
    connection.close()
    return found


def _found_in_block(
    connection: sa.Connection, query: prepared.Query, values: Mapping[str, Any]
) -> Sequence[Sequence[Any]] | None:
    try:
        return query.tuples(connection.connection, connection.dialect, values)
    except Exception:
        return None
    except BaseException:
        # Nor does this one go back to the pool: it is closed with the block.
        connection.detach()
        raise
