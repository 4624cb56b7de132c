# SPDX-License-Identifier: Apache-2.0
"""The schema's history, on every database."""

import ast
from collections.abc import Callable
import hashlib
import itertools
import logging
import os
import pathlib
import re
import signal
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any
import uuid

from alembic import autogenerate
from alembic.runtime import migration as alembic_migration
import fixtures as base_fixtures
from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy import exc as sa_exc

from nova_cellmap import exception
from nova_cellmap.db import migrate_repo
from nova_cellmap.db import migration
from nova_cellmap.db import migration_lock
from nova_cellmap.db import version_control
from nova_cellmap.db.schemas import own
from nova_cellmap.tests import base
from nova_cellmap.tests import fixtures

LATEST = migration.latest_version()
SCRIPTS = sorted((pathlib.Path(migrate_repo.__path__[0]) / 'versions').glob('[0-9]*.py'))
REFUSED = (db_exc.DBError, sa_exc.DBAPIError)

CELL_A = '00000000-0000-4000-8000-00000000000a'
CELL_B = '00000000-0000-4000-8000-00000000000b'
CELL_LOST = '00000000-0000-4000-8000-0000000000ff'

if TYPE_CHECKING:
    _Base = base.TestCase
else:
    _Base = object


class _OnDatabase(_Base):
    """A suite: one concrete class for each database runs it."""

    kind: str
    # Of that kind, which server; None: the only one.
    server: str | None = None

    def setUp(self) -> None:
        super().setUp()
        self.database = self.useFixture(fixtures.Database(self.kind, self.server))
        self.engine: sa.Engine = self.database.engine()
        self.log = self.useFixture(base_fixtures.FakeLogger(level=logging.INFO))
        self.children: set[int] = set()
        self.addCleanup(self.end_children)

    def sync(self, version: int | str | None = None) -> None:
        migration.db_sync(version, self.engine)

    def version(self) -> int:
        return migration.db_version(self.engine)

    def table(self, name: str) -> sa.Table:
        return sa.Table(name, sa.MetaData(), autoload_with=self.engine, resolve_fks=False)

    def insert(self, table: str, *rows: dict[str, Any]) -> None:
        into = sa.insert(self.table(table))
        with self.engine.begin() as connection:
            connection.execute(into, rows)

    def insert_cell(self, cell: str, **values: Any) -> None:
        urls = {'transport_url': 'fake:///', 'database_connection': 'sqlite://'}
        self.insert('cell_mapping', {'uuid': cell, **urls, **values})

    def insert_mapping(self, cell: str | None, **values: Any) -> str:
        instance = str(uuid.uuid4())
        row = {'instance_uuid': instance, 'cell_uuid': cell, 'project_id': 'p', **values}
        self.insert('instance_mapping', row)
        return instance

    def delete_cell(self, cell: str) -> None:
        cells = self.table('cell_mapping')
        with self.engine.begin() as connection:
            connection.execute(sa.delete(cells).where(cells.c.uuid == cell))

    def assert_refused(self, insert: Callable[..., Any], *args: Any, **values: Any) -> None:
        self.assertRaises(REFUSED, insert, *args, **values)

    def rows(self, table: str, order_by: str = 'id') -> list[dict[str, Any]]:
        query = sa.select(self.table(table)).order_by(order_by)
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def mapping(self, instance: str) -> dict[str, Any]:
        [row] = [row for row in self.rows('instance_mapping') if row['instance_uuid'] == instance]
        return row

    def cells(self) -> dict[str, dict[str, Any]]:
        return {row['uuid']: row for row in self.rows('cell_mapping')}

    def indexes(self, table: str) -> dict[str, bool]:
        """Whether they are unique, by name."""
        indexes = sa.inspect(self.engine).get_indexes(table)
        return {str(index['name']): bool(index['unique']) for index in indexes}

    def assert_like_models(self) -> None:
        """What alembic would change is nothing, and no index is there beside the models'."""
        with self.engine.connect() as connection:
            context = alembic_migration.MigrationContext.configure(
                connection,
                opts={
                    'compare_type': True,
                    'compare_server_default': _differs,
                    'include_name': lambda name, kind, parents: name != 'migrate_version',
                },
            )
            self.assertEqual([], autogenerate.compare_metadata(context, own.metadata))
        for table in own.metadata.sorted_tables:
            wanted = {str(index.name): index.unique for index in table.indexes}
            self.assertEqual(wanted, self.indexes(table.name), table.name)

    def fork(self, function: Callable[[], Any]) -> int:
        """Run the function in a child process; give its id."""
        # The child must not close connections that the parent goes on to use.
        self.engine.dispose()
        pid = os.fork()
        if pid:
            self.children.add(pid)
            return pid
        status = 1
        try:
            function()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def wait_for(self, pid: int) -> int:
        """The child's exit status, or minus the signal that ended it."""
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.children.remove(pid)
        return status

    def end_children(self) -> None:
        for pid in set(self.children):
            os.kill(pid, signal.SIGKILL)
            self.wait_for(pid)


