# SPDX-License-Identifier: Apache-2.0
"""One ``db sync`` at a time on one database.

On a server the lock belongs to the very connection that the scripts run on. So it is
free again when the process dies, but not before the server is through with the
statement that the process left behind: the next one never meets a half-done ALTER.
MariaDB's lock is one server's: in a Galera cluster, run ``db sync`` on one node.

A SQLite file has a lock file beside it.
"""

from collections.abc import Iterator
import contextlib
import fcntl
import hashlib
import io
import logging
import os
import pathlib
import socket
import time
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy import pool

from nova_cellmap import exception

LOG = logging.getLogger(__name__)

WAIT_SECONDS = 600
LOG_SECONDS = 10
_POLL_SECONDS = 0.2


@contextlib.contextmanager
def held(engine: sa.Engine) -> Iterator[sa.Engine]:
    """Hold the lock of the engine's database, and give the engine to work with.

    :raises: :exc:`nova_cellmap.exception.MigrationError` where another process keeps it
    """
    if engine.dialect.name != 'sqlite':
        with _one_connection(engine) as locked:
            _wait_for(_server_lock(locked))
            yield locked
        return
    path = _sqlite_path(engine)
    if path is None:
        # A database in memory is this process' own.
        yield engine
        return
    with _open_lock_file(f'{path}.lock') as lock:
        _wait_for(lock)
        yield engine


class _Lock(Protocol):
    def try_acquire(self) -> bool:
        """Whether the lock is ours now. It is given back when its owner is closed."""

    def holder(self) -> str:
        """Who has the lock."""


def _wait_for(lock: _Lock) -> None:
    started = time.monotonic()
    said = 0.0
    while not lock.try_acquire():
        waited = time.monotonic() - started
        if waited >= WAIT_SECONDS:
            raise exception.MigrationError(
                reason=f'another db sync ({lock.holder()}) still holds the lock after '
                f'{WAIT_SECONDS} seconds. Look what it does, and try again.'
            )
        if waited >= said:
            LOG.info('Waiting for another db sync to end: %s', lock.holder())
            said += LOG_SECONDS
        time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def _one_connection(engine: sa.Engine) -> Iterator[sa.Engine]:
    """Give an engine that works on one connection, taken out of the pool for good."""
    with engine.connect() as connection:
        connection.detach()
        dbapi_connection = connection.connection.dbapi_connection
        yield sa.create_engine(
            engine.url,
            creator=lambda: dbapi_connection,
            poolclass=pool.StaticPool,
            hide_parameters=True,
        )


def _server_lock(engine: sa.Engine) -> _Lock:
    if engine.dialect.name == 'postgresql':
        return _PostgresqlLock(engine)
    return _MysqlLock(engine)


class _MysqlLock:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._name = self._lock_name()

    def _lock_name(self) -> str:
        # The server's locks are those of all its databases, and their names are short.
        with self._engine.connect() as connection:
            database = connection.execute(sa.select(sa.func.database())).scalar_one()
        name = f'nova_cellmap.{database}'
        return name if len(name) <= 64 else hashlib.sha256(name.encode()).hexdigest()

    def try_acquire(self) -> bool:
        with self._engine.connect() as connection:
            answer = connection.execute(sa.select(sa.func.get_lock(self._name, 0)))
            return bool(answer.scalar_one())

    def holder(self) -> str:
        query = sa.text(
            'SELECT id, host FROM information_schema.processlist WHERE id = IS_USED_LOCK(:name)'
        )
        with self._engine.connect() as connection:
            row = connection.execute(query, {'name': self._name}).first()
        return f'connection {row.id} from {row.host}' if row else 'an unknown connection'


class _PostgresqlLock:
    # Advisory locks are named by two numbers, within one database: 'nova', 'cell'.
    _KEYS = {'one': 0x6E6F7661, 'two': 0x63656C6C}

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def try_acquire(self) -> bool:
        query = sa.text('SELECT pg_try_advisory_lock(:one, :two)')
        with self._engine.connect() as connection:
            return bool(connection.execute(query, self._KEYS).scalar_one())

    def holder(self) -> str:
        query = sa.text(
            'SELECT pid, client_addr, client_port FROM pg_locks JOIN pg_stat_activity USING (pid)'
            " WHERE locktype = 'advisory' AND classid = :one AND objid = :two AND granted"
            ' AND datname = current_database()'
        )
        with self._engine.connect() as connection:
            row = connection.execute(query, self._KEYS).first()
        if row is None:
            return 'an unknown connection'
        return f'backend {row.pid} for {row.client_addr}:{row.client_port}'


def _sqlite_path(engine: sa.Engine) -> str | None:
    with engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        # Not by way of SQLAlchemy, which would begin a transaction: that has to wait
        # for the very process whose lock file is looked for here.
        _, _, path = driver.cursor().execute('PRAGMA database_list').fetchone()
    return path or None


@contextlib.contextmanager
def _open_lock_file(path: str) -> Iterator[_Lock]:
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(pathlib.Path(path).open('a+'))
        except OSError as error:
            raise exception.MigrationError(reason=f'no lock file can be made: {error}') from None
        yield _FileLock(file)


class _FileLock:
    """An flock: unlike fcntl's other locks it also keeps threads apart."""

    def __init__(self, file: io.TextIOWrapper) -> None:
        self._file = file

    def try_acquire(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._file.truncate(0)
        self._file.write(f'process {os.getpid()} on {socket.gethostname()}')
        self._file.flush()
        return True

    def holder(self) -> str:
        self._file.seek(0)
        return self._file.read() or 'an unknown process'
