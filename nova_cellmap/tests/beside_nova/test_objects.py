# SPDX-License-Identifier: Apache-2.0
"""Nova's objects and ours on one database: what the one writes, the other reads."""

import datetime
from typing import Any

from nova import exception as nova_exception
from oslo_db import exception as oslo_db_exception

from nova_cellmap import exception
from nova_cellmap.objects import InstanceMappingList
from nova_cellmap.tests import nova_api
from nova_cellmap.tests.beside_nova import base
from nova_cellmap.tests.beside_nova.base import Side
from nova_cellmap.tests.beside_nova.base import new_uuid

_NOT_FOUND = (exception.NotFound, nova_exception.NotFound)
_EXISTS = (
    exception.InstanceMappingExists,
    exception.CellMappingExists,
    # DBDuplicateEntry, where the server's messages are English.
    oslo_db_exception.DBError,
)
# Another value for each field that may be changed.
_OF_A_CELL = {
    'name': 'another',
    'transport_url': 'rabbit://u:p@another:5672/',
    'database_connection': 'mysql+pymysql://u:p@another/nova_cell1',
    'disabled': True,
}
_OF_A_MAPPING = {'project_id': 'another', 'user_id': 'another', 'queued_for_delete': True}


@base.on_each_database
class Cells(base.TestCase):
    def test_create(self) -> None:
        for writer, reader in self.both_ways:
            for values in ({}, {'name': None}, {'disabled': True}):
                made = writer.make_cell(**{'name': new_uuid(), **values})
                found = reader.cell(made.uuid)
                self.assert_same(made, found)
                self.assert_same(writer.cell(made.uuid), found)

    def test_save_of_each_field(self) -> None:
        for writer, reader in self.both_ways:
            made = writer.make_cell(name=new_uuid())
            for name, value in _OF_A_CELL.items():
                value = new_uuid() if name == 'name' else value
                setattr(made, name, value)
                made.save()
                found = reader.cell(made.uuid)
                self.assertEqual(value, getattr(found, name))
                self.assertIsInstance(found.updated_at, datetime.datetime)
                self.assert_same(writer.cell(made.uuid), found)

    def test_destroy(self) -> None:
        for writer, reader in self.both_ways:
            made = writer.make_cell()
            reader.cell(made.uuid).destroy()
            for side in (writer, reader):
                self.assertRaises(_NOT_FOUND, side.cell, made.uuid)
            self.assertRaises(_NOT_FOUND, made.destroy)
            made.name = 'x'
            self.assertRaises(_NOT_FOUND, made.save)

    def test_one_that_exists(self) -> None:
        for writer, reader in self.both_ways:
            made = writer.make_cell(name=new_uuid())
            self.assertRaises(_EXISTS, reader.make_cell, uuid=made.uuid, name=new_uuid())

    def test_lists(self) -> None:
        made = [
            side.make_cell(name=f'cell{number}', disabled=number > 1)
            for number, side in enumerate((self.ours, self.novas) * 2)
        ]
        self.novas.make_mapping(cell_mapping=made[1])
        self.ours.make_mapping(cell_mapping=made[2])
        self.novas.make_mapping(cell_mapping=made[3], project_id='another')
        self.ours.make_mapping(cell_mapping=None)

        def check(expected: list[Any], method: str, *arguments: Any) -> None:
            lists = [
                getattr(side.objects.CellMappingList, method)(side.context, *arguments)
                for side in (self.ours, self.novas)
            ]
            self.assert_same(*lists)
            self.assertEqual([cell.uuid for cell in expected], [cell.uuid for cell in lists[0]])

        check(made, 'get_all')
        check(made[:2], 'get_by_disabled', False)
        check(made[2:], 'get_by_disabled', True)
        check(made[1:3], 'get_by_project_id', 'project')
        check([], 'get_by_project_id', 'nobody')

    def test_templates(self) -> None:
        """Both fill them the same."""
        database = 'mysql+pymysql://{username}:{password}@{hostname}:{port}/nova_cell1?{query}'
        queue = 'rabbit://{username1}:{password1}@{hostname1}:{port1}/{path}'
        self.set_bases(
            'mysql+pymysql://nova:secret@db1:3307/nova?charset=utf8',
            'rabbit://a:b@mq1:5672,c:d@mq2:5672/vhost',
        )
        for writer, reader in self.both_ways:
            made = writer.make_cell(
                name=new_uuid(), database_connection=database, transport_url=queue
            )
            found = reader.cell(made.uuid)
            self.assert_same(made, found)
            self.assertEqual(
                'mysql+pymysql://nova:secret@db1:3307/nova_cell1?charset=utf8',
                found.database_connection,
            )
            self.assertEqual('rabbit://a:b@mq1:5672/vhost', found.transport_url)