def _differs(*args: Any) -> bool | None:
    """Alembic's question whether a server default differs; None lets it find out itself."""
    _, _, _, existing, _, wanted = args
    # What MariaDB makes of false.
    return False if (existing, wanted) == ('0', 'false') else None


class _Walk(_OnDatabase):
    """One version at a time, with data put in before a script and looked at after it."""

    def test_walk(self) -> None:
        for version in range(1, LATEST + 1):
            getattr(self, f'_pre_{version:03}', lambda: None)()
            self.sync(version)
            self.assertEqual(version, self.version())
            getattr(self, f'_check_{version:03}')()
        self.assert_like_models()

    def test_every_script_has_a_check(self) -> None:
        checks = {name[-3:] for name in dir(self) if name.startswith('_check_')}
        self.assertEqual({script.name[:3] for script in SCRIPTS}, checks)

    def _check_001(self) -> None:
        self.insert_cell(CELL_A, name='a')
        self.assert_refused(self.insert_cell, CELL_A)
        self.assertEqual({'uniq_cell_mapping0uuid': True}, self.indexes('cell_mapping'))

    def _check_002(self) -> None:
        instance = self.insert_mapping(CELL_A)
        self.assert_refused(self.insert_mapping, CELL_A, instance_uuid=instance)
        self.assert_refused(self.insert_mapping, None)
        self.assert_refused(self.insert_mapping, CELL_A, project_id=None)
        self.assertEqual(
            {'uniq_instance_mapping0instance_uuid': True}, self.indexes('instance_mapping')
        )
        self.assertEqual(
            ['created_at', 'updated_at', 'id', 'instance_uuid', 'cell_uuid', 'project_id'],
            self.table('instance_mapping').columns.keys(),
        )

    def _pre_003(self) -> None:
        self.before = self.rows('instance_mapping')

    def _check_003(self) -> None:
        self.assertEqual(self.before, self.rows('instance_mapping'))
        instance = self.insert_mapping(None)
        self.assertIsNone(self.mapping(instance)['cell_uuid'])
        self.assert_refused(self.insert_mapping, None, instance_uuid=instance)
        self.assert_refused(self.insert_mapping, None, project_id=None)

    def _pre_004(self) -> None:
        self.instance = self.insert_mapping(CELL_A)

    def _check_004(self) -> None:
        self.assertEqual(False, self.mapping(self.instance)['queued_for_delete'])
        unknown = self.insert_mapping(CELL_A, queued_for_delete=None)
        self.assertIsNone(self.mapping(unknown)['queued_for_delete'])
        self.assertEqual(False, self.mapping(self.insert_mapping(CELL_A))['queued_for_delete'])

    def _check_005(self) -> None:
        self.assertIsNone(self.mapping(self.instance)['user_id'])
        instance = self.insert_mapping(CELL_A, user_id='u' * 255)
        self.assertEqual('u' * 255, self.mapping(instance)['user_id'])

    def _check_006(self) -> None:
        self.assertEqual(False, self.cells()[CELL_A]['disabled'])
        self.assert_refused(self.insert_cell, CELL_B, disabled=None)
        self.insert_cell(CELL_B, name='b', disabled=True)
        self.assertEqual(True, self.cells()[CELL_B]['disabled'])

    def _pre_007(self) -> None:
        long = '\N{COLLISION SYMBOL}' * 255
        first, second = str(uuid.uuid4()), str(uuid.uuid4())
        names = ['same', 'same', 'same', 'Same', 'same ', long, long, None, None]
        for name in names:
            self.insert_cell(str(uuid.uuid4()), name=name)
        self.insert_cell(first, name=f'same ({second})')
        self.insert_cell(second, name='same')
        self.second = second
        self.before = self.rows('cell_mapping')

    def _check_007(self) -> None:
        after = self.rows('cell_mapping')
        names = [row['name'] for row in after if row['name'] is not None]
        self.assertEqual(len(names), len(set(names)))
        renamed = 0
        seen = set()
        for old, new in zip(self.before, after, strict=True):
            self.assertEqual({**old, 'name': None}, {**new, 'name': None})
            if old['name'] not in seen:
                self.assertEqual(old['name'], new['name'])
            elif old['name'] is not None:
                renamed += 1
                self.assertIn(old['uuid'], new['name'])
                self.assertEqual(old['name'][:200], new['name'][:200][: len(old['name'])])
            seen.add(old['name'])
        self.assertEqual(4, renamed)
        self.assertEqual(f'same ({self.second} 2)', self.cells()[self.second]['name'])
        self.assertEqual(renamed, self.log.output.count('is named'))
        self.assert_refused(self.insert_cell, str(uuid.uuid4()), name='same')
        self.insert_cell(str(uuid.uuid4()), name='SAME')

    def _pre_008(self) -> None:
        for _ in range(3):
            self.insert_mapping(CELL_LOST)
        self.before = self.rows('instance_mapping')

    def _check_008(self) -> None:
        self.assertEqual(self.before, self.rows('instance_mapping'))
        placeholder = self.cells()[CELL_LOST]
        self.assertEqual(
            (None, 'none:///', 'none:///', True),
            tuple(
                placeholder[column]
                for column in ('name', 'transport_url', 'database_connection', 'disabled')
            ),
        )
        self.assertIsNotNone(placeholder['created_at'])
        self.assertIn(f'{CELL_LOST} (3 of them)', self.log.output)
        self.assert_refused(self.insert_mapping, str(uuid.uuid4()))
        self.assertIsNone(self.mapping(self.insert_mapping(None))['cell_uuid'])
        self.assert_refused(self.delete_cell, CELL_LOST)

    def _check_009(self) -> None:
        names = set(self.indexes('instance_mapping'))
        for columns in ('project_id', 'project_id_queued_for_delete'):
            self.assertIn(f'instance_mapping_{columns}_idx', names)
        self.assertIn('instance_mapping_user_id_project_id_queued_for_delete_idx', names)

    def _pre_010(self) -> None:
        self.before = self.rows('instance_mapping')

    def _check_010(self) -> None:
        self.assertEqual(self.before, self.rows('instance_mapping'))
        last = self.before[-1]['id']
        self.assertEqual(last + 1, self.mapping(self.insert_mapping(CELL_A))['id'])
        for big in (2**31, 2**62):
            self.count_from(big)
            self.assertEqual(big + 1, self.mapping(self.insert_mapping(CELL_A))['id'])

    def count_from(self, number: int) -> None:
        """Let the id after this one be the next that the database gives."""
        self.insert_mapping(CELL_A, id=number)
        if self.kind == 'postgresql':
            # An id that is given does not move the sequence.
            with self.engine.begin() as connection:
                connection.exec_driver_sql(f"SELECT setval('instance_mapping_id_seq', {number})")

    def _check_011(self) -> None:
        self.insert('map_progress', {'cell_uuid': CELL_B, 'last_instance_id': 2**40})
        self.assert_refused(
            self.insert, 'map_progress', {'cell_uuid': CELL_B, 'last_instance_id': 1}
        )
        self.assert_refused(
            self.insert, 'map_progress', {'cell_uuid': 'no such', 'last_instance_id': 1}
        )
        self.delete_cell(CELL_B)
        self.assertEqual([], self.rows('map_progress', order_by='cell_uuid'))

    def _check_012(self) -> None:
        source = 'f' * 64
        self.insert('import_progress', {'source': source, 'last_mapping_id': 2**40})
        self.assert_refused(
            self.insert, 'import_progress', {'source': source, 'last_mapping_id': 1}
        )
        [row] = self.rows('import_progress', order_by='source')
        self.assertEqual((2**40, 0), (row['last_mapping_id'], row['conflicts']))

    def _check_013(self) -> None:
        names = set(self.indexes('instance_mapping'))
        self.assertIn('instance_mapping_project_id_queued_for_delete_cell_uuid_idx', names)
        self.assertNotIn('instance_mapping_project_id_queued_for_delete_idx', names)

    def _check_014(self) -> None:
        names = [index.name for index in own.instance_mapping.indexes]
        self.assertEqual(set(names), set(self.indexes('instance_mapping')))


