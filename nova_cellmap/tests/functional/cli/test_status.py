# SPDX-License-Identifier: Apache-2.0
"""nova-cellmap-status upgrade check."""

from nova_cellmap.cli import status
from nova_cellmap.db import engine as db_engine
from nova_cellmap.db import models
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.cli import base


@functional_base.on_each_database
class UpgradeCheck(base.TestCase):
    def check(self, expected_status: int) -> dict[str, tuple[str, str]]:
        """The result and the details of each check."""
        outcome = self.call('upgrade', 'check', '-f', 'json', main=status.main)
        rows = self.assert_ends(expected_status, outcome).json
        return {row['check']: (row['result'], row['details']) for row in rows}

    def map_cell0(self) -> None:
        url = cells_base.url_of(self.new_nova())
        self.assert_succeeds('cell_v2', 'map_cell0', '--database_connection', url)

    def test_0_where_all_is_in_place(self) -> None:
        self.map_cell0()
        self.assertEqual({'success'}, {result for result, _ in self.check(0).values()})

    def test_2_where_there_is_no_cell_but_cell0_as_with_nova(self) -> None:
        self.map_cell0()
        self.cell.destroy()
        result, details = self.check(2)['cells are mapped']
        self.assertEqual('failure', result)
        self.assertIn('create_cell', details)

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

    def test_2_where_a_cells_database_is_something_else(self) -> None:
        url = cells_base.url_of(self.new_database())
        self.make_cell(name='odd', database_connection=url)
        self.assertIn('instances', self.check(2)['cell odd is reachable'][1])

    def test_a_cell0_without_a_database_is_a_failure(self) -> None:
        urls = dict.fromkeys(('transport_url', 'database_connection'), 'none:///')
        row = {'uuid': CellMapping.CELL0_UUID, 'name': 'cell0', **urls}
        self.execute(models.cell_mapping.insert().values(row))
        self.assertEqual('failure', self.check(2)['cell cell0 is reachable'][0])

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
            with db_engine.writer_engine().begin() as connection:
                connection.exec_driver_sql(change)
            [(result, details)] = self.check(2).values()
            self.assertEqual('failure', result)
            self.assertIn(name, details)

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


class Unreachable(base.CommandTestCase):
    def test_2_where_the_mapping_database_is_down(self) -> None:
        url = 'mysql+pymysql://nova:sekret@127.0.0.1:1/x'
        self.configure(api_database={'connection': url})
        outcome = self.call('upgrade', 'check', '-f', 'json', main=status.main)
        [row] = self.assert_ends(2, outcome).json
        self.assertEqual('failure', row['result'])
        self.assertIn('127.0.0.1', row['details'])
