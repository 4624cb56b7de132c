# SPDX-License-Identifier: Apache-2.0
"""db sync, db version, and the databases that no command can work with."""

import os
import socket
import time
from typing import ClassVar

import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import conf
from nova_cellmap.cli import status
from nova_cellmap.db import migration
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cli import base

_COMMANDS = (
    ('db', 'sync'),
    ('db', 'version'),
    ('cell_v2', 'list_cells'),
    ('cell_v2', 'create_cell', '--database_connection=none:///', '--transport-url=none:///'),
    ('cell_v2', 'update_cell', '--cell_uuid=x'),
    ('cell_v2', 'delete_cell', '--cell_uuid=x'),
    ('cell_v2', 'map_cell0', '--database_connection=none:///'),
    ('cell_v2', 'map_instances', '--cell_uuid=x'),
    ('cell_v2', 'verify_instance', '--uuid=x'),
    ('cell_v2', 'show_instance', 'x'),
    ('cell_v2', 'list_instances'),
    ('cell_v2', 'audit'),
    ('cell_v2', 'stats'),
)


class _Case(base.CommandTestCase):
    kind: ClassVar[str] = 'sqlite'

    def setUp(self) -> None:
        super().setUp()
        self.database = self.useFixture(fixtures.Database(self.kind))
        self.url = sa.make_url(self.database.url)
        self.connect_to(self.url)

    def connect_to(self, url: sa.URL | str) -> None:
        if isinstance(url, sa.URL):
            url = url.render_as_string(hide_password=False)
        # Trying again is not what these tests are about.
        self.configure(api_database={'connection': url, 'db_max_retries': 0})

    def execute(self, statement: str) -> None:
        engine = fixtures.engine(self.database.url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)


@functional_base.on_each_database
class Sync(_Case):
    def test_an_empty_database_is_brought_to_the_latest_version(self) -> None:
        latest = migration.latest_version()
        for before in (0, latest):
            self.assertEqual(f'{before}\n', self.assert_succeeds('db', 'version').out)
            self.assertEqual('', self.assert_succeeds('db', 'sync').out)
        self.assert_succeeds('cell_v2', 'list_cells')

    def test_it_stops_at_a_version_and_tells_of_the_latest(self) -> None:
        self.assert_succeeds('db', 'sync', '2')
        outcome = self.assert_succeeds('db', 'version')
        self.assertEqual('2\n', outcome.out)
        self.assertIn('db sync', outcome.err)

    def test_1_where_a_version_cannot_be_reached(self) -> None:
        self.assert_succeeds('db', 'sync', '2')
        for version in ('1', '9999', '9' * 30):
            self.assertIn(version, self.assert_fails(1, 'db', 'sync', version))
        self.assertEqual('2\n', self.assert_succeeds('db', 'version').out)

    def test_1_where_the_database_says_no_version(self) -> None:
        self.assert_succeeds('db', 'sync')
        # SQLite alone keeps text in a column of numbers.
        odd = {'NULL': 'NULL', '-3': '-3'}
        if self.kind == 'sqlite':
            odd |= {"'abc'": "'abc'", '1.5': '1.5', "x'0a'": r"b'\n'", "''": "''"}
        for value, said in odd.items():
            self.execute(f'UPDATE migrate_version SET version = {value}')
            for command in ('version', 'sync'):
                message = self.assert_fails(1, 'db', command)
                self.assertIn(f'The table migrate_version gives {said} as the version', message)
            outcome = self.call('upgrade', 'check', '-f', 'json', main=status.main)
            [row] = self.assert_ends(2, outcome).json
            self.assertEqual('failure', row['result'])
            self.assertIn(f'migrate_version gives {said} ', row['details'])

    def test_64_where_a_version_is_no_number(self) -> None:
        for version in ('x', '', '1.5', '٣', '²', ' 2', '0x2'):
            self.assertIn(version, self.assert_fails(64, 'db', 'sync', version))

    def test_1_where_the_database_is_somebody_elses(self) -> None:
        self.execute('CREATE TABLE theirs (id INTEGER)')
        for command in ('sync', 'version'):
            self.assertIn('theirs', self.assert_fails(1, 'db', command))

    def test_69_and_how_to_mend_it_where_there_is_no_schema(self) -> None:
        for command in _COMMANDS[2:]:
            self.assertIn('db sync', self.assert_fails(69, *command), str(command))

    def test_69_and_how_to_mend_it_where_the_schema_is_too_old(self) -> None:
        self.assert_succeeds('db', 'sync', '2')
        for command in (('cell_v2', 'list_cells'), ('cell_v2', 'list_instances')):
            self.assertIn('db sync', self.assert_fails(69, *command), str(command))