class WalkSqlite(_Walk, base.TestCase):
    kind = 'sqlite'


class WalkMariadb(_Walk, base.TestCase):
    kind = 'mariadb'


class WalkPostgresql(_Walk, base.TestCase):
    kind = 'postgresql'


class WalkPgbouncer(_Walk, base.TestCase):
    kind = 'postgresql'
    server = 'pgbouncer'


class _Data(_OnDatabase):
    """What is in the database comes through, and compares exactly."""

    def test_upgrade_of_the_specified_tables(self) -> None:
        self.sync(2)
        self.insert_cell(CELL_A, name='a')
        self.insert_cell(CELL_B, name='b')
        self.insert(
            'instance_mapping',
            *(
                {
                    'id': number * 3,
                    'instance_uuid': str(uuid.uuid4()),
                    'cell_uuid': (CELL_A, CELL_B)[number % 2],
                    'project_id': f'\N{COLLISION SYMBOL}{number % 7}',
                }
                for number in range(1, 5001)
            ),
        )
        before = self.rows('instance_mapping')
        self.sync()
        new = {'queued_for_delete': False, 'user_id': None}
        self.assertEqual([row | new for row in before], self.rows('instance_mapping'))

    def test_names_compare_exactly(self) -> None:
        self.sync()
        values = ['P1', 'p1', 'P1 ', ' P1', 'é', 'e\u0301', 'E', '\N{COLLISION SYMBOL}', '']
        for value in values:
            self.insert_cell(str(uuid.uuid4()), name=value)
            self.insert_mapping(None, project_id=value, user_id=value)
        self.assert_refused(self.insert_cell, str(uuid.uuid4()), name='P1')
        for table, column in (
            ('cell_mapping', 'name'),
            ('instance_mapping', 'project_id'),
            ('instance_mapping', 'user_id'),
        ):
            for value in values:
                self.assertEqual([value], self.where(table, column, value))

    def where(self, table: str, column: str, value: str) -> list[str]:
        selected = self.table(table).columns[column]
        with self.engine.connect() as connection:
            return list(connection.scalars(sa.select(selected).where(selected == value)))


