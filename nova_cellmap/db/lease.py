# SPDX-License-Identifier: Apache-2.0
"""A lock that is two rows of a table, and hangs on no session.

A session's lock is refused by Percona XtraDB Cluster, stays behind at PgBouncer, and is known to
one node of a Galera cluster alone. A row is known to all, and can be changed in one transaction
with what it guards.

The first row says who has the lock. While it is there, the holder counts up the second every
few seconds, from a thread of its own. Others watch that count by their own clock, and take the
lock where it has rested for too long: no time of one machine is ever compared with that of
another. Each statement of the holder is preceded by a look at the first row, which locks it: as
long as the transaction of a statement lasts, nobody takes the lock, and who has lost it does
nothing more.

On MySQL and MariaDB, DDL ends the transaction that it is in, and goes on when its client is gone.
So who takes the lock waits first for what is under way on the tables. What nothing can fence
there: a holder that is stopped between that look and the sending of one DDL statement, for longer
than the lock is kept for it, sends that statement when it goes on.
"""

from collections.abc import Iterator
import contextlib
import json
import logging
import threading
import time
from typing import Any, NamedTuple
import uuid

import sqlalchemy as sa
from sqlalchemy import event

from nova_cellmap import exception
from nova_cellmap.db import errors
from nova_cellmap.db import process
from nova_cellmap.db import server_time

LOG = logging.getLogger(__name__)

# How often the holder shows that it is there, and after how long without it is taken for gone.
BEAT_SECONDS = 2.0
SILENCE_SECONDS = 15.0
# For how long a statement of one who waits may wait itself.
_PATIENCE_SECONDS = 2
# Somebody else was at it in the same moment: in a Galera cluster also on another node.
_CONFLICTS = (errors.Kind.LOCKED, errors.Kind.DUPLICATE)


class Holder(NamedTuple):
    """Who has a lock.

    :ivar row: what the first row says, as it is
    :ivar beats: the count of the second
    """

    row: str
    beats: int

    @property
    def owner(self) -> str:
        return str(_read(self.row).get('owner', ''))

    def __str__(self) -> str:
        said = _read(self.row)
        return f'{said.get("holder", "somebody")}, since {said.get("since", "some time")} UTC'


