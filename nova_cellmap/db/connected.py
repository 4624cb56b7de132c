# SPDX-License-Identifier: Apache-2.0
"""What a function of the layer is given: a context with a connection.

What it reads outside of a transaction is sent through the driver, and by SQLAlchemy after a
connection was lost.
"""

from collections.abc import Callable, Mapping, Sequence
import contextlib
import time
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import runtime
from nova_cellmap.db import attempts
from nova_cellmap.db import engine
from nova_cellmap.db import errors
from nova_cellmap.db import outcome
from nova_cellmap.db.caching import changes
from nova_cellmap.db.engine import Engines
from nova_cellmap.db.errors import Kind
from nova_cellmap.db.schemas.detection import Detected
from nova_cellmap.db.schemas.schema import Schema

_T = TypeVar('_T')

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


class Reading:
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
        self._own: Reading | None = None
        self._losses = 0

    @property
    def schema(self) -> Schema:
        detected = self.runtime.part(Detected)
        if detected.found is not None:
            return detected.found
        was_open = self._connection is not None
        schema = detected.schema(self.connection)
        if not was_open:
            # What is read next may take another one, where there is only one.
            self.close()
        return schema

    @property
    def own(self) -> 'Connected':
        if self._engine is self._engines.own or self._losses >= _STAND_IN_AFTER - 1:
            return self
        if self._own is None:
            self._own = Reading(self.runtime, self._engines, self._engines.own)
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

        return attempts.repeat(attempt, self.runtime)

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


class KeptReading(Reading):
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


class Writing:
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
            return attempts.repeat(attempt, self.runtime, is_last=not self._is_untouched)
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
            do(self.after)
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
        do(self.after)

    def close(self) -> None:
        """Roll back what is not committed."""
        connection, self._connection = self._connection, None
        self.after = []
        if connection is not None:
            _close(connection)


def do(calls: list[Callable[[], None]]) -> None:
    """Do what was to be done once a transaction is committed."""
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
