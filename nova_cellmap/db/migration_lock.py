# SPDX-License-Identifier: Apache-2.0
"""One ``db sync`` at a time on one database.

On a server the lock is in the database itself: see :mod:`nova_cellmap.db.lease`. A SQLite file
has a lock file beside it.
"""

from collections.abc import Iterator
import contextlib
import fcntl
import logging
import os
import stat
import time
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy import pool

from nova_cellmap import exception
from nova_cellmap.db import deadline
from nova_cellmap.db import errors
from nova_cellmap.db import lease
from nova_cellmap.db import process
from nova_cellmap.db import session
from nova_cellmap.db import version_control

LOG = logging.getLogger(__name__)

WAIT_SECONDS = 600
LOG_SECONDS = 10
_POLL_SECONDS = 0.2
# Of a lock file's text, what is read.
_LONGEST_HOLDER = 1000


@contextlib.contextmanager
def held(engine: sa.Engine, repository: Any, patience: float) -> Iterator[sa.Engine]:
    """Hold the lock of the engine's database, and give the engine to work with.

    :param repository: the schema's history, whose table of versions the lock is in
    :param patience: for how many seconds a server may work on one statement
    :raises: :exc:`nova_cellmap.exception.MigrationError` where another process keeps it
    """
    if engine.dialect.name != 'sqlite':
        with _one_connection(engine, patience) as working:
            table = version_control.make_version_table(engine, repository)
            lock = lease.Lease(engine, table, repository.id)
            _wait_for(lock)
            with lock.kept(working):
                yield working
        return
    path = _sqlite_path(engine)
    if path is None:
        # A database in memory is this process' own.
        yield engine
        return
    with _open_lock_file(f'{path}.lock') as file:
        _wait_for(file)
        yield engine


class _Lock(Protocol):
    def try_acquire(self) -> bool:
        """Whether the lock is ours now."""

    def holder(self) -> object:
        """Who has the lock, for people."""


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
def _one_connection(engine: sa.Engine, patience: float) -> Iterator[sa.Engine]:
    """Give an engine that works on one connection, of its own."""
    url = session.with_read_timeout(engine.url, patience)
    patient = sa.create_engine(url, poolclass=pool.NullPool, hide_parameters=True)
    errors.watch(patient)
    session.settle(patient, patience)
    with errors.connect(patient) as connection:
        dbapi_connection = connection.connection.dbapi_connection
        working = sa.create_engine(
            url,
            creator=lambda: dbapi_connection,
            poolclass=pool.StaticPool,
            hide_parameters=True,
        )
        errors.watch(working)
        deadline.limit(working, patience, patience)
        session.settle_transactions(working, patience)
        yield working


def _sqlite_path(engine: sa.Engine) -> str | None:
    with engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        # Not through SQLAlchemy, which would begin a transaction: that has to wait
        # for the very process whose lock file is looked for here.
        _, _, path = driver.cursor().execute('PRAGMA database_list').fetchone()
    return path or None


@contextlib.contextmanager
def _open_lock_file(path: str) -> Iterator[_Lock]:
    # What another user laid there, a link to a file of ours, is neither followed nor written to.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise exception.MigrationError(reason=f'no lock file can be made: {error}') from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise exception.MigrationError(
                reason=f'{path} is no lock file: it is a link or no plain file. Remove it.'
            )
        yield _FileLock(descriptor)
    finally:
        os.close(descriptor)


class _FileLock:
    """An flock: unlike fcntl's other locks it also keeps threads apart."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def try_acquire(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, process.described().encode(), 0)
        return True

    def holder(self) -> str:
        text = os.pread(self._descriptor, _LONGEST_HOLDER, 0).decode(errors='replace')
        return text or 'an unknown process'
