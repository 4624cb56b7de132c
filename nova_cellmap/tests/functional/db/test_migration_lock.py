# SPDX-License-Identifier: Apache-2.0
"""Who has the lock of db sync, when it is taken over, and what becomes of who had it."""

from collections.abc import Callable
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import fixtures as base_fixtures
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap.db import lease
from nova_cellmap.db import migration
from nova_cellmap.db import migration_lock
from nova_cellmap.db import process
from nova_cellmap.tests import base
from nova_cellmap.tests import fixtures
from nova_cellmap.tests import strict_cluster
from nova_cellmap.tests.functional.db import sync_worker

LATEST = migration.latest_version()
MACHINE = 'another-machine'
_WORKER = sync_worker.__name__

if TYPE_CHECKING:
    _Base = base.TestCase
else:
    _Base = object


class _Case(_Base):
    """A suite: one concrete class for each server runs it."""

    kind: str
    server: str | None = None

    def setUp(self) -> None:
        super().setUp()
        self.patch(lease, 'BEAT_SECONDS', sync_worker.BEAT_SECONDS)
        self.patch(lease, 'SILENCE_SECONDS', sync_worker.SILENCE_SECONDS)
        self.database = self.useFixture(fixtures.Database(self.kind, self.server))
        self.engine: sa.Engine = self.database.engine()
        self.log = self.useFixture(base_fixtures.FakeLogger())

    def patch(self, module: object, name: str, value: object) -> None:
        self.useFixture(base_fixtures.MonkeyPatch(f'{module.__name__}.{name}', value))  # type: ignore[attr-defined]

    def worker(self, *arguments: str, url: str | None = None) -> 'subprocess.Popen[str]':
        """A db sync in another process; where it is to pause, it does."""
        command = [sys.executable, '-W', 'ignore', '-m', _WORKER, url or self.database.url]
        worker = subprocess.Popen(
            [*command, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(worker.communicate)
        self.addCleanup(worker.kill)
        if arguments and arguments[0] != '-':
            assert worker.stdout is not None
            for line in worker.stdout:
                if line == 'pausing\n':
                    break
            else:
                raise AssertionError('it ended before it paused')
        return worker

    def sync(self) -> None:
        migration.db_sync(engine=self.engine)

    def assert_synced(self) -> None:
        self.assertEqual(LATEST, migration.db_version(self.engine))
        with self.engine.connect() as connection:
            rows = connection.exec_driver_sql('SELECT repository_id FROM migrate_version')
            self.assertEqual(['nova_cellmap'], rows.scalars().all())


class _Lock(_Case):
    def test_killed_on_another_machine(self) -> None:
        worker = self.worker('between', '60', '0', MACHINE)
        worker.kill()
        worker.wait()
        self.sync()
        self.assert_synced()
        self.assertIn(f'process {worker.pid} on ', self.log.output)
        self.assertIn('its lock is taken over', self.log.output)

    def test_killed_on_this_machine(self) -> None:
        self.patch(lease, 'SILENCE_SECONDS', 3600)
        worker = self.worker('within', '60')
        worker.kill()
        worker.wait()
        self.sync()
        self.assert_synced()

    def test_one_that_is_slow_keeps_it(self) -> None:
        seconds = 3 * sync_worker.SILENCE_SECONDS
        worker = self.worker('between', str(seconds), '0', MACHINE)
        self.sync()
        self.assertEqual(0, worker.wait(60))
        self.assertNotIn('taken over', self.log.output)
        self.assert_synced()

    def test_clocks_that_are_wrong(self) -> None:
        seconds = str(2 * sync_worker.SILENCE_SECONDS)
        worker = self.worker('between', seconds, '36000', MACHINE)
        other = self.worker('-', '0', '-36000', 'yet-another-machine')
        self.sync()
        self.assertEqual(0, worker.wait(60))
        said, _ = other.communicate(timeout=60)
        self.assertEqual(0, other.returncode, said)
        self.assertNotIn('taken over', self.log.output + said)
        self.assert_synced()

    def test_one_that_was_stopped_does_nothing_more(self) -> None:
        worker = self.worker('between', '0.5', '0', MACHINE)
        worker.send_signal(signal.SIGSTOP)
        self.sync()
        before = self.contents()
        worker.send_signal(signal.SIGCONT)
        said, _ = worker.communicate(timeout=60)
        self.assertEqual(1, worker.returncode)
        self.assertIn('another one took over', said)
        self.assertEqual(before, self.contents())
        self.assert_synced()

    def test_one_that_is_stopped_within_a_transaction_is_waited_for(self) -> None:
        self.patch(migration_lock, 'WAIT_SECONDS', 4 * sync_worker.SILENCE_SECONDS)
        # On MariaDB the statement before has ended the transaction: there it can be taken over.
        worker = self.worker('within', '0.5', '0', MACHINE)
        worker.send_signal(signal.SIGSTOP)
        if self.kind == 'mariadb':
            self.sync()
        else:
            error = self.assertRaises(exception.MigrationError, self.sync)
            self.assertIn(f'process {worker.pid} on ', str(error))
        worker.send_signal(signal.SIGCONT)
        self.assertEqual(1 if self.kind == 'mariadb' else 0, worker.wait(60))
        self.sync()
        self.assert_synced()

    def test_it_is_said_who_has_it_and_since_when(self) -> None:
        self.patch(migration_lock, 'WAIT_SECONDS', 1)
        worker = self.worker('between', '60')
        error = self.assertRaises(exception.MigrationError, self.sync)
        self.assertRegex(
            str(error),
            rf'\(process {worker.pid} on \S+, since \d+-\d\d-\d\d [0-9:]{{8}} UTC\) still holds',
        )

    def test_eight_at_once_one_of_which_is_killed(self) -> None:
        killed = self.worker('between', '60')
        others = [self.worker() for _ in range(7)]
        time.sleep(1)
        killed.kill()
        killed.wait()
        said = ''
        for other in others:
            output, _ = other.communicate(timeout=120)
            self.assertEqual(0, other.returncode, output)
            said += output
        applied = re.findall(r'^\d+ -> (\d+) ', said, re.MULTILINE)
        self.assertEqual([str(number) for number in range(9, LATEST + 1)], applied)
        self.assert_synced()

    def contents(self) -> object:
        inspector = sa.inspect(self.engine)
        with self.engine.connect() as connection:
            versions = connection.exec_driver_sql('SELECT * FROM migrate_version').all()
        indexes = sorted(str(it['name']) for it in inspector.get_indexes('instance_mapping'))
        return inspector.get_table_names(), indexes, versions


class LockMariadb(_Lock, base.TestCase):
    kind = 'mariadb'


class LockPostgresql(_Lock, base.TestCase):
    kind = 'postgresql'


class LockPgbouncer(_Lock, base.TestCase):
    kind = 'postgresql'
    server = 'pgbouncer'


class StrictMariadb(_Case, base.TestCase):
    """Percona XtraDB Cluster in strict mode."""

    kind = 'mariadb'

    def setUp(self) -> None:
        super().setUp()
        self.cluster = self.useFixture(strict_cluster.StrictCluster(self.database.url))
        self.url = self.cluster.url(str(sa.make_url(self.database.url).database))

    def test_it_refuses(self) -> None:
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        for statement in ("SELECT GET_LOCK('x', 0)", 'LOCK TABLES x WRITE'):
            with engine.connect() as connection:
                error = self.assertRaises(sa.exc.DBAPIError, connection.exec_driver_sql, statement)
            self.assertIn('pxc_strict_mode', str(error))

    def test_eight_at_once(self) -> None:
        workers = [self.worker(url=self.url) for _ in range(8)]
        said = ''
        for worker in workers:
            output, _ = worker.communicate(timeout=120)
            self.assertEqual(0, worker.returncode, output)
            said += output
        self.assertEqual(LATEST, len(re.findall(r'^\d+ -> \d+ ', said, re.MULTILINE)))
        self.assertEqual([], self.cluster.refused)
        self.assert_synced()

    def test_taken_over(self) -> None:
        worker = self.worker('between', '60', '0', MACHINE, url=self.url)
        worker.kill()
        worker.wait()
        other = self.worker(url=self.url)
        self.assertEqual(0, other.wait(60))
        self.assertEqual([], self.cluster.refused)
        self.assert_synced()

    def test_every_table_can_be_written_there(self) -> None:
        self.sync()
        query = sa.text(
            'SELECT table_name, engine, (SELECT count(*) FROM information_schema.statistics s'
            ' WHERE s.table_schema = t.table_schema AND s.table_name = t.table_name'
            " AND s.index_name = 'PRIMARY') > 0 FROM information_schema.tables t"
            ' WHERE table_schema = database()'
        )
        with self.engine.connect() as connection:
            for name, engine, has_key in connection.execute(query):
                self.assertEqual(('InnoDB', 1), (engine, has_key), name)


class FilesSqlite(base.TestCase):
    """The lock file beside a SQLite database."""

    def setUp(self) -> None:
        super().setUp()
        self.database = self.useFixture(fixtures.Database('sqlite'))
        self.engine = self.database.engine()
        self.path = pathlib.Path(f'{sa.make_url(self.database.url).database}.lock')
        self.other = self.path.with_name('precious')
        self.other.write_text('precious')

    def test_nobody_else_may_read_it(self) -> None:
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        migration.db_sync(engine=self.engine)
        self.assertEqual(0o600, self.path.stat().st_mode & 0o777)

    def test_it_is_no_link_and_no_pipe(self) -> None:
        lays: tuple[Callable[[], None], ...] = (
            lambda: self.path.symlink_to(self.other),
            lambda: self.path.symlink_to(self.other.with_name('new')),
            lambda: self.path.hardlink_to(self.other),
            lambda: os.mkfifo(self.path),
            lambda: self.path.mkdir(),
        )
        for lay in lays:
            lay()
            error = self.assertRaises(
                exception.MigrationError, migration.db_sync, engine=self.engine
            )
            self.assertIn(str(self.path), str(error))
            self.assertEqual('precious', self.other.read_text())
            self.assertFalse(self.other.with_name('new').exists())
            self.path.rmdir() if self.path.is_dir() else self.path.unlink()
        migration.db_sync(engine=self.engine)


class Processes(base.TestCase):
    """Which process has a lock, and whether it is gone."""

    def test_this_one_is_there(self) -> None:
        self.assertFalse(process.is_gone(process.identity()))

    def test_one_that_has_ended(self) -> None:
        script = 'from nova_cellmap.db import process; print(process.identity())'
        child = subprocess.Popen([sys.executable, '-c', script], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        said = child.stdout.read().strip()
        # As a zombie, and when it is waited for.
        for _ in range(1000):
            if process.is_gone(said):
                break
            time.sleep(0.01)
        self.assertTrue(process.is_gone(said))
        child.communicate()
        self.assertTrue(process.is_gone(said))

    def test_another_process_of_the_same_id(self) -> None:
        kernel, pid, _ = process.identity().split('/')
        self.assertTrue(process.is_gone(f'{kernel}/{pid}/1'))

    def test_one_that_is_hidden_is_there(self) -> None:
        """As /proc is mounted with hidepid, another user's is."""
        self.useFixture(
            base_fixtures.MonkeyPatch(f'{process.__name__}._started', lambda pid: None)
        )
        kernel = process.identity().partition('/')[0]
        self.assertFalse(process.is_gone(f'{kernel}/{os.getpid()}/1'))
        self.assertFalse(process.is_gone(f'{kernel}/1/1'))
        self.assertTrue(process.is_gone(f'{kernel}/{2**22 + 1}/1'))

    def test_where_nobody_can_tell(self) -> None:
        kernel, pid, started = process.identity().split('/')
        for said in (
            '',
            '/',
            '//',
            f'other/{pid}/1',
            f'/{pid}/1',
            f'{kernel}/{pid}/',
            f'{kernel}/x/1',
        ):
            self.assertFalse(process.is_gone(said), said)
