# SPDX-License-Identifier: Apache-2.0
"""nova-cellmap-status upgrade check."""

import time

from nova_cellmap import nova_cell
from nova_cellmap.cli import durations
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

    def test_1_where_a_sample_has_drifted(self) -> None:
        self.map_cell0()
        uuid = nova_cell.add(self.nova)
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid, user_id='another')
        self.make_mapping(cell_uuid=self.cell.uuid)
        # What was written a moment ago may be Nova's work.
        self.assertEqual('success', self.check(0)['a sample is correct'][0])
        self.patch(durations, 'MIN_AGE', '0')
        result, details = self.check(1)['a sample is correct']
        self.assertEqual('warning', result)
        self.assertIn('1 orphaned, 1 wrong_owner', details)
        self.assertIn('cell_v2 audit', details)

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
        with db_engine.of().writer.begin() as connection:
            of_table = ' ON instance_mapping' if self.kind == 'mariadb' else ''
            connection.exec_driver_sql(f'DROP INDEX instance_mapping_project_id_id_idx{of_table}')
            connection.exec_driver_sql('DROP TABLE import_progress')
        [(result, details)] = self.check(2).values()
        self.assertEqual('failure', result)
        for what in ('instance_mapping_project_id_id_idx', 'The table import_progress is missing'):
            self.assertIn(what, details)

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
