# SPDX-License-Identifier: Apache-2.0
"""A lock that is two rows of a table."""

from collections.abc import Iterator
import contextlib
import os
import time

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap.db import lease
from nova_cellmap.db import migrate_repo
from nova_cellmap.db import process
from nova_cellmap.db import version_control
from nova_cellmap.db.lease import Lease
from nova_cellmap.tests import base
from nova_cellmap.tests import fixtures

# In seconds.
_BEAT = 0.05
_SILENCE = 0.5


class _Locks(base.TestCase):
    kind: str
    server: str | None = None

    def setUp(self) -> None:
        super().setUp()
        self.patch(lease, 'BEAT_SECONDS', _BEAT)
        self.database = self.useFixture(fixtures.Database(self.kind, self.server))
        self.engine: sa.Engine = self.database.engine()
        repository = version_control.open_repository(migrate_repo)
        self.table = version_control.make_version_table(self.engine, repository)
        self.work = fixtures.engine(self.database.url, poolclass=sa.NullPool)
        self.first, self.second = self.lock(), self.lock()

    def lock(self) -> Lease:
        return Lease(self.engine, self.table, 'x')

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """A block in which the first has it."""
        self.assertTrue(self.first.try_acquire())
        with self.first.kept(self.work):
            yield

    def beats(self) -> int:
        held = self.second.holder()
        assert held is not None
        return held.beats

    def test_one_has_it_and_is_named(self) -> None:
        self.assertIsNone(self.first.holder())
        with self.kept():
            self.assertFalse(self.second.try_acquire())
            held = self.second.holder()
            assert held is not None
            self.assertIn(f'process {os.getpid()} on ', str(held))
            self.assertRegex(str(held), r'since \d+-\d\d-\d\d [0-9:]{8} UTC')
            self.assertTrue(held.owner.startswith(process.identity()))

    def test_it_is_given_back(self) -> None:
        with self.kept():
            pass
        self.assertIsNone(self.second.holder())
        self.assertTrue(self.second.try_acquire())

    def test_others_are_no_matter(self) -> None:
        with self.kept():
            self.assertTrue(Lease(self.engine, self.table, 'y').try_acquire())

    def test_who_has_it_shows_so(self) -> None:
        with self.kept():
            before = self.beats()
            end = time.monotonic() + 20
            while self.beats() == before:
                self.assertLess(time.monotonic(), end)
                time.sleep(_BEAT)

    def test_it_is_taken_from_one_that_is_silent(self) -> None:
        self.patch(lease, 'SILENCE_SECONDS', _SILENCE)
        self.assertTrue(self.first.try_acquire())
        self.assertFalse(self.second.try_acquire())
        end = time.monotonic() + 20
        while not self.second.try_acquire():
            self.assertLess(time.monotonic(), end)
            time.sleep(_BEAT)

    def test_who_has_lost_it_sends_nothing_more(self) -> None:
        with self.kept():
            self.create('before_it')
            with self.engine.begin() as connection:
                connection.execute(self.table.delete())
            self.assertRaises(exception.MigrationError, self.create, 'after_it')
        self.assertTrue(sa.inspect(self.engine).has_table('before_it'))
        self.assertFalse(sa.inspect(self.engine).has_table('after_it'))

    def create(self, table: str) -> None:
        with self.work.begin() as connection:
            connection.exec_driver_sql(f'CREATE TABLE {table} (id INT)')

    def test_rows_that_somebody_has_written_to(self) -> None:
        self.assertTrue(self.first.try_acquire())
        for text in ('', '[]', 'nonsense'):
            with self.engine.begin() as connection:
                connection.execute(self.table.update().values(repository_path=text, version=None))
            held = self.second.holder()
            assert held is not None
            self.assertEqual(
                ('somebody, since some time UTC', '', 0), (str(held), held.owner, held.beats)
            )


class LocksMariadb(_Locks):
    kind = 'mariadb'


class LocksPostgresql(_Locks):
    kind = 'postgresql'


class LocksPgbouncer(_Locks):
    kind = 'postgresql'
    server = 'pgbouncer'


del _Locks
