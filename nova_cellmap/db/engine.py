# SPDX-License-Identifier: Apache-2.0
"""How the mapping database is connected to.

oslo.db's enginefacade with two engines on it, told apart by a SQLAlchemy plugin:

- the *writer* begins SQLite transactions with a write lock, so that two writers
  queue instead of failing halfway, and pings a pooled connection that rested for
  a second;
- the *reader* runs each statement on its own, which saves three of the four round
  trips of a read from a server, and a third of the time of one from SQLite; a
  connection that was lost meanwhile is met by a second try in
  :mod:`nova_cellmap.db.api`.
"""

import contextlib
import logging
import pathlib
import time
from typing import Any, NamedTuple
import urllib.parse

from oslo_config import cfg
from oslo_db import options as oslo_db_options
from oslo_db.sqlalchemy import enginefacade
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy import pool
from sqlalchemy.engine import url as sa_url

from nova_cellmap import exception
from nova_cellmap import private_files
from nova_cellmap import runtime
from nova_cellmap import url
from nova_cellmap.db import deadline
from nova_cellmap.db import errors
from nova_cellmap.db import guard
from nova_cellmap.db import session

LOG = logging.getLogger(__name__)

_PLUGIN = 'nova_cellmap'
# Of engines that log their statements, and never a row.
LOGGING_NAME = 'nova_cellmap'
_ROLE = 'nova_cellmap_role'
_CONNECT_TIMEOUT = 'nova_cellmap_connect_timeout'
_READ_TIMEOUT = 'nova_cellmap_read_timeout'
_BUSY_TIMEOUT = 'nova_cellmap_busy_timeout'
# For how long nothing is read from a replica that did not answer.
_LEFT_ALONE_SECONDS = 30


class EnginePlugin(sa.CreateEnginePlugin):
    """Set an engine up for its role: ``?plugin=nova_cellmap&nova_cellmap_role=reader``."""

    def __init__(self, url: sa_url.URL, kwargs: dict[str, Any]) -> None:
        self.url = url
        self.is_reader = url.query.get(_ROLE) == 'reader'
        self.connect_timeout = float(str(url.query[_CONNECT_TIMEOUT]))
        self.read_timeout = float(str(url.query[_READ_TIMEOUT]))
        kwargs.setdefault('connect_args', {}).update(guard.arguments(url))
        # Parameters hold the cells' passwords, and SQLAlchemy's errors the parameters.
        kwargs['hide_parameters'] = True
        kwargs['logging_name'] = LOGGING_NAME
        # A connection's transaction has ended when it comes back: oslo.db's facade and
        # SQLAlchemy's Connection.close() see to that. Nothing needs another round trip.
        kwargs['pool_reset_on_return'] = None
        if url.get_backend_name() == 'sqlite':
            self._set_up_sqlite(kwargs)
            return
        # What this module's header says comes in its place.
        kwargs['pool_pre_ping'] = False
        if self.is_reader:
            kwargs['isolation_level'] = 'AUTOCOMMIT'
            kwargs['skip_autocommit_rollback'] = True
        elif url.get_backend_name() == 'postgresql':
            # With each transaction: what a session says is lost behind some proxies.
            kwargs['isolation_level'] = 'READ COMMITTED'

    def _set_up_sqlite(self, kwargs: dict[str, Any]) -> None:
        # How long another connection's write lock is waited for.
        busy_timeout = float(str(self.url.query[_BUSY_TIMEOUT]))
        kwargs.setdefault('connect_args', {}).setdefault('timeout', busy_timeout)
        if kwargs.get('poolclass') is pool.NullPool:
            # oslo.db's choice, which opens the file and parses its schema at each call.
            kwargs['poolclass'] = pool.QueuePool
            kwargs['pool_pre_ping'] = False

    def update_url(self, url: sa_url.URL) -> sa_url.URL:
        return url.difference_update_query([_ROLE, _CONNECT_TIMEOUT, _READ_TIMEOUT, _BUSY_TIMEOUT])

    def engine_created(self, engine: sa.Engine) -> None:
        if engine.dialect.name != 'sqlite':
            session.settle(engine, self.read_timeout)
            if not self.is_reader:
                _ping_what_rested(engine)
        elif self.is_reader:
            event.listen(engine, 'do_connect', _check_file)
            event.listen(engine, 'begin', _begin_nothing)
        else:
            event.listen(engine, 'do_connect', _make_file)
            event.listen(engine, 'begin', _begin_immediate)
        # Before oslo.db does, which comes next, and after the file is looked for.
        errors.watch(engine, is_ours=True)
        if engine.dialect.name != 'sqlite':
            seconds = session.read_timeout_of(engine.url, self.read_timeout)
            deadline.limit(engine, self.connect_timeout, seconds)