class DataSqlite(_Data, base.TestCase):
    kind = 'sqlite'


class DataMariadb(_Data, base.TestCase):
    kind = 'mariadb'


class DataPostgresql(_Data, base.TestCase):
    kind = 'postgresql'


class _Sync(_OnDatabase):
    """What db_sync takes, refuses and says."""

    def test_latest(self) -> None:
        self.assertEqual(0, self.version())
        self.sync()
        self.assertEqual(LATEST, self.version())
        self.assert_like_models()
        applied = re.findall(r'^(\d+ -> \d+) \d{3}_\w+$', self.log.output, re.MULTILINE)
        self.assertEqual([f'{n} -> {n + 1}' for n in range(LATEST)], applied)

    def test_again(self) -> None:
        self.sync()
        before = self.contents()
        for version in (None, LATEST, str(LATEST)):
            self.sync(version)
        self.assertEqual(before, self.contents())

    def test_default_engine(self) -> None:
        migration.db_sync('3')
        self.assertEqual(3, migration.db_version())

    def test_reading_the_version_changes_nothing(self) -> None:
        self.assertEqual(0, self.version())
        before = self.contents()
        self.assertEqual(0, self.version())
        self.assertEqual(before, self.contents())

    def test_invalid_versions(self) -> None:
        self.sync(3)
        before = self.contents()
        invalid: list[Any] = ['latest', '', ' 4', '1_0', '٤', '4.0', '-1', 'True', '9' * 5000]
        invalid += [-1, LATEST + 1, True, 4.0, b'4', 2, '0', 0]
        for version in invalid:
            error = self.assertRaises(exception.InvalidVersion, self.sync, version)
            self.assertIn(str(version) if version != b'4' else "b'4'", str(error))
        self.assertEqual(before, self.contents())
        self.sync(' 4'.strip())
        self.assertEqual(4, self.version())

    def test_newer_database(self) -> None:
        self.sync()
        with self.engine.begin() as connection:
            connection.exec_driver_sql(f'UPDATE migrate_version SET version = {LATEST + 1}')
        for version in (None, LATEST, 3):
            error = self.assertRaises(exception.MigrationError, self.sync, version)
            self.assertIn(f'at version {LATEST + 1}', str(error))
        self.assertEqual(LATEST + 1, self.version())

    def test_killed_before_the_first_row(self) -> None:
        self.sync(0)
        self.execute('DELETE FROM migrate_version')
        self.assertEqual(0, self.version())
        self.sync()
        self.assertEqual(LATEST, self.version())

    def test_not_ours(self) -> None:
        migrate_version = (
            'CREATE TABLE migrate_version ('
            'repository_id VARCHAR(250) PRIMARY KEY, repository_path TEXT, version INT)'
        )
        for statements in (
            ['CREATE TABLE other (id INT)'],
            ['CREATE VIEW other AS SELECT 1 AS one'],
            ['CREATE TABLE migrate_version (id INT)'],
            [migrate_version, 'CREATE TABLE other (id INT)'],
            [migrate_version, "INSERT INTO migrate_version VALUES ('nova', '/', 5)"],
        ):
            self.database = self.useFixture(fixtures.Database(self.kind, self.server))
            self.engine = self.database.engine()
            for statement in statements:
                self.execute(statement)
            name = 'other' if 'other' in statements[-1] else 'migrate_version'
            before = self.contents()
            for refused in (self.sync, self.version):
                error = self.assertRaises(exception.DatabaseNotOurs, refused)
                self.assertIn(f'({name})', str(error))
                self.assertNotIn("Nova's", str(error))
            self.assertEqual(before, self.contents())

    def test_not_ours_but_novas(self) -> None:
        for table in ('alembic_version', 'cell_mappings', 'instance_mappings', 'x', 'y', 'z'):
            self.execute(f'CREATE TABLE {table} (id INT)')
        before = self.contents()
        error = self.assertRaises(exception.DatabaseNotOurs, self.sync)
        self.assertIn('(alembic_version, cell_mappings, instance_mappings, x, y, ...)', str(error))
        self.assertIn("Nova's own API database", str(error))
        self.assertIn('cell_v2 import_nova', str(error))
        self.assertEqual(before, self.contents())

    def test_script_that_fails(self) -> None:
        def fail(connection: sa.Connection, column: sa.Column[Any]) -> None:
            secret = {'secret': 'hush-hush'}
            connection.execute(sa.text('SELECT :secret FROM nowhere'), secret)

        with base_fixtures.MonkeyPatch('nova_cellmap.db.schema_change.widen_id', fail):
            error = self.assertRaises(exception.MigrationError, self.sync)
        for part in ('010_instance_mapping_id_bigint', 'nowhere', 'db sync` continues'):
            self.assertIn(part, str(error))
        self.assertNotIn('hush-hush', str(error))
        self.assertNotIn('SELECT', str(error))
        self.assertEqual(9, self.version())
        self.sync()
        self.assert_like_models()

    def test_unreachable(self) -> None:
        url = sa.make_url(self.database.url)
        if self.kind == 'sqlite':
            url = url.set(database='/no/such/folder/x.sqlite')
        else:
            url = url.set(port=1, password='hush-hush')
        engine = sa.create_engine(url)
        for call in (migration.db_sync, migration.db_version):
            error = self.assertRaises(exception.DatabaseUnreachable, call, engine=engine)
            self.assertNotIn('hush-hush', str(error))
        self.assertFalse(pathlib.Path('/no').exists())

    def execute(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.exec_driver_sql(statement)

    def versions(self) -> list[dict[str, Any]]:
        return self.rows('migrate_version', order_by='repository_id')

    def contents(self) -> Any:
        """All there is in the database: for SQLite, the file itself."""
        if self.kind == 'sqlite':
            path = pathlib.Path(str(sa.make_url(self.database.url).database))
            return hashlib.sha256(path.read_bytes()).hexdigest(), _beside(path)
        inspector = sa.inspect(self.engine)
        names = inspector.get_table_names() + inspector.get_view_names()
        with self.engine.connect() as connection:
            return {
                name: (
                    repr(inspector.get_columns(name)),
                    inspector.get_indexes(name),
                    inspector.get_foreign_keys(name),
                    connection.execute(sa.select(sa.text('*')).select_from(sa.table(name))).all(),
                )
                for name in names
            }


def _beside(path: pathlib.Path) -> list[str]:
    return sorted(other.name for other in path.parent.iterdir() if other.suffix != '.lock')


class SyncSqlite(_Sync, base.TestCase):
    kind = 'sqlite'

    def test_no_lock_file_beside_a_database_that_is_not_ours(self) -> None:
        self.execute('CREATE TABLE other (id INT)')
        self.assertRaises(exception.DatabaseNotOurs, self.sync)
        path = pathlib.Path(str(sa.make_url(self.database.url).database))
        self.assertEqual([path], list(path.parent.iterdir()))

    def test_in_memory(self) -> None:
        self.database.url = 'sqlite://'
        self.engine = self.database.engine()
        self.sync()
        self.assert_like_models()


class SyncMariadb(_Sync, base.TestCase):
    kind = 'mariadb'


class SyncPostgresql(_Sync, base.TestCase):
    kind = 'postgresql'


class SyncPgbouncer(_Sync, base.TestCase):
    kind = 'postgresql'
    server = 'pgbouncer'


class _AtOnce(_OnDatabase):
    """Several at once: the lock."""

    def test_eight_processes(self) -> None:
        path = pathlib.Path(self.useFixture(base_fixtures.TempDir()).path) / 'log'

        def sync() -> None:
            # Lines appended by one write each: they do not mix.
            logging.getLogger('nova_cellmap').addHandler(logging.FileHandler(path))
            self.sync()

        children = [self.fork(sync) for _ in range(8)]
        self.assertEqual([0] * 8, [self.wait_for(child) for child in children])
        applied = re.findall(r'^\d+ -> \d+ (\w+)$', path.read_text(), re.MULTILINE)
        self.assertEqual([script.stem for script in SCRIPTS], applied)
        self.assert_like_models()

    def test_threads(self) -> None:
        errors = []

        def sync() -> None:
            try:
                self.sync()
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=sync) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([], errors)
        self.assertEqual(LATEST, len(re.findall(r'^\d+ -> \d+ ', self.log.output, re.MULTILINE)))

    def test_waits_no_longer_than_a_while(self) -> None:
        self.useFixture(base_fixtures.MonkeyPatch(_name(migration_lock, 'WAIT_SECONDS'), 1))
        self.useFixture(base_fixtures.MonkeyPatch(_name(migration_lock, 'LOG_SECONDS'), 0.4))
        with migration_lock.held(
            self.engine, version_control.open_repository(migrate_repo), patience=60
        ):
            error = self.assertRaises(exception.MigrationError, self.sync)
        said = f'process {os.getpid()} on'
        self.assertIn('another db sync (' + said, str(error))
        waiting = self.log.output.count(f'Waiting for another db sync to end: {said}')
        # After 0, 0.4 and 0.8 seconds; a busy machine may miss one.
        self.assertGreater(waiting, 1)
        self.assertEqual(0, self.version())
        self.sync()


