# SPDX-License-Identifier: Apache-2.0
"""nova-cellmap-status upgrade check."""

import re
import time

from nova_cellmap.cli import status
from nova_cellmap.db import engine as db_engine
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.cells import servers
from nova_cellmap.tests.functional.cli import base


class _Case(base.TestCase):
    def check(self, expected_status: int) -> dict[str, tuple[str, str]]:
        """The result and the details of each check."""
        outcome = self.call('upgrade', 'check', '-f', 'json', main=status.main)
        rows = self.assert_ends(expected_status, outcome).json
        return {row['check']: (row['result'], row['details']) for row in rows}

    def map_cell0(self) -> None:
        url = cells_base.url_of(self.new_nova())
        self.assert_succeeds('cell_v2', 'map_cell0', '--database_connection', url)


@functional_base.on_both_schemas
class UpgradeCheck(_Case):
    def test_0_where_all_is_in_place(self) -> None:
        self.map_cell0()
        self.assertEqual({'success'}, {result for result, _ in self.check(0).values()})

    def test_2_where_there_is_no_cell_but_cell0_as_with_nova(self) -> None:
        self.map_cell0()
        self.cell.destroy()
        result, details = self.check(2)['cells are mapped']
        self.assertEqual('failure', result)
        self.assertIn('create_cell', details)

    def test_2_where_two_cells_have_one_database(self) -> None:
        self.map_cell0()
        # In other words, but the same.
        separator = '&' if '?' in self.cell.database_connection else '?'
        more = {'sqlite': 'timeout=9', 'mariadb': 'read_timeout=9', 'postgresql': 'sslmode=prefer'}
        self.make_cell(
            name='twin',
            database_connection=f'{self.cell.database_connection}{separator}{more[self.kind]}',
        )
        result, details = self.check(2)['cells are mapped']
        self.assertEqual('failure', result)
        self.assertIn('(cell1)', details)
        self.assertIn('(twin) have one database', details)

    def test_2_where_cell0_is_not_mapped(self) -> None:
        result, details = self.check(2)['cell0 is mapped']
        self.assertEqual('failure', result)
        self.assertIn('map_cell0', details)

    def test_2_where_a_cell_cannot_be_read_and_1_where_it_is_disabled(self) -> None:
        self.map_cell0()
        path = self.folder / 'missing.sqlite'
        cell = self.make_cell(name='lost', database_connection=f'sqlite:///{path}')
        result, details = self.check(2)['cell lost is reachable']
        self.assertEqual('failure', result)
        self.assertIn(str(path), details)
        self.assertFalse(path.exists())
        cell.disabled = True
        cell.save()
        self.assertEqual('warning', self.check(1)['cell lost is reachable'][0])

    def test_2_where_a_cells_database_says_nothing(self) -> None:
        self.map_cell0()
        self.configure(cells=_SHORT)
        url = servers.mariadb_at(servers.silent_port(self))
        self.make_cell(name='silent', database_connection=url)
        begun = time.monotonic()
        result, details = self.check(2)['cell silent is reachable']
        self.assertLess(time.monotonic() - begun, 20)
        self.assertEqual('failure', result)
        self.assertRegex(details, 'timed out|no answer within')

    def test_2_where_a_cells_database_is_something_else(self) -> None:
        url = cells_base.url_of(self.new_database())
        self.make_cell(name='odd', database_connection=url)
        self.assertIn('instances', self.check(2)['cell odd is reachable'][1])

    def test_a_cell0_without_a_database_is_a_failure(self) -> None:
        urls = dict.fromkeys(('transport_url', 'database_connection'), 'none:///')
        row = {'uuid': CellMapping.CELL0_UUID, 'name': 'cell0', **urls}
        self.execute(self.cell_table.insert().values(row))
        self.assertEqual('failure', self.check(2)['cell cell0 is reachable'][0])