def is_watched(engine: sa.Engine) -> bool:
    """Whether somebody is told of each statement: a log, a profiler, ``connection_trace``."""
    told = engine.dispatch
    return bool(
        told.before_cursor_execute
        or told.after_cursor_execute
        or told.before_execute
        or told.after_execute
        or _statements_log.isEnabledFor(logging.INFO)
    )


_statements_log = logging.getLogger('sqlalchemy.engine.Engine')
# SQLAlchemy logs each row at the level DEBUG, and [api_database] connection_debug = 100 or a
# service's own configuration sets that: the passwords of all cells are in there.
logging.getLogger(f'{_statements_log.name}.{LOGGING_NAME}').addFilter(
    lambda record: record.levelno > logging.DEBUG
)


def _ping_what_rested(engine: sa.Engine) -> None:
    """Find out of a pooled connection, before it is used, whether the server has closed it.

    SQLAlchemy's own ping goes to the server each time. One that was used a moment ago is good,
    or what is begun on it is begun again.
    """

    @event.listens_for(engine, 'checkin')
    def note(connection: Any, record: Any) -> None:
        record.info[_RESTS_SINCE] = time.monotonic()

    @event.listens_for(engine, 'checkout')
    def ping(connection: Any, record: Any, proxy: Any) -> None:
        now = time.monotonic()
        if now - record.info.get(_RESTS_SINCE, now) < _REST_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise sa.exc.DisconnectionError(str(error)) from error


_RESTS_SINCE = 'nova_cellmap_rests_since'
_REST_SECONDS = 1


def _check_file(dialect: Any, record: Any, args: list[Any], parameters: dict[str, Any]) -> None:
    # SQLite makes an empty database where there is none: reading in the wrong folder
    # would leave one there.
    path = args[0]
    if _is_missing(path):
        raise dialect.loaded_dbapi.OperationalError(
            f'there is no file {path}; `nova-cellmap-manage db sync` makes it'
        )


def _make_file(dialect: Any, record: Any, args: list[Any], parameters: dict[str, Any]) -> None:
    # SQLite lets the whole machine read a file that it makes, with the passwords of the cells.
    # Its journals have the mode of the file.
    path = args[0]
    if path.startswith('file:'):
        parts = urllib.parse.urlsplit(path)
        # Not one in memory, nor one that is to be there.
        path = '' if 'mode=' in parts.query else urllib.parse.unquote(parts.path)
    if path and path != ':memory:':
        # Where it cannot be made, SQLite says why.
        with contextlib.suppress(OSError):
            private_files.make(pathlib.Path(path).resolve())


def _is_missing(path: str) -> bool:
    return not path.startswith('file:') and not pathlib.Path(path).exists()


def _begin_immediate(connection: sa.Connection) -> None:
    # A deferred transaction that reads first and writes later fails at once, however
    # long the timeout, where another one wrote in between.
    connection.exec_driver_sql('BEGIN IMMEDIATE')
    # So oslo.db's listener, which comes next, does not begin a second one.
    connection.info['in_transaction'] = True


def _begin_nothing(connection: sa.Connection) -> None:
    # As on servers, each statement is on its own; nor does oslo.db's listener begin.
    connection.info['in_transaction'] = True