def _name(module: Any, attribute: str) -> str:
    return f'{module.__name__}.{attribute}'


class _AtOnceOnServer(_AtOnce):
    def test_waits_for_what_a_killed_one_left_running(self) -> None:
        """A server goes on with a statement whose client is dead."""
        self.sync(8)
        self.insert_many_mappings()
        killed = self.fork(self.sync)
        self.wait_until(self.is_creating_an_index)
        os.kill(killed, signal.SIGKILL)
        self.wait_for(killed)
        # It would else make the index that the dead one is still about to make.
        self.sync()
        self.assert_like_models()

    def insert_many_mappings(self) -> None:
        uuid_of = {'mariadb': 'uuid()', 'postgresql': 'gen_random_uuid()'}[self.kind]
        columns = 'instance_mapping (instance_uuid, project_id)'
        project = f"concat(repeat('p', 200), {uuid_of})"
        self.insert_mapping(None)
        with self.engine.begin() as connection:
            for _ in range(17):
                connection.exec_driver_sql(
                    f'INSERT INTO {columns} SELECT {uuid_of}, {project} FROM instance_mapping'
                )

    def is_creating_an_index(self) -> bool:
        query = {
            'mariadb': 'SELECT info FROM information_schema.processlist WHERE db = database()',
            'postgresql': "SELECT query FROM pg_stat_activity WHERE state = 'active'"
            ' AND datname = current_database()',
        }
        with self.engine.connect() as connection:
            statements = connection.exec_driver_sql(query[self.kind]).scalars().all()
        return any(str(statement).startswith('CREATE INDEX') for statement in statements)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.005)


