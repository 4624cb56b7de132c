# SPDX-License-Identifier: Apache-2.0
"""Reading a cell's own database."""

from collections.abc import Callable, Collection, Iterator, Sequence
import contextlib
import datetime
import logging
import pathlib
from typing import Any, TypeVar

from oslo_config import cfg
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy import pool
from sqlalchemy.engine import url as sa_url

from nova_cellmap import exception
from nova_cellmap import url
from nova_cellmap.cells import rows
from nova_cellmap.db import deadline
from nova_cellmap.db import engine as db_engine
from nova_cellmap.db import errors
from nova_cellmap.db import guard
from nova_cellmap.db import server_time
from nova_cellmap.db import session
from nova_cellmap.db import undecoded
from nova_cellmap.db.error_kinds import Kind
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.url import place

LOG = logging.getLogger(__name__)

_T = TypeVar('_T')

# How much a server may send in answer to a statement: so much for each row that it is asked for,
# and this beside it.
_BYTES_BESIDE = 1 << 20
BYTES_A_ROW = 1 << 12
# Under this a connection knows for how many seconds its server is waited for.
_READ_TIMEOUT = 'nova_cellmap_read_timeout'
# What a driver or a server says where it cannot make sense of a value.
_MAY_BE_A_ROWS = (Kind.VALUE, Kind.MISREAD, Kind.UNUSABLE, Kind.REFUSED)


@contextlib.contextmanager
def connect(cell: CellMapping) -> Iterator['Reader']:
    """A block in which a cell's database can be read: it is connected to when first asked."""
    reader = Reader(cell)
    try:
        yield reader
    finally:
        reader.close()