class Lease:
    """A lock on a database, which others see in its table of versions.

    :param engine: connections to the database, for the lock's own use
    :param table: the table, with the columns of sqlalchemy-migrate's
    :param name: what the rows are named after
    """

    def __init__(self, engine: sa.Engine, table: sa.Table, name: str) -> None:
        self._engine = engine
        self._table = table
        self._lock, self._count = names(name)
        self._owner = f'{process.identity()}/{uuid.uuid4().hex}'
        self._row = ''
        self._seen: Holder | None = None
        self._seen_at = 0.0

    def try_acquire(self) -> bool:
        """Whether the lock is ours now."""
        try:
            held = self.holder()
            if held is None:
                return self._claim()
            return self._is_silent(held) and self._has_settled(held) and self._take(held)
        except errors.DRIVER as error:
            if errors.kind_of(error) not in _CONFLICTS:
                raise
            return False

    def holder(self) -> Holder | None:
        """Who has the lock; None where nobody has."""
        names = self._table.c.repository_id
        query = sa.select(self._table).where(names.in_([self._lock, self._count]))
        with self._engine.connect() as connection:
            rows = {row.repository_id: row for row in connection.execute(query)}
        if self._lock not in rows:
            return None
        beats = rows[self._count].version if self._count in rows else 0
        return Holder(rows[self._lock].repository_path or '', beats or 0)

    @contextlib.contextmanager
    def kept(self, work: sa.Engine) -> Iterator[None]:
        """A block in which the lock stays ours, or no statement of *work* is sent any more."""
        event.listen(work, 'before_cursor_execute', self._check)
        stop = threading.Event()
        thread = threading.Thread(target=self._beat_until, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self._release()

    def _claim(self) -> bool:
        with self._engine.begin() as connection:
            self._row = self._row_of(connection)
            insert = sa.insert(self._table)
            rows = [
                {'repository_id': self._lock, 'repository_path': self._row, 'version': 0},
                {'repository_id': self._count, 'repository_path': self._owner, 'version': 0},
            ]
            for row in rows:
                connection.execute(insert, row)
        return True

    def _take(self, held: Holder) -> bool:
        with self._impatient() as connection:
            row = self._row_of(connection)
            taken = (
                (self._lock, held.row, 0, {'repository_path': row}),
                (self._count, held.owner, held.beats, {'repository_path': self._owner}),
            )
            for name, path, version, values in taken:
                update = sa.update(self._table).where(
                    self._table.c.repository_id == name,
                    self._table.c.repository_path == path,
                    self._table.c.version == version,
                )
                if not connection.execute(update, values).rowcount:
                    connection.rollback()
                    return False
            connection.commit()
        self._row = row
        LOG.warning('The db sync of %s is gone: its lock is taken over', held)
        return True

    def _row_of(self, connection: sa.Connection) -> str:
        now = server_time.utc_now(connection.dialect.name)
        since = connection.execute(sa.select(now)).scalar_one()
        said = {'owner': self._owner, 'holder': process.described(), 'since': f'{since:%F %T}'}
        return json.dumps(said)

    def _is_silent(self, held: Holder) -> bool:
        """Whether nothing was heard of the holder for too long, or it is known to be gone."""
        now = time.monotonic()
        if held != self._seen:
            self._seen, self._seen_at = held, now
        return process.is_gone(_process_of(held)) or now - self._seen_at >= SILENCE_SECONDS

    def _has_settled(self, held: Holder) -> bool:
        """Whether nothing of the holder is under way in the database."""
        with self._impatient() as connection:
            # For the end of a transaction in which it looked at its row.
            connection.execute(self._looking())
            connection.rollback()
            if connection.dialect.name != 'postgresql':
                for name in sa.inspect(connection).get_table_names():
                    # It changes nothing, and like each ALTER waits for any other of the table;
                    # in a Galera cluster, of all its nodes.
                    quoted = connection.dialect.identifier_preparer.quote(name)
                    connection.exec_driver_sql(f'ALTER TABLE {quoted} ENABLE KEYS')
        if not process.is_gone(_process_of(held)):
            # What held that up may have held up the count as well.
            time.sleep(2 * BEAT_SECONDS)
        return True

    @contextlib.contextmanager
    def _impatient(self) -> Iterator[sa.Connection]:
        """A connection whose statements wait for locks but a moment, and which is closed then."""
        with self._engine.connect() as connection:
            connection.detach()
            if connection.dialect.name == 'postgresql':
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_PATIENCE_SECONDS}s'")
            else:
                for name in ('lock_wait_timeout', 'innodb_lock_wait_timeout'):
                    connection.exec_driver_sql(f'SET SESSION {name} = {_PATIENCE_SECONDS}')
            yield connection

    def _looking(self) -> sa.Select[Any]:
        query = sa.select(self._table.c.repository_path)
        return query.where(self._table.c.repository_id == self._lock).with_for_update()

    def _check(self, connection: sa.Connection, cursor: Any, *others: Any) -> None:
        """Before each statement of the holder."""
        look = (
            f"SELECT repository_path FROM {self._table.name} WHERE repository_id = '{self._lock}'"
        )
        cursor.execute(f'{look} FOR UPDATE')
        row = cursor.fetchone()
        if row is None or row[0] != self._row:
            raise exception.MigrationError(
                reason='this db sync was silent for so long that another one took over from it. '
                'Nothing more was changed. See what the other one does, and try again.'
            )

    def _beat_until(self, stop: threading.Event) -> None:
        beat = self._mine(sa.update(self._table), self._count, self._owner)
        beat = beat.values(version=self._table.c.version + 1)
        while not stop.wait(BEAT_SECONDS):
            try:
                with self._engine.begin() as connection:
                    if not connection.execute(beat).rowcount:
                        # The next statement is refused.
                        return
            except errors.DRIVER as error:
                LOG.debug('The lock of db sync could not be renewed: %s', error)

    def _release(self) -> None:
        try:
            with self._engine.begin() as connection:
                for name, path in ((self._lock, self._row), (self._count, self._owner)):
                    connection.execute(self._mine(sa.delete(self._table), name, path))
        except errors.DRIVER as error:
            LOG.warning('The lock of db sync could not be given back: %s', error)

    def _mine(self, statement: Any, name: str, path: str) -> Any:
        return statement.where(
            self._table.c.repository_id == name, self._table.c.repository_path == path
        )


def names(name: str) -> tuple[str, str]:
    """What the rows of a lock are called."""
    return f'{name} lock', f'{name} lock count'


def _process_of(held: Holder) -> str:
    return held.owner.rpartition('/')[0]


def _read(row: str) -> dict[str, Any]:
    try:
        said = json.loads(row)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