class AtOncePgbouncer(_AtOnceOnServer, base.TestCase):
    """Each transaction may run on another of PostgreSQL's connections."""

    kind = 'postgresql'
    server = 'pgbouncer'


class AtOnceSqlite(_AtOnce, base.TestCase):
    kind = 'sqlite'


class AtOnceMariadb(_AtOnceOnServer, base.TestCase):
    kind = 'mariadb'


class AtOncePostgresql(_AtOnceOnServer, base.TestCase):
    kind = 'postgresql'


class _Killed(_OnDatabase):
    """kill -9 at each statement that changes something: the next db sync finishes."""

    def test_killed_before_a_statement(self) -> None:
        self.kill_at_each('before_cursor_execute')

    def kill_at_each(self, moment: str) -> None:
        number = 0
        while self.kill(moment, number):
            stood = self.mappings()
            if self.version() > 2:
                self.assertEqual(self.data(), stood)
            self.sync()
            self.assertEqual(stood, self.mappings())
            self.assert_like_models()
            self.drop_everything()
            number += 1
        # As many steps and changes of the version, at the least.
        self.assertGreater(number, 2 * LATEST)

    def kill(self, moment: str, number: int) -> bool:
        """Whether the process was killed before it came to the end."""

        def sync() -> None:
            _kill_at(moment, number)
            self.sync(2)
            self.put_data_in()
            self.sync()

        status = self.wait_for(self.fork(sync))
        self.assertIn(status, (0, -signal.SIGKILL))
        return status != 0

    def data(self) -> list[tuple[str, str]]:
        cells = (CELL_A, CELL_B, CELL_LOST)
        return [(f'{number:036}', cells[number % 3]) for number in range(9)]

    def put_data_in(self) -> None:
        urls = {'transport_url': 'fake:///', 'database_connection': 'sqlite://'}
        cells = [{'uuid': cell, 'name': 'same', **urls} for cell in (CELL_A, CELL_B)]
        mappings = [
            {'instance_uuid': instance, 'cell_uuid': cell, 'project_id': 'p'}
            for instance, cell in self.data()
        ]
        into_cells = sa.insert(self.table('cell_mapping'))
        into_mappings = sa.insert(self.table('instance_mapping'))
        # In one transaction: it is all there, or nothing.
        with self.engine.begin() as connection:
            connection.execute(into_cells, cells)
            connection.execute(into_mappings, mappings)

    def mappings(self) -> list[tuple[str, str]]:
        if not sa.inspect(self.engine).has_table('instance_mapping'):
            return []
        rows = self.rows('instance_mapping', order_by='instance_uuid')
        return [(row['instance_uuid'], row['cell_uuid']) for row in rows]

    def drop_everything(self) -> None:
        metadata = sa.MetaData()
        metadata.reflect(self.engine)
        metadata.drop_all(self.engine)