class Reader:
    """Reads a cell's database, each statement on its own.

    No transaction stays open between two statements: a run of hours must not keep the cell's
    server from forgetting old versions of its rows. And a connection that was lost since the
    statement before, because it rested for too long or the server was started again, is no
    failure: the statement is sent once more, over another one.

    What the server sends is not believed: it may be of any kind, and come for ever.
    """

    def __init__(self, cell: CellMapping) -> None:
        self._cell = cell
        self._conf = cell.runtime.conf
        self._engine: sa.Engine | None = None
        self._connection: sa.Connection | None = None
        self._was_connected = False
        self._connecting = deadline.Watched(0)

    @property
    def dialect(self) -> str:
        """The kind of database, in SQLAlchemy's words.

        :raises: CellUnreachable where the URL leads nowhere
        """
        return self._engine_made().dialect.name

    def rows(
        self, query: sa.Select[Any], most: int, *, plain: sa.Select[Any] | None = None
    ) -> list[Sequence[Any]]:
        """What a query finds.

        :param most: how many rows it can find, so that more are none of its rows
        :param plain: what is asked in its place where the driver or the server cannot make
            sense of a row: without types, since the text of all rows is had as it is stored
        :raises: CellUnreachable
        """
        try:
            return self._asked(lambda connection: rows_of(connection, query, most))
        except exception.CellUnreachable as error:
            cause = error.__cause__
            if plain is None or cause is None or not self._may_be_a_rows(cause):
                raise
        # What was wrong with the first attempt is said where this one fails too.
        with contextlib.suppress(*errors.DRIVER):
            return self._ask(lambda connection: rows_of(connection, plain, most, is_plain=True))
        raise self._failure(cause) from cause

    def column_names(self, table: str) -> Collection[str]:
        """The columns of a table.

        :raises: CellUnreachable; NotACellDatabase where there is no such table
        """
        return self._asked(lambda connection: column_names(connection, table, self._cell.identity))

    def now(self) -> datetime.datetime | None:
        """The time by the server's own clock, in UTC; None where it says none.

        :raises: CellUnreachable
        """
        found = self.rows(sa.select(server_time.utc_now(self.dialect)), 1)
        return rows.time_of(found[0][0]) if found else None

    def close(self) -> None:
        self._drop()
        if self._engine is not None:
            self._engine.dispose()

    def _asked(self, question: Callable[[sa.Connection], _T]) -> _T:
        """:raises: CellUnreachable"""
        is_fresh = self._connection is None
        try:
            return self._ask(question)
        except errors.DRIVER as error:
            first = error
        if is_fresh or errors.kind_of(first) is not Kind.LOST:
            raise self._failure(first) from first
        LOG.info('Connecting to cell %s again: %s', self._cell.identity, errors.reason(first))
        try:
            return self._ask(question)
        except errors.DRIVER as error:
            raise self._failure(error, before=first) from error

    def _ask(self, question: Callable[[sa.Connection], _T]) -> _T:
        """:raises: one of errors.DRIVER, after which the connection is closed"""
        self._was_connected = False
        try:
            connection = self._connected()
            self._was_connected = True
            return question(connection)
        except exception.CellError:
            raise
        except Exception as error:
            self._drop()
            raise errors.as_driver_error(error) from error

    def _may_be_a_rows(self, error: BaseException) -> bool:
        """Whether an error may be about what is in one row."""
        return errors.kind_of(error) in _MAY_BE_A_ROWS and self._was_connected

    def _failure(
        self, error: BaseException, before: BaseException | None = None
    ) -> exception.CellUnreachable:
        reason = errors.reason(error)
        if before is not None and errors.reason(before) != reason:
            reason = f'{reason}; what led to connecting again: {errors.reason(before)}'
        return exception.CellUnreachable(cell=self._cell.identity, reason=reason)

    def _connected(self) -> sa.Connection:
        if self._connection is None:
            engine = self._engine_made()
            limits = self._conf.cells
            with deadline.watching(
                limits.connect_timeout + limits.read_timeout, _BYTES_BESIDE
            ) as self._connecting:
                self._connection = errors.connect(engine)
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.invalidate()
                connection.close()

    def _engine_made(self) -> sa.Engine:
        if self._engine is None:
            self._engine = self._new_engine()
        return self._engine

    def _new_engine(self) -> sa.Engine:
        plain = engine_url(self._cell, self._conf)
        # SQLAlchemy's own: oslo.db's connects once more to see whether it can, and waits and
        # tries again. Here the caller tells of a failure at once.
        try:
            with errors.connecting():
                engine = sa.create_engine(
                    plain,
                    hide_parameters=True,
                    logging_name=db_engine.LOGGING_NAME,
                    poolclass=pool.NullPool,
                    pool_reset_on_return=None,
                    isolation_level='AUTOCOMMIT',
                    skip_autocommit_rollback=True,
                )
        except errors.DRIVER as error:
            raise self._failure(error) from error
        set_up(engine, self._conf)
        event.listen(engine, 'connect', self._note_connection, insert=True)
        return engine

    def _note_connection(self, connection: Any, record: Any) -> None:
        self._connecting.connection = connection


def set_up(engine: sa.Engine, conf: cfg.ConfigOpts) -> None:
    """Have an engine of a cell rely on no default of its server, and wait for nothing for ever.

    Its errors are those of :mod:`nova_cellmap.db.errors`.
    """
    errors.watch(engine)
    session.settle(engine, conf.cells.read_timeout)
    seconds = session.read_timeout_of(engine.url, conf.cells.read_timeout)
    deadline.limit(engine, conf.cells.connect_timeout, seconds)

    @event.listens_for(engine, 'connect')
    def note(connection: Any, record: Any) -> None:
        record.info[_READ_TIMEOUT] = seconds


def rows_of(
    connection: sa.Connection,
    query: sa.Select[Any],
    most: int | None,
    *,
    is_plain: bool = False,
) -> list[Sequence[Any]]:
    """What a query finds in a cell's database.

    :param most: how many rows it can find; None: any number
    :param is_plain: whether to have all text as it is stored: what is not in the encoding that
        it should be in becomes surrogates
    :raises: one of errors.DRIVER
    """
    most_bytes = None if most is None else _BYTES_BESIDE + most * BYTES_A_ROW
    try:
        with _limited(connection, most_bytes):
            found: Sequence[Sequence[Any]] = (
                undecoded.rows(connection, query) if is_plain else connection.execute(query).all()
            )
            return _checked(found, query, most)
    except Exception as error:
        raise errors.as_driver_error(error) from error


