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
import os
import pathlib
import time
from typing import Any
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
_FIRST_RETRY_SECONDS = 0.05
# For how long nothing is read from a replica that did not answer.
_LEFT_ALONE_SECONDS = 30

_manager: Any = None
_reader_engine: sa.Engine | None = None
_writer_engine: sa.Engine | None = None
_has_replica = False
_replica_left_until = float('-inf')
_conf: cfg.ConfigOpts | None = None
_retry_settings: dict[str, Any] = {}


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


def configure(conf: cfg.ConfigOpts) -> None:
    """Bind this process to ``[api_database]`` of *conf*. May be called again.

    :raises: :exc:`nova_cellmap.exception.InvalidURL`
    """
    global _manager, _reader_engine, _writer_engine, _conf, _retry_settings
    global _has_replica, _replica_left_until
    settings = {opt.dest: conf.api_database[opt.dest] for opt in oslo_db_options.database_opts}
    # Each session says its own, see nova_cellmap.db.session.
    settings['mysql_sql_mode'] = None
    writer_url = _url(settings, 'connection')
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
    manager: Any = enginefacade.transaction_context()
    manager.configure(sqlite_fk=True, thread_checkin=False, **settings)
    dispose()
    _manager, _conf = manager, conf
    _has_replica = reader_url is not writer_url
    _replica_left_until = float('-inf')
    _reader_engine = _writer_engine = None
    _retry_settings = {
        # A pooled connection that the server closed is the common case, and the next
        # one is good: the first wait is short, the next ones double.
        'retry_interval': _FIRST_RETRY_SECONDS,
        'max_retries': settings['db_max_retries'],
        'inc_retry_interval': settings['db_inc_retry_interval'],
        'max_retry_interval': settings['db_max_retry_interval'],
    }


def dispose() -> None:
    """Close every pooled connection; the next call opens new ones."""
    if _manager is not None and _manager.is_started:
        _manager.dispose_pool()


def _leave_to_parent() -> None:
    """Begin without connections, in a child of a fork: those in the pools are its parent's.

    Closing them here would end them on the server.
    """
    if _manager is not None and _manager.is_started:
        for facade in (_manager.writer, _manager.reader):
            facade.get_engine().dispose(close=False)


os.register_at_fork(after_in_child=_leave_to_parent)


def manager() -> Any:
    """The enginefacade's transaction context manager that ``configure`` made.

    :raises: :exc:`nova_cellmap.exception.NotConfigured`
    """
    if _manager is None:
        raise exception.NotConfigured()
    return _manager


def conf() -> cfg.ConfigOpts:
    """The configuration that the process is bound to.

    :raises: :exc:`nova_cellmap.exception.NotConfigured`
    """
    if _conf is None:
        raise exception.NotConfigured()
    return _conf


def read_timeout() -> float:
    """For how many seconds the mapping database is waited for."""
    return float(conf().api_database.read_timeout)


def retry_settings() -> dict[str, Any]:
    """How often and after how many seconds a call is tried again: ``[api_database] db_*``."""
    return _retry_settings


def call_timeout() -> float:
    """After how many seconds it is not."""
    return float(conf().api_database.call_timeout)


def has_replica() -> bool:
    """Whether what is read may come from another server than what is written goes to."""
    return _has_replica


def leave_replica(reason: str) -> None:
    """Read from the server that is written to for a while: not each call is to wait for one
    that does not answer."""
    global _replica_left_until
    LOG.warning('The replica is left alone for %d seconds: %s', _LEFT_ALONE_SECONDS, reason)
    _replica_left_until = time.monotonic() + _LEFT_ALONE_SECONDS


def reading_engine() -> sa.Engine:
    """The engine to read with; the first call connects.

    :raises: as :func:`reader_engine`
    """
    if _has_replica and time.monotonic() < _replica_left_until:
        return writer_engine()
    return reader_engine()


def shown_url() -> str:
    """Where the mapping database is, with its password masked."""
    return url.mask(conf().api_database.connection)


def is_missing_file() -> bool:
    """Whether the mapping database is an SQLite file that does not exist yet."""
    plain = sa.make_url(conf().api_database.connection)
    return (
        plain.get_backend_name() == 'sqlite'
        and not _is_in_memory(plain)
        and _is_missing(plain.database or '')
    )


def reader_engine() -> sa.Engine:
    """The engine that reads; the first call connects.

    :raises: :exc:`nova_cellmap.exception.NotConfigured`
    """
    global _reader_engine
    if _reader_engine is None:
        with errors.connecting():
            _reader_engine = manager().reader.get_engine()
    return _reader_engine


def writer_engine() -> sa.Engine:
    """The engine that writes; the first call connects.

    :raises: :exc:`nova_cellmap.exception.NotConfigured`
    """
    global _writer_engine
    if _writer_engine is None:
        with errors.connecting():
            _writer_engine = manager().writer.get_engine()
    return _writer_engine


def only_reads(engine: sa.Engine) -> bool:
    """Whether what is sent by an engine is never part of a transaction."""
    return engine is reader_engine() and engine is not writer_engine()


def _url(settings: dict[str, Any], option: str) -> sa_url.URL:
    """:raises: InvalidURL"""
    text = settings[option] or ''
    if url.is_none(text):
        raise exception.InvalidURL(reason=f'[api_database] {option}: the mapping needs a database')
    try:
        return url.parse_database(text)
    except (url.InvalidURL, sa.exc.ArgumentError) as error:
        raise exception.InvalidURL(reason=f'[api_database] {option}: {error}') from None


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