class _Server(_Case):
    """A server that does not let us in. No command takes long to say so."""

    def assert_all_fail(self, text: str, within: float = 15) -> None:
        for command in _COMMANDS:
            start = time.monotonic()
            message = self.assert_fails(69, *command)
            self.assertIn(text, message, str(command))
            self.assertLess(time.monotonic() - start, within)

    def test_a_login_that_is_refused(self) -> None:
        self.connect_to(self.url.set(username='nosuch', password=base.SECRET))
        self.assert_all_fail('nosuch')

    def test_a_database_that_is_not_there(self) -> None:
        self.connect_to(self.url.set(database='nosuch'))
        self.assert_all_fail('nosuch')


class ServerMariadb(_Server):
    kind = 'mariadb'


class ServerPostgresql(_Server):
    kind = 'postgresql'


# Nothing to be run by itself.
del _Server


class Files(base.CommandTestCase):
    """An SQLite file holds the passwords of the cells."""

    def test_nobody_else_may_read_it_whoever_makes_it(self) -> None:
        self.addCleanup(os.umask, os.umask(0))
        link = self.folder / 'link'
        link.symlink_to(self.folder / 'linked')
        for name, url in (
            ('x', f'sqlite:///{self.folder}/x'),
            ('linked', f'sqlite:///{link}'),
            ('uri', f'sqlite:///file:{self.folder}/uri?uri=true'),
        ):
            self.configure(api_database={'connection': url})
            self.assert_succeeds('db', 'sync')
            self.assertEqual(0o600, (self.folder / name).stat().st_mode & 0o777, name)
        modes = {path.name: path.stat().st_mode & 0o077 for path in self.folder.iterdir()}
        del modes['nova-cellmap.conf']
        modes.pop('link')
        self.assertEqual(dict.fromkeys(modes, 0), modes)

    def test_the_mode_of_one_that_is_there_stays(self) -> None:
        path = self.folder / 'x'
        path.touch()
        path.chmod(0o640)
        self.configure(api_database={'connection': f'sqlite:///{path}'})
        self.assert_succeeds('db', 'sync')
        self.assertEqual(0o640, path.stat().st_mode & 0o777)


class Unreachable(base.CommandTestCase):
    """Databases that nothing answers for."""

    def test_a_server_that_is_down(self) -> None:
        with socket.create_server(('127.0.0.1', 0)) as server:
            port = server.getsockname()[1]
        for driver in ('mysql+pymysql', 'postgresql+psycopg2'):
            url = f'{driver}://nova:sekret@127.0.0.1:{port}/x'
            self.configure(api_database={'connection': url})
            start = time.monotonic()
            self.assertIn('efused', self.assert_fails(69, 'cell_v2', 'list_cells'))
            self.assertLess(time.monotonic() - start, 15)
            for command in ('sync', 'version'):
                self.assertIn('efused', self.assert_fails(69, 'db', command))

    def test_a_sqlite_file_in_a_folder_that_is_not_there(self) -> None:
        path = self.folder / 'missing' / 'x.sqlite'
        self.configure(api_database={'connection': f'sqlite:///{path}'})
        self.assert_fails(69, 'cell_v2', 'list_cells')
        self.assert_fails(69, 'db', 'sync')

    def test_a_file_that_is_no_database(self) -> None:
        path = self.folder / 'text'
        path.write_text('no database' * 100)
        self.configure(api_database={'connection': f'sqlite:///{path}'})
        self.assertIn('not a database', self.assert_fails(69, 'cell_v2', 'list_cells'))
        self.assertIn('not a database', self.assert_fails(1, 'db', 'sync'))

    def test_what_is_no_url(self) -> None:
        for url in (
            'nosuch://nova:sekret@db/x',
            'mysql://nova:sekret@db:port/x',
            'none:///',
            'mysql+pymysql://nova:sekret@127.0.0.1:1',
            'postgresql://nova:sekret@127.0.0.1:1/?application_name=x',
            'x',
            '',
        ):
            self.configure(api_database={'connection': url})
            for command in _COMMANDS:
                message = self.assert_fails(64, *command)
                self.assertIn('[api_database] connection', message)

    def test_a_parameter_that_the_driver_does_not_know(self) -> None:
        url = 'mysql+pymysql://nova:sekret@127.0.0.1:1/x?nosuch=1'
        self.configure(api_database={'connection': url})
        for command in (('db', 'version'), ('cell_v2', 'list_cells')):
            outcome = self.call(*command)
            self.assertIn(outcome.status, (64, 69))
            self.assertIn('nosuch', self.assert_ends(outcome.status, outcome).err)

    def test_by_default_it_is_a_file_in_the_state_path(self) -> None:
        self.configure(DEFAULT={'state_path': self.folder})
        self.assert_succeeds('db', 'sync')
        self.assertTrue((self.folder / 'nova_cellmap.sqlite').is_file())
        # Nobody else is to use the folder, which is gone with the test.
        nova_cellmap.configure(conf.new(args=[], config_files=[]))