@functional_base.on_each_database
class OwnSchema(_Case):
    def test_2_where_the_schema_is_missing_or_old(self) -> None:
        database = self.useFixture(fixtures.Database(self.kind))
        self.configure(api_database={'connection': database.url})
        for _ in range(2):
            [(result, details)] = self.check(2).values()
            self.assertEqual('failure', result)
            self.assertIn('db sync', details)
            self.assert_succeeds('db', 'sync', '2')

    def test_2_where_the_version_says_more_than_there_is(self) -> None:
        database = self.useFixture(fixtures.Database(self.kind))
        self.configure(api_database={'connection': database.url})
        self.assert_succeeds('db', 'sync')
        self.assertEqual(('success', ''), self.check(2)['schema is current'])
        for change, name in _CHANGES[self.kind].items():
            with db_engine.of().writer.begin() as connection:
                connection.exec_driver_sql(change)
            [(result, details)] = self.check(2).values()
            self.assertEqual('failure', result)
            self.assertIn(name, details)

    def test_2_where_a_column_is_not_what_it_was(self) -> None:
        for change, said in _COLUMNS[self.kind].items():
            database = self.useFixture(fixtures.Database(self.kind))
            self.configure(api_database={'connection': database.url})
            self.assert_succeeds('db', 'sync')
            self.assertEqual(('success', ''), self.check(2)['schema is current'])
            with db_engine.of().writer.begin() as connection:
                for statement in change.split(';'):
                    connection.exec_driver_sql(statement)
            [(result, details)] = self.check(2).values()
            self.assertEqual('failure', result, change)
            self.assertIn(said, details)
            repairable = ('gives no numbers', 'The numbers of', '(ci)')
            if self.kind != 'sqlite' and any(each in said for each in repairable):
                self.repair(details)
                self.assertEqual(('success', ''), self.check(2)['schema is current'])

    def repair(self, details: str) -> None:
        with db_engine.of().writer.begin() as connection:
            for statement in re.findall('`([^`]*)`', details):
                connection.exec_driver_sql(statement)

    def test_1_where_an_older_release_may_have_lost_text(self) -> None:
        self.map_cell0()
        self.make_mapping(project_id='??', cell_mapping=self.cell)
        if self.kind != 'mariadb':
            self.check(0)
            return
        result, details = self.check(1)['text is kept']
        self.assertEqual('warning', result)
        self.assertIn('1 mappings', details)
        self.assertIn('--repair', details)