def _kill_at(moment: str, number: int) -> None:
    """Have this process kill itself at one of the statements that change something."""
    reading = ('SELECT', 'SHOW', 'PRAGMA', 'DESCRIBE', 'BEGIN', 'SET')
    left = itertools.count(number, -1)

    def listener(connection: Any, cursor: Any, statement: str, *others: Any) -> None:
        if not statement.lstrip().upper().startswith(reading) and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(sa.Engine, moment, listener)


class KilledSqlite(_Killed, base.TestCase):
    kind = 'sqlite'

    def test_killed_after_a_statement(self) -> None:
        # A server rolls back what a dead client has not committed: after one statement is
        # there the same as before the next. In a file it leaves a journal.
        self.kill_at_each('after_cursor_execute')

    def test_killed_with_an_engine_that_does_not_begin(self) -> None:
        # A plain one: Python's driver commits DDL by itself, up to the first INSERT.
        self.engine = sa.create_engine(self.database.url)
        self.addCleanup(self.engine.dispose)
        self.kill_at_each('after_cursor_execute')


class KilledMariadb(_Killed, base.TestCase):
    kind = 'mariadb'


class KilledPostgresql(_Killed, base.TestCase):
    kind = 'postgresql'


class History(base.TestCase):
    """The repository itself."""

    def test_numbers(self) -> None:
        numbers = [int(script.name[:3]) for script in SCRIPTS]
        self.assertEqual(list(range(1, LATEST + 1)), numbers)

    def test_docstrings_tell_of_the_release_before(self) -> None:
        for script in SCRIPTS:
            docstring = ast.get_docstring(ast.parse(script.read_text())) or ''
            self.assertIn('\nThe code of the release before', docstring, script.name)

    def test_scripts_define_their_own_tables(self) -> None:
        for script in SCRIPTS:
            self.assertNotIn('models', script.read_text(), script.name)