@base.on_each_database
class Mappings(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cells = [
            side.make_cell(name=side.objects.__name__) for side in (self.ours, self.novas)
        ]

    def of(self, side: Side, number: int) -> Any:
        """One of the cells, as an object of the side."""
        return side.cell(self.cells[number].uuid)

    def test_create(self) -> None:
        for writer, reader in self.both_ways:
            for values in (
                {},
                {'cell_mapping': self.of(writer, 0)},
                {'cell_mapping': self.of(writer, 1), 'queued_for_delete': True},
            ):
                made = writer.make_mapping(**values)
                found = reader.mapping(made.instance_uuid)
                self.assert_same(made, found)
                self.assert_same(writer.mapping(made.instance_uuid), found)

    def test_save_of_each_field(self) -> None:
        for writer, reader in self.both_ways:
            made = writer.make_mapping()
            changes = {**_OF_A_MAPPING, 'cell_mapping': self.of(writer, 1)}
            for name, value in changes.items():
                setattr(made, name, value)
                made.save()
                found = reader.mapping(made.instance_uuid)
                self.assert_same(writer.mapping(made.instance_uuid), found)
                self.assert_same(made, found)
                if name != 'cell_mapping':
                    self.assertEqual(value, getattr(found, name))
            self.assertEqual(self.cells[1].uuid, found.cell_mapping.uuid)
            self.assertIsInstance(found.updated_at, datetime.datetime)

    def test_save_of_what_the_other_made(self) -> None:
        for writer, reader in self.both_ways:
            made = writer.make_mapping(cell_mapping=self.of(writer, 0))
            found = reader.mapping(made.instance_uuid)
            found.cell_mapping = self.of(reader, 1)
            found.save()
            found.queued_for_delete = True
            found.save()
            found.queued_for_delete = False
            found.save()
            seen = writer.mapping(made.instance_uuid)
            self.assertEqual(self.cells[1].uuid, seen.cell_mapping.uuid)
            self.assertIs(False, seen.queued_for_delete)
            self.assert_same(seen, found)

    def test_unmapping(self) -> None:
        """Nova has no way to do it, and sees ours."""
        made = self.novas.make_mapping(cell_mapping=self.of(self.novas, 0))
        found = self.ours.mapping(made.instance_uuid)
        found.cell_mapping = None
        found.save()
        self.assertIsNone(self.novas.mapping(made.instance_uuid).cell_mapping)
        self.assertIsNone(self.ours.mapping(made.instance_uuid).cell_uuid)

    def test_a_cell_that_nova_changed_first(self) -> None:
        made = self.ours.make_mapping(cell_mapping=self.of(self.ours, 0))
        novas = self.novas.mapping(made.instance_uuid)
        novas.cell_mapping = self.of(self.novas, 1)
        novas.save()
        made.cell_mapping = None
        self.assertRaises(exception.InstanceMappingConflict, made.save)
        self.assertEqual(
            self.cells[1].uuid, self.ours.mapping(made.instance_uuid).cell_mapping.uuid
        )

    def test_destroy(self) -> None:
        for writer, reader in self.both_ways:
            made = writer.make_mapping()
            reader.mapping(made.instance_uuid).destroy()
            for side in (writer, reader):
                self.assertRaises(_NOT_FOUND, side.mapping, made.instance_uuid)
            self.assertRaises(_NOT_FOUND, made.destroy)
            made.queued_for_delete = True
            self.assertRaises(_NOT_FOUND, made.save)

    def test_one_that_exists(self) -> None:
        for writer, reader in self.both_ways:
            made = writer.make_mapping()
            self.assertRaises(_EXISTS, reader.make_mapping, instance_uuid=made.instance_uuid)

    def test_a_cell_that_is_unknown_to_us_yet(self) -> None:
        """Nova adds one, and maps to it, after we have read the cells."""
        self.assertEqual(2, len(self.ours.objects.CellMappingList.get_all(self.ours.context)))
        cell = self.novas.make_cell(name='new')
        made = self.novas.make_mapping(cell_mapping=cell)
        self.assert_same(made, self.ours.mapping(made.instance_uuid))
        listed = InstanceMappingList.get_by_instance_uuids(self.ours.context, [made.instance_uuid])
        self.assert_same(made, listed[0])

    def test_values_that_older_releases_left(self) -> None:
        """NULL in user_id and queued_for_delete: unset, and False."""
        uuid = nova_api.add(self.engine, user_id=None, queued_for_delete=None)
        found = self.ours.mapping(uuid)
        self.assertNotIn('user_id', found)
        self.assertNotIn('user_id', self.novas.mapping(uuid))
        self.assertFalse(found.queued_for_delete)
        self.assertFalse(self.novas.mapping(uuid).queued_for_delete)
        found.user_id = 'user'
        found.queued_for_delete = True
        found.save()
        self.assert_same(found, self.novas.mapping(uuid))


@base.on_each_database
class Lists(base.TestCase):
    """Nova's rows and ours, of two cells, two projects and two users, in turn."""

    def setUp(self) -> None:
        super().setUp()
        self.cells = [self.novas.make_cell(name=f'cell{number}') for number in (1, 2)]
        self.uuids = []
        for number in range(24):
            side = (self.ours, self.novas)[number % 2]
            cells = [*(side.cell(cell.uuid) for cell in self.cells), None]
            made = side.make_mapping(
                cell_mapping=cells[number % 3],
                project_id=f'project{number // 2 % 2}',
                user_id=f'user{number // 4 % 2}',
                queued_for_delete=number % 5 == 0,
            )
            self.uuids.append(made.instance_uuid)
        # Of releases from before Nova had these.
        for cell in self.cells:
            uuid = nova_api.add(
                self.engine,
                project_id='project1',
                cell_id=cell.id,
                user_id=None,
                queued_for_delete=None,
            )
            self.uuids.append(uuid)

    def both(self, method: str, *arguments: Any) -> list[Any]:
        return [
            getattr(side.objects.InstanceMappingList, method)(side.context, *arguments)
            for side in (self.ours, self.novas)
        ]

    def check_list(self, count: int, method: str, *arguments: Any) -> None:
        """Both list the same, and as many as that; Nova in no order."""
        ours, novas = (
            sorted(map(base.seen, found), key=lambda row: int(row['id']))
            for found in self.both(method, *arguments)
        )
        self.assertEqual(novas, ours)
        self.assertEqual(count, len(ours))

    def test_get_by_project_id(self) -> None:
        self.check_list(12, 'get_by_project_id', 'project0')
        self.check_list(14, 'get_by_project_id', 'project1')
        self.check_list(0, 'get_by_project_id', 'nobody')

    def test_get_by_cell_id(self) -> None:
        for cell in self.cells:
            self.check_list(9, 'get_by_cell_id', cell.id)
        self.check_list(0, 'get_by_cell_id', 10**6)

    def test_get_by_instance_uuids(self) -> None:
        self.check_list(26, 'get_by_instance_uuids', [*self.uuids, new_uuid()])
        self.check_list(2, 'get_by_instance_uuids', self.uuids[:2])
        self.check_list(0, 'get_by_instance_uuids', [])

    def test_get_not_deleted_by_cell_and_project(self) -> None:
        total = 0
        for cell in self.cells:
            for project in ('project0', 'project1', None):
                ours, novas = self.both('get_not_deleted_by_cell_and_project', cell.uuid, project)
                self.assertEqual({m.instance_uuid for m in novas}, {m.instance_uuid for m in ours})
                self.assertFalse([mapping for mapping in ours if mapping.queued_for_delete])
                total += len(ours)
        self.assertEqual(2 * (18 - 3), total)
        lists = self.both('get_not_deleted_by_cell_and_project', self.cells[0].uuid, None, 2)
        self.assertEqual([2, 2], [len(found) for found in lists])

    def test_get_counts(self) -> None:
        for project in ('project0', 'project1', 'nobody'):
            for user in (None, 'user0', 'user1', 'nobody'):
                ours, novas = self.both('get_counts', project, user)
                # What an older release left as NULL is none that is queued, to us. Nova leaves it
                # out, and does not use the number where there is any.
                unknown = 2 if project == 'project1' else 0
                novas['project']['instances'] += unknown
                self.assertEqual(novas, ours, f'{project} {user}')
        self.assertEqual({'project': {'instances': 9}}, self.both('get_counts', 'project0')[0])

    def test_get_count_by_uuids_and_user(self) -> None:
        for uuids in (self.uuids, self.uuids[:7], []):
            for user in ('user0', 'user1', 'nobody'):
                ours, novas = self.both('get_count_by_uuids_and_user', uuids, user)
                self.assertEqual(novas, ours, f'{len(uuids)} {user}')

    def test_destroy_bulk(self) -> None:
        for writer, reader in self.both_ways:
            some = [self.uuids.pop(), self.uuids.pop()]
            mappings = writer.objects.InstanceMappingList
            self.assertEqual(2, mappings.destroy_bulk(writer.context, [*some, new_uuid()]))
            mappings = reader.objects.InstanceMappingList
            self.assertEqual(0, len(mappings.get_by_instance_uuids(reader.context, some)))
            self.assertEqual(0, mappings.destroy_bulk(reader.context, some))

    def test_pages(self) -> None:
        """Ours go through all rows, whose ever, in the order of their ids."""
        got: list[str] = []
        while page := InstanceMappingList.get_all(
            self.ours.context, limit=5, marker=got[-1] if got else None
        ):
            got += [mapping.instance_uuid for mapping in page]
        self.assertEqual(self.uuids, got)

    def test_rows_that_map_nothing(self) -> None:
        """Where Nova's map_instances was stopped, and what a data migration left."""
        zeros = '00000000-0000-0000-0000-000000000000'
        marker = 'INSTANCE_MIGRATION_MARKER'
        stopped = new_uuid().replace('-', ' ')
        self.novas.make_mapping(instance_uuid=stopped, project_id=marker, user_id=marker)
        nova_api.add(self.engine, instance_uuid=zeros, project_id=zeros, user_id=zeros)
        listed = InstanceMappingList.get_all(self.ours.context)
        self.assertEqual(self.uuids, [mapping.instance_uuid for mapping in listed])
        for project in (marker, zeros):
            self.assertEqual(
                [], list(InstanceMappingList.get_by_project_id(self.ours.context, project))
            )

    def test_create_bulk(self) -> None:
        cell = self.ours.cell(self.cells[0].uuid)
        other = self.ours.cell(self.cells[1].uuid)

        def new(uuid: str, **values: Any) -> Any:
            needed = {'instance_uuid': uuid, 'project_id': 'bulk', 'user_id': 'user'}
            return self.ours.objects.InstanceMapping(self.ours.context, **{**needed, **values})

        existing = self.novas.make_mapping(
            project_id='bulk', cell_mapping=self.novas.cell(cell.uuid)
        ).instance_uuid
        elsewhere = self.novas.make_mapping(
            project_id='bulk', cell_mapping=self.novas.cell(other.uuid)
        ).instance_uuid
        made = [new_uuid() for _ in range(50)]
        mappings = [new(uuid, cell_mapping=cell) for uuid in (*made, existing, elsewhere)]
        mappings += [new(new_uuid(), queued_for_delete=True), new(new_uuid(), cell_mapping=other)]
        result = InstanceMappingList.create_bulk(self.ours.context, mappings)
        self.assertEqual(
            {'created': 52, 'existing': 1, 'conflicts': {elsewhere: other.uuid}}, result
        )
        self.check_list(54, 'get_by_project_id', 'bulk')
        for mapping in mappings:
            if mapping.instance_uuid != elsewhere:
                found = self.novas.mapping(mapping.instance_uuid)
                self.assertEqual(
                    base.seen(mapping)['cell_mapping'] if 'cell_mapping' in mapping else None,
                    base.seen(found)['cell_mapping'],
                )
                self.assertEqual(
                    'queued_for_delete' in mapping and mapping.queued_for_delete,
                    found.queued_for_delete,
                )
