# SPDX-License-Identifier: Apache-2.0
"""Reads from a replica that lags: a process knows what it has changed itself."""

from typing import Any

import fixtures as fixtures_library

import nova_cellmap
from nova_cellmap.db import api
from nova_cellmap.db import engine
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import CellMappingList
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.objects import InstanceMappingList
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.proxy import Mode
from nova_cellmap.tests.proxy import Proxy


class _Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cell = self.make_cell(name='cell', database_connection='sqlite:////old')
        self.mapping = self.make_mapping(cell_mapping=self.cell)
        self.replica = self.make_replica()
        self.use_replica()

    def use_replica(self, **options: Any) -> None:
        urls = {'connection': self.database.url, 'slave_connection': self.replica.url}
        self.conf = self.database.conf(**{**urls, **options}, synchronous_reader=False)
        nova_cellmap.configure(self.conf)
        self.assertTrue(engine.of().has_replica)


@base.on_both_schemas
class Own(_Case):
    def test_a_changed_cell_is_known_by_who_changed_it(self) -> None:
        uuid = self.mapping.instance_uuid
        for look_up in (
            lambda: InstanceMapping.get_by_instance_uuid(self.context, uuid).cell_mapping,
            lambda: CellMapping.get_by_uuid(self.context, self.cell.uuid),
            lambda: CellMapping.get_by_name(self.context, 'cell'),
            lambda: CellMappingList.get_all(self.context)[0],
            lambda: InstanceMappingList.get_by_project_id(self.context, 'project')[0].cell_mapping,
            lambda: (
                InstanceMappingList.get_by_instance_uuids(self.context, [uuid])[0].cell_mapping
            ),
        ):
            look_up()
            self.cell.database_connection = f'sqlite:////{base.new_uuid()}'
            self.cell.save()
            # And each time after.
            for _ in range(2):
                found: Any = look_up()
                self.assertEqual(self.cell.database_connection, found.database_connection)

    def test_in_a_block_that_reads(self) -> None:
        self.cell.database_connection = 'sqlite:////new'
        self.cell.save()
        with api.reader(self.context):
            found = CellMapping.get_by_uuid(self.context, self.cell.uuid)
            self.assertEqual('sqlite:////new', found.database_connection)
            [mapping] = InstanceMappingList.get_by_project_id(self.context, 'project')
            self.assertEqual('sqlite:////new', mapping.cell_mapping.database_connection)

    def test_resume_points(self) -> None:
        rows = [{'instance_uuid': base.new_uuid(), 'project_id': 'p'}]
        for number in (1, 2):
            api.instance_mapping_map_batch(
                self.context, self.cell.uuid, rows, last_instance_id=number
            )
            found = api.map_progress_get(self.context, self.cell.uuid)
            self.assertEqual({'last_instance_id': number, 'conflicts': 0}, found)
        api.map_progress_clear(self.context, self.cell.uuid)
        self.assertIsNone(api.map_progress_get(self.context, self.cell.uuid))
        api.instance_mapping_import_batch(self.context, rows, source='x', last_mapping_id=1)
        found = api.import_progress_get(self.context, 'x')
        self.assertEqual({'last_mapping_id': 1, 'conflicts': 0}, found)

    def test_other_reads_are_of_the_replica(self) -> None:
        new = self.make_mapping()
        [found] = InstanceMappingList.get_by_project_id(self.context, 'project')
        self.assertEqual(self.mapping.instance_uuid, found.instance_uuid)
        with api.writer(self.context):
            InstanceMapping.get_by_instance_uuid(self.context, new.instance_uuid)


class _StandIns(_Case):
    def look_up(self) -> None:
        uuid = self.mapping.instance_uuid
        found = InstanceMapping.get_by_instance_uuid(self.context, uuid)
        self.assertEqual(self.cell.uuid, found.cell_mapping.uuid)
        with api.reader(self.context):
            InstanceMapping.get_by_instance_uuid(self.context, uuid)
        self.assertEqual(1, len(CellMappingList.get_all(self.context)))

    def test_a_replica_that_is_gone(self) -> None:
        proxy = self.useFixture(Proxy.to(self.replica.url))
        self.use_replica(slave_connection=proxy.url(self.replica.url))
        self.look_up()
        proxy.act(Mode.CUT)
        self.look_up()

    def test_a_replica_that_is_silent_is_waited_for_once(self) -> None:
        proxy = self.useFixture(Proxy.to(self.replica.url))
        url = proxy.url(self.replica.url)
        self.use_replica(slave_connection=url, connect_timeout=1, read_timeout=1, call_timeout=2)
        self.look_up()
        proxy.act(Mode.HOLE)
        log = self.useFixture(fixtures_library.FakeLogger('nova_cellmap.db.engine'))
        self.look_up()
        self.look_up()
        self.assertEqual(1, log.output.count('left alone'))

    def test_a_primary_that_is_gone(self) -> None:
        proxy = self.useFixture(Proxy.to(self.database.url))
        self.use_replica(connection=proxy.url(self.database.url))
        self.look_up()
        proxy.act(Mode.CUT)
        nova_cellmap.configure(self.conf)
        self.look_up()


class StandInsMariadb(_StandIns):
    kind = 'mariadb'


class StandInsPostgresql(_StandIns):
    kind = 'postgresql'


del _StandIns