@contextlib.contextmanager
def _limited(connection: sa.Connection, most_bytes: int | None) -> Iterator[None]:
    raw = connection.connection.dbapi_connection
    with deadline.watching(connection.info[_READ_TIMEOUT], most_bytes, raw):
        yield


def column_names(connection: sa.Connection, table: str, identity: str) -> Collection[str]:
    """The columns of a table in a cell's database, by what a query of no rows answers.

    :param identity: whose database it is, for messages
    :raises: NotACellDatabase where there is no such table; one of errors.DRIVER
    """
    query = sa.select(sa.text('*')).select_from(sa.table(table)).where(sa.false())
    try:
        with _limited(connection, _BYTES_BESIDE):
            return frozenset(connection.execute(query).keys())
    except Exception as error:
        failure = errors.as_driver_error(error)
        if errors.kind_of(failure) is Kind.SCHEMA:
            raise exception.NotACellDatabase(
                cell=identity, reason=f'it has no table {table}'
            ) from error
        raise failure from error


def _checked(
    rows: Sequence[Sequence[Any]], query: sa.Select[Any], most: int | None
) -> list[Sequence[Any]]:
    width = len(query.selected_columns)
    if most is not None and len(rows) > most:
        raise _Misread(f'it sent {len(rows):,} rows, and was asked for {most:,} at most')
    if any(len(row) != width for row in rows):
        raise _Misread(f'it sent rows of another number of columns than {width}')
    return list(rows)


class _Misread(sa.exc.ResourceClosedError):
    """What a server sent is no answer."""


def place_of(cell: CellMapping) -> str | None:
    """Which database a cell has, as :func:`nova_cellmap.url.place.digest` tells it.

    None where it has none, or nobody can tell.
    """
    text = cell.database_connection
    if url.is_none(text) or url.is_template(text):
        return None
    try:
        return place.digest(text)
    except (sa.exc.ArgumentError, ValueError, OSError):
        return None


def engine_url(cell: CellMapping, conf: cfg.ConfigOpts) -> str:
    """Where SQLAlchemy finds a cell's database. What the URL itself sets has precedence.

    :param conf: ``[cells]`` of it says how long is waited for its host while connecting, and
        later; with MySQL and MariaDB the latter holds for the database, also while connecting
    :raises: CellUnreachable where the URL leads nowhere
    """
    plain = _checked_url(cell, conf)
    limited = session.with_limits(plain, conf.cells.connect_timeout, conf.cells.read_timeout)
    return guard.guarded(limited).render_as_string(hide_password=False)


def _checked_url(cell: CellMapping, conf: cfg.ConfigOpts) -> sa_url.URL:
    """:raises: CellUnreachable where the URL leads nowhere."""
    text = cell.database_connection
    if url.is_none(text):
        raise exception.CellUnreachable(cell=cell.identity, reason='it has none')
    if url.is_template(text):
        raise exception.CellUnreachable(
            cell=cell.identity,
            reason=f'{url.mask(text)} is a template; set [database] connection to fill it from',
        )
    try:
        url.check_cell_database(text, also=conf.cells.more_url_parameters)
        connection_url = url.parse_database(text)
    except url.InvalidURL as error:
        raise exception.CellUnreachable(cell=cell.identity, reason=str(error)) from None
    if connection_url.get_backend_name() == 'sqlite':
        _check_file(cell, connection_url.database)
    return connection_url


def _check_file(cell: CellMapping, path: str | None) -> None:
    # SQLite would make an empty database where there is none.
    if path and not path.startswith((':memory:', 'file:')) and not pathlib.Path(path).is_file():
        raise exception.CellUnreachable(cell=cell.identity, reason=f'there is no file {path}')