# What a server that says nothing is waited for, in seconds.
_SHORT = {'connect_timeout': 1, 'read_timeout': 1}
# What is done to a database behind its version's back, and what is then said to be missing.
_CHANGES = {
    'sqlite': {
        'DROP INDEX instance_mapping_project_id_id_idx': 'instance_mapping_project_id_id_idx',
        'DROP TABLE instance_mapping': 'The table instance_mapping is missing',
    },
    'mariadb': {
        'DROP INDEX instance_mapping_project_id_id_idx ON instance_mapping': (
            'instance_mapping_project_id_id_idx'
        ),
        'ALTER TABLE instance_mapping DROP FOREIGN KEY instance_mapping_cell_uuid_fkey': (
            'instance_mapping_cell_uuid_fkey'
        ),
        'ALTER TABLE instance_mapping MODIFY project_id VARCHAR(255) NOT NULL'
        ' COLLATE utf8mb4_general_ci': 'project_id (utf8mb4_general_ci)',
        'ALTER TABLE instance_mapping MODIFY project_id VARCHAR(64) NOT NULL': '64 characters',
        'ALTER TABLE import_progress ENGINE=MyISAM': 'MyISAM',
        'ALTER TABLE instance_mapping DROP COLUMN user_id': 'instance_mapping.user_id',
        'DROP TABLE instance_mapping': 'The table instance_mapping is missing',
    },
    'postgresql': {
        'DROP INDEX uniq_cell_mapping0name': 'uniq_cell_mapping0name',
        'ALTER TABLE map_progress DROP CONSTRAINT map_progress_cell_uuid_fkey': (
            'map_progress_cell_uuid_fkey'
        ),
        'ALTER TABLE instance_mapping ALTER project_id TYPE VARCHAR(64)': '64 characters',
        'ALTER TABLE instance_mapping ALTER project_id DROP NOT NULL': 'project_id',
        'ALTER TABLE instance_mapping DROP COLUMN user_id': 'instance_mapping.user_id',
        'DROP TABLE instance_mapping': 'The table instance_mapping is missing',
    },
}
# What is done to a column, and what is then said of it.
_COLUMNS = {
    # Which changes a column by making the table again.
    'sqlite': {
        'DROP TABLE instance_mapping;'
        'CREATE TABLE instance_mapping (id INT NOT NULL PRIMARY KEY)': (
            'instance_mapping.id gives no numbers'
        ),
        'DROP TABLE instance_mapping;'
        'CREATE TABLE instance_mapping (id INTEGER PRIMARY KEY, project_id INT NOT NULL)': (
            'project_id is INTEGER, and should be VARCHAR(255)'
        ),
        'DROP TABLE instance_mapping;'
        'CREATE TABLE instance_mapping (id INTEGER PRIMARY KEY, user_id BLOB)': 'user_id is BLOB',
    },
    'mariadb': {
        'ALTER TABLE instance_mapping MODIFY id BIGINT NOT NULL': (
            'instance_mapping.id gives no numbers'
        ),
        'ALTER TABLE cell_mapping MODIFY id INT NOT NULL': 'cell_mapping.id gives no numbers',
        'ALTER TABLE instance_mapping MODIFY id INT NOT NULL AUTO_INCREMENT': (
            'instance_mapping.id is INTEGER, and should be BIGINT'
        ),
        'ALTER TABLE instance_mapping MODIFY project_id CHAR(255) NOT NULL': (
            'and should be VARCHAR(255)'
        ),
        'ALTER TABLE instance_mapping MODIFY user_id BIGINT': 'user_id is BIGINT',
        'ALTER TABLE instance_mapping MODIFY user_id VARBINARY(255)': 'user_id is VARBINARY(255)',
        'DROP INDEX uniq_cell_mapping0name ON cell_mapping;'
        'ALTER TABLE cell_mapping MODIFY name TEXT': 'cell_mapping.name is TEXT',
        'ALTER TABLE instance_mapping MODIFY user_id INET6': 'user_id is of another type',
        'ALTER TABLE cell_mapping MODIFY transport_url TINYTEXT NOT NULL': 'is TINYTEXT',
        'ALTER TABLE cell_mapping MODIFY transport_url VARCHAR(255) NOT NULL': (
            'cell_mapping.transport_url is VARCHAR(255)'
        ),
        'ALTER TABLE instance_mapping MODIFY created_at TIMESTAMP NULL': 'created_at is TIMESTAMP',
        'ALTER TABLE cell_mapping ALTER disabled DROP DEFAULT': (
            'cell_mapping.disabled is none, and should be 0'
        ),
        'ALTER TABLE cell_mapping ALTER disabled SET DEFAULT 1': 'disabled is 1',
        'ALTER TABLE cell_mapping ADD x INT NOT NULL': 'cell_mapping.x',
    },
    'postgresql': {
        'ALTER TABLE instance_mapping ALTER COLUMN id DROP DEFAULT': (
            'instance_mapping.id gives no numbers'
        ),
        'ALTER TABLE instance_mapping ALTER id SET DEFAULT 7': 'gives no numbers',
        'ALTER SEQUENCE instance_mapping_id_seq AS SMALLINT': (
            'The numbers of instance_mapping.id end at 32767'
        ),
        "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
        'ALTER TABLE instance_mapping ALTER user_id TYPE VARCHAR(255) COLLATE ci': 'user_id (ci)',
        'ALTER TABLE cell_mapping DROP name;'
        'ALTER TABLE cell_mapping ADD name VARCHAR(255) GENERATED ALWAYS AS (uuid) STORED': (
            'cell_mapping.name is generated'
        ),
        'ALTER TABLE cell_mapping ALTER id DROP DEFAULT; DROP SEQUENCE cell_mapping_id_seq': (
            'cell_mapping.id gives no numbers'
        ),
        'ALTER TABLE instance_mapping ALTER project_id TYPE CHAR(255)': (
            'project_id is CHAR(255), and should be VARCHAR(255)'
        ),
        'ALTER TABLE instance_mapping ALTER user_id TYPE INT USING 1': 'user_id is INTEGER',
        'ALTER TABLE instance_mapping ALTER id TYPE INT': 'and should be BIGINT',
        'ALTER TABLE instance_mapping ALTER user_id TYPE BYTEA USING NULL': 'user_id is BYTEA',
        'ALTER TABLE instance_mapping ALTER created_at TYPE TIMESTAMPTZ': (
            'created_at is TIMESTAMP'
        ),
        'ALTER TABLE cell_mapping ALTER transport_url TYPE VARCHAR(99)': (
            'transport_url is VARCHAR(99)'
        ),
        'ALTER TABLE instance_mapping ALTER queued_for_delete SET DEFAULT true': (
            'queued_for_delete is true, and should be 0 or false'
        ),
        'ALTER TABLE cell_mapping ADD x INT NOT NULL': 'cell_mapping.x',
    },
}


class Unreachable(base.CommandTestCase):
    def test_2_where_the_mapping_database_is_down(self) -> None:
        url = 'mysql+pymysql://nova:sekret@127.0.0.1:1/x'
        self.configure(api_database={'connection': url})
        outcome = self.call('upgrade', 'check', '-f', 'json', main=status.main)
        [row] = self.assert_ends(2, outcome).json
        self.assertEqual('failure', row['result'])
        self.assertIn('127.0.0.1', row['details'])

    def test_2_where_the_mapping_database_says_nothing(self) -> None:
        port = servers.silent_port(self)
        for driver, said in (('mysql+pymysql', 'timed out'), ('postgresql+psycopg2', 'timeout')):
            url = f'{driver}://nova:sekret@127.0.0.1:{port}/x'
            self.configure(api_database={'connection': url, 'call_timeout': 2, **_SHORT})
            begun = time.monotonic()
            outcome = self.call('upgrade', 'check', '-f', 'json', main=status.main)
            # Also where each check would wait for itself.
            self.assertLess(time.monotonic() - begun, 20)
            [row] = self.assert_ends(2, outcome).json
            self.assertEqual('failure', row['result'])
            self.assertRegex(row['details'], f'{said}|no answer within')
