# SPDX-License-Identifier: Apache-2.0
"""All that a cell's database has of one instance."""

import datetime
from typing import Any

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.cells import traces
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base

_TIME = datetime.datetime(2026, 1, 1)
_METADATA = sa.MetaData()
_SHADOW = sa.Table(
    'shadow_instances',
    _METADATA,
    *(sa.Column(each.name, each.type) for each in nova_cell.instances.c),
    **nova_cell.MYSQL,
)
_SERVICES = sa.Table(
    'services',
    _METADATA,
    sa.Column('id', sa.Integer, primary_key=True),
    *(sa.Column(name, sa.String(255)) for name in ('host', 'binary', 'disabled_reason')),
    *(sa.Column(name, sa.Boolean) for name in ('disabled', 'forced_down')),
    *(sa.Column(name, sa.DateTime) for name in ('last_seen_up', 'updated_at')),
    sa.Column('deleted', sa.Integer),
    **nova_cell.MYSQL,
)
_MIGRATIONS = sa.Table(
    'migrations',
    _METADATA,
    sa.Column('id', sa.Integer, primary_key=True),
    *(sa.Column(name, sa.String(255)) for name in ('migration_type', 'status')),
    *(sa.Column(name, sa.String(36)) for name in ('uuid', 'instance_uuid')),
    *(sa.Column(name, sa.Boolean) for name in ('cross_cell_move', 'hidden')),
    sa.Column('deleted', sa.Integer),
    **nova_cell.MYSQL,
)


@base.on_each_database
class Traces(cells_base.TestCase):
    def test_hidden_deleted_and_archived_rows(self) -> None:
        other, nova = self.whole_cell('cell2')
        uuid = nova_cell.add(self.nova, hidden=True)
        nova_cell.add(nova, uuid=uuid, deleted=7, deleted_at=_TIME)
        self.insert(nova, _SHADOW, id=3, uuid=uuid, vm_state='deleted', deleted=3)
        [hidden] = traces.find(self.cell, uuid).instances
        [deleted] = traces.find(other, uuid).instances
        [shadow] = traces.find(other, uuid).shadow_instances
        self.assertEqual((True, False), (hidden['hidden'], hidden['deleted']))
        self.assertEqual((False, True), (deleted['hidden'], deleted['deleted']))
        self.assertEqual('2026-01-01 00:00:00', deleted['deleted_at'][:19])
        self.assertEqual((3, 'deleted'), (shadow['id'], shadow['vm_state']))
        self.assertEqual([], traces.find(self.cell, uuid).shadow_instances)

    def test_the_service_of_the_host_and_the_migrations(self) -> None:
        other, nova = self.whole_cell('cell2')
        uuid = nova_cell.add(nova, host='compute1', task_state='resize_migrating')
        service = {'binary': 'nova-compute', 'deleted': 0, 'last_seen_up': _TIME}
        off = {'disabled': True, 'disabled_reason': 'x'}
        self.insert(nova, _SERVICES, host='compute1', **off, **service)
        self.insert(nova, _SERVICES, host='compute2', **service)
        self.insert(nova, _SERVICES, host='compute1', **{**service, 'binary': 'nova-other'})
        for status in ('error', 'migrating'):
            self.insert(
                nova,
                _MIGRATIONS,
                instance_uuid=uuid,
                status=status,
                cross_cell_move=True,
                deleted=0,
            )
        self.insert(nova, _MIGRATIONS, instance_uuid=base.new_uuid(), deleted=0)
        found = traces.find(other, uuid)
        self.assertIsNone(found.error)
        [row] = found.services
        shown = {name: row[name] for name in ('host', 'disabled', 'disabled_reason')}
        self.assertEqual({'host': 'compute1', 'disabled': True, 'disabled_reason': 'x'}, shown)
        self.assertEqual(['migrating', 'error'], [row['status'] for row in found.migrations])
        self.assertIs(True, found.migrations[0]['cross_cell_move'])

    def test_another_spelling(self) -> None:
        uuid = base.new_uuid()
        nova_cell.add(self.nova, uuid=uuid.upper())
        [row] = traces.find(self.cell, uuid).instances
        self.assertEqual(uuid.upper(), row['uuid'])

    def test_a_database_that_is_no_cells(self) -> None:
        odd = self.make_cell(
            name='odd', database_connection=cells_base.url_of(self.new_database())
        )
        found = traces.find(odd, base.new_uuid())
        self.assertIsInstance(found.error, exception.NotACellDatabase)

    def test_a_cell_that_does_not_answer_is_told_of(self) -> None:
        lost = self.make_cell(name='lost', database_connection='sqlite:////nosuch/x.sqlite')
        found = traces.find(lost, base.new_uuid())
        self.assertIsInstance(found.error, exception.CellUnreachable)
        self.assertIs(lost, found.cell)

    def test_what_a_person_reads_is_one_line(self) -> None:
        uuid = nova_cell.add(self.nova, display_name='a\nb\x1b[31m' + 'x' * 200, power_state=4)
        [row] = traces.find(self.cell, uuid).instances
        self.assertTrue(row['display_name'].isprintable())
        self.assertEqual((4, False), (row['power_state'], row['hidden']))
        self.assertIsNone(row['host'])

    def whole_cell(self, name: str) -> tuple[CellMapping, sa.Engine]:
        """A cell with all of the tables that are looked at."""
        database = self.useFixture(fixtures.Database(self.kind))
        engine = fixtures.engine(database.url, poolclass=sa.NullPool)
        nova_cell.instances.create(engine)
        _METADATA.create_all(engine)
        return self.make_cell(name=name, database_connection=database.url), engine

    def insert(self, engine: sa.Engine, table: sa.Table, **values: Any) -> None:
        with engine.begin() as connection:
            connection.execute(table.insert().values(values))