class Engines(runtime.Part):
    """The engines of a runtime, and what ``[api_database]`` says of their use.

    :ivar manager: the enginefacade's transaction context manager
    :ivar has_replica: whether what is read may come from another server than what is written
        goes to
    :ivar retries: how often and after how many seconds a call is tried again
    :raises: InvalidURL
    """

    def __init__(self, owner: runtime.Runtime) -> None:
        self._conf = conf = owner.conf
        settings = {opt.dest: conf.api_database[opt.dest] for opt in oslo_db_options.database_opts}
        # Each session says its own, see nova_cellmap.db.session.
        settings['mysql_sql_mode'] = None
        writer_url = _url(settings, 'connection')
        settings['max_retries'] = _most_retries(
            writer_url, settings, conf.api_database.call_timeout
        )
        reader_url = writer_url
        if settings['slave_connection'] and not settings['synchronous_reader']:
            reader_url = _url(settings, 'slave_connection')
        settings['connection'] = _with_role(writer_url, 'writer', conf)
        # A SQLite database in memory belongs to its one connection.
        settings['slave_connection'] = (
            None if _is_in_memory(reader_url) else _with_role(reader_url, 'reader', conf)
        )
        # Which connection a reader uses is settled above; this makes it use that one.
        settings['synchronous_reader'] = False
        self.manager: Any = enginefacade.transaction_context()
        self.manager.configure(sqlite_fk=True, thread_checkin=False, **settings)
        self.has_replica = reader_url is not writer_url
        self.retries = Retries(
            settings['db_max_retries'],
            settings['db_max_retry_interval'] if settings['db_inc_retry_interval'] else None,
        )
        self._replica_left_until = float('-inf')
        self._reader: sa.Engine | None = None
        self._writer: sa.Engine | None = None

    @property
    def reader(self) -> sa.Engine:
        """The engine that reads; the first call connects."""
        if self._reader is None:
            with errors.connecting():
                self._reader = self.manager.reader.get_engine()
        return self._reader

    @property
    def writer(self) -> sa.Engine:
        """The engine that writes; the first call connects."""
        if self._writer is None:
            with errors.connecting():
                self._writer = self.manager.writer.get_engine()
        return self._writer

    @property
    def reading(self) -> sa.Engine:
        """The engine to read with: that of the replica, unless it is left alone."""
        if self.has_replica and time.monotonic() < self._replica_left_until:
            return self.writer
        return self.reader

    @property
    def own(self) -> sa.Engine:
        """The engine to read with what this process has just written."""
        return self.writer if self.has_replica else self.reader

    def only_reads(self, engine: sa.Engine) -> bool:
        """Whether what is sent by an engine is never part of a transaction."""
        return engine is self.reader and engine is not self.writer

    def leave_replica(self, reason: str) -> None:
        """Read from the server that is written to for a while: not each call is to wait for one
        that does not answer."""
        LOG.warning('The replica is left alone for %d seconds: %s', _LEFT_ALONE_SECONDS, reason)
        self._replica_left_until = time.monotonic() + _LEFT_ALONE_SECONDS

    @property
    def read_timeout(self) -> float:
        """For how many seconds the mapping database is waited for."""
        return float(self._conf.api_database.read_timeout)

    @property
    def call_timeout(self) -> float:
        """After how many seconds a call is not tried again."""
        return float(self._conf.api_database.call_timeout)

    @property
    def shown_url(self) -> str:
        """Where the mapping database is, with its password masked."""
        return url.mask(self._conf.api_database.connection)

    @property
    def is_missing_file(self) -> bool:
        """Whether the mapping database is an SQLite file that does not exist yet."""
        plain = sa.make_url(self._conf.api_database.connection)
        return (
            plain.get_backend_name() == 'sqlite'
            and not _is_in_memory(plain)
            and _is_missing(plain.database or '')
        )

    def close(self) -> None:
        """Close every pooled connection; the next call opens new ones."""
        if self.manager.is_started:
            self.manager.dispose_pool()

    def after_fork(self) -> bool:
        # Those in the pools are the parent's: closing them here would end them on the server.
        if self.manager.is_started:
            for facade in (self.manager.writer, self.manager.reader):
                engine = facade.get_engine()
                runtime.leave_to_parent(engine.pool)
                engine.dispose(close=False)
        return True


class Retries(NamedTuple):
    """How often a call is tried again, below 0 without end, and after how many seconds.

    ``longest_pause`` is what pauses grow to; None where each is as long as the first. A pooled
    connection that the server closed is the common case, and the next one is good: the first
    pause is short.
    """

    most: int
    longest_pause: float | None
    first_pause: float = 0.05


def of(context: object = None) -> Engines:
    """The engines of the runtime of a context, or of the default one.

    :raises: NotConfigured
    """
    return runtime.of(context).part(Engines)


def _url(settings: dict[str, Any], option: str) -> sa_url.URL:
    """:raises: InvalidURL"""
    text = settings[option] or ''
    if not text.strip() or url.is_none(text):
        raise exception.InvalidURL(reason=f'[api_database] {option}: the mapping needs a database')
    try:
        return url.parse_database(text)
    except (url.InvalidURL, sa.exc.ArgumentError) as error:
        raise exception.InvalidURL(reason=f'[api_database] {option}: {error}') from None


def _most_retries(plain: sa_url.URL, settings: dict[str, Any], call_timeout: int) -> int:
    """How often oslo.db tries to connect for the first time: for no longer than a call may take.

    Nova's own file often says -1, and the caller would wait for ever, for what nobody tells.
    """
    if plain.get_backend_name() == 'sqlite':
        # It comes to no server that may be down; but with the engine that writes to a file that
        # nobody wants made.
        return 0
    wanted: int = settings['max_retries']
    most: int = call_timeout // max(1, settings['retry_interval'])
    return most if wanted < 0 else min(wanted, most)


def _with_role(plain: sa_url.URL, role: str, conf: cfg.ConfigOpts) -> str:
    options = conf.api_database
    limited = session.with_limits(plain, options.connect_timeout, options.read_timeout)
    ours = {
        'plugin': _PLUGIN,
        _ROLE: role,
        _CONNECT_TIMEOUT: str(options.connect_timeout),
        _READ_TIMEOUT: str(options.read_timeout),
        _BUSY_TIMEOUT: str(options.call_timeout),
    }
    with_role = limited.update_query_pairs(ours.items(), append=True)
    return with_role.render_as_string(hide_password=False)


def _is_in_memory(plain: sa_url.URL) -> bool:
    if plain.get_backend_name() != 'sqlite':
        return False
    pool_class = plain.get_dialect().get_pool_class(plain)  # type: ignore[attr-defined]
    return not issubclass(pool_class, pool.QueuePool)
