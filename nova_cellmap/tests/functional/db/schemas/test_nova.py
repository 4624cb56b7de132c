# SPDX-License-Identifier: Apache-2.0
"""What is particular about Nova's own tables: the suites of the function layer run on them too."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import context
from nova_cellmap import exception
from nova_cellmap import objects
from nova_cellmap.db import api
from nova_cellmap.db import engine as db_engine
from nova_cellmap.db.schemas import nova
from nova_cellmap.tests import fixtures
from nova_cellmap.tests import nova_api
from nova_cellmap.tests import nova_schema
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.db import case

NOBODY = nova.NOBODY


class _Case(base.TestCase):
    schema = 'nova'

    @property
    def engine(self) -> sa.Engine:
        return db_engine.of().writer

    def cell(self, **values: Any) -> str:
        return self.make_cell(**values).uuid

    def map(self, **values: Any) -> str:
        return self.make_mapping(**values).instance_uuid

    def get(self, uuid: str) -> api.Row:
        return api.instance_mapping_get_by_instance_uuid(self.context, uuid)

    def raw(self, statement: str, **values: Any) -> Any:
        return self.execute(sa.text(statement).bindparams(**values))

    def uuids(self, rows: Sequence[api.Row]) -> list[str]:
        return [row['instance_uuid'] for row in rows]


@base.on_each_database
class Markers(_Case):
    """Rows that map nothing never show, and stay as they are."""

    def setUp(self) -> None:
        super().setUp()
        self.cell_uuid = self.cell()
        self.uuid = self.map(cell_mapping=None)
        number = api.cell_mapping_get_by_uuid(self.context, self.cell_uuid)['id']
        self.of_map_instances = nova_api.add(
            self.engine,
            instance_uuid=base.new_uuid().replace('-', ' '),
            project_id=nova.MARKER,
            user_id=nova.MARKER,
        )
        self.of_migration = nova_api.add(
            self.engine, instance_uuid=NOBODY, project_id=NOBODY, cell_id=number
        )
        self.of_nobody = nova_api.add(self.engine, project_id=NOBODY, cell_id=number)
        self.markers = [self.of_map_instances, self.of_migration, self.of_nobody]
        self.before = self.raw('SELECT * FROM instance_mappings ORDER BY id')
        self.addCleanup(self.check_left_alone)

    def check_left_alone(self) -> None:
        if self.before is not None:
            found = self.raw('SELECT * FROM instance_mappings ORDER BY id')
            self.assertEqual(self.before[1:], [row for row in found if row in self.before[1:]])

    def test_they_are_not_found(self) -> None:
        for uuid in self.markers:
            self.assertRaises(exception.InstanceMappingNotFound, self.get, uuid)
        found = api.instance_mapping_get_by_instance_uuids(
            self.context, [*self.markers, self.uuid]
        )
        self.assertEqual([self.uuid], self.uuids(found))
        self.assertEqual([], api.instance_mapping_get_as_stored(self.context, [*self.markers]))

    def test_they_are_not_listed(self) -> None:
        self.assertEqual([self.uuid], self.uuids(api.instance_mapping_get_all(self.context)))
        lists: tuple[dict[str, Any], ...] = (
            {'project_id': NOBODY},
            {'project_id': nova.MARKER},
            {'cell_uuid': self.cell_uuid},
        )
        for filters in lists:
            self.assertEqual([], api.instance_mapping_get_all(self.context, **filters))
        cells = api.cell_mapping_get_by_project_id(self.context, NOBODY)
        self.assertEqual([], [row['uuid'] for row in cells])

    def test_none_of_them_is_where_a_page_begins(self) -> None:
        for uuid in self.markers:
            self.assertRaises(
                exception.MarkerNotFound,
                api.instance_mapping_get_all,
                self.context,
                limit=1,
                marker=uuid,
            )

    def test_they_are_not_counted(self) -> None:
        for project_id in (NOBODY, nova.MARKER):
            counts = api.instance_mapping_get_counts(self.context, project_id, nova.MARKER)
            self.assertEqual({'project': {'instances': 0}, 'user': {'instances': 0}}, counts)
        self.assertEqual(
            [(None, 'project', 1, 0)], api.instance_mapping_count_by_cell_and_project(self.context)
        )
        self.assertEqual(
            0,
            api.instance_mapping_get_count_by_uuids_and_user(
                self.context, self.markers, nova.MARKER
            ),
        )

    def test_they_are_not_scanned(self) -> None:
        found = api.instance_mapping_scan(self.context, '', 10)
        self.assertEqual([self.uuid], [uuid for uuid, _ in found])

    def test_they_are_not_changed(self) -> None:
        other = self.cell()
        for uuid in self.markers:
            self.assertRaises(
                exception.InstanceMappingNotFound,
                api.instance_mapping_update,
                self.context,
                uuid,
                {'cell_uuid': other},
            )
            self.assertRaises(
                exception.InstanceMappingNotFound, api.instance_mapping_destroy, self.context, uuid
            )
        self.assertEqual(0, api.instance_mapping_destroy_bulk(self.context, self.markers))
        rows = [{'instance_uuid': uuid, 'project_id': 'p'} for uuid in self.markers]
        result = api.instance_mapping_create_bulk(
            self.context, [{**row, 'cell_uuid': other} for row in rows]
        )
        self.assertEqual(0, result['created'])
        self.assertEqual(set(self.markers), set(result['conflicts']))
        result = api.instance_mapping_map_batch(self.context, other, rows, last_instance_id=1)
        self.assertEqual(0, result['created'])


@base.on_each_database
class Cells(_Case):
    def test_null_is_none_and_not_disabled(self) -> None:
        nova_api.add_cell(
            self.engine,
            uuid='u',
            transport_url=None,
            database_connection=None,
            disabled=None,
            created_at=None,
        )
        row = api.cell_mapping_get_by_uuid(self.context, 'u')
        self.assertEqual('none:///', row['transport_url'])
        self.assertEqual('none:///', row['database_connection'])
        self.assertIs(False, row['disabled'])
        for disabled, count in ((False, 1), (True, 0)):
            found = api.cell_mapping_get_all(self.context, disabled=disabled)
            self.assertEqual(count, len(found))

    def test_a_name_is_unique_although_no_index_says_so(self) -> None:
        self.cell(name='one')
        other = self.cell(name='One')
        self.assertRaises(exception.CellMappingExists, self.cell, name='one')
        self.assertRaises(
            exception.CellMappingExists,
            api.cell_mapping_update,
            self.context,
            other,
            {'name': 'one'},
        )
        # Its own is no other's.
        api.cell_mapping_update(self.context, other, {'name': 'One'})

    def test_a_name_that_several_want_at_once(self) -> None:
        self.cell()

        def create(number: int) -> None:
            values = {'transport_url': 'none:///', 'database_connection': 'none:///'}
            api.cell_mapping_create(
                context.get_admin_context(), {'uuid': base.new_uuid(), 'name': 'one', **values}
            )

        answers = case.at_once(4, create)
        self.assertEqual(1, answers.count(None), str(answers))
        self.assertEqual(2, len(api.cell_mapping_get_all(self.context)))

    def test_two_of_one_name_that_nova_made(self) -> None:
        for uuid in ('a', 'b'):
            nova_api.add_cell(self.engine, uuid=uuid, name='one')
        error = self.assertRaises(
            exception.CellNameNotUnique, api.cell_mapping_get_by_name, self.context, 'one'
        )
        self.assertIn('a, b', str(error))
        # The other columns can still be changed.
        api.cell_mapping_update(self.context, 'a', {'disabled': True})

    def test_with_hosts_it_stays(self) -> None:
        uuid = self.cell()
        number = api.cell_mapping_get_by_uuid(self.context, uuid)['id']
        self.raw("INSERT INTO host_mappings (cell_id, host) VALUES (:number, 'h')", number=number)
        self.assertRaises(exception.CellHasHosts, api.cell_mapping_destroy, self.context, uuid)
        self.raw('DELETE FROM host_mappings')
        api.cell_mapping_destroy(self.context, uuid)

    def test_an_id_that_another_cell_has_now(self) -> None:
        """SQLite gives the id of the last cell again, and a restored MariaDB may."""
        old = self.cell()
        uuid = self.map(cell_mapping=None)
        objects.CellMapping.get_by_uuid(self.context, old)
        number = api.cell_mapping_get_by_uuid(self.context, old)['id']
        self.raw('DELETE FROM cell_mappings')
        new = base.new_uuid()
        nova_api.add_cell(self.engine, id=number, uuid=new)
        self.assertRaises(
            exception.CellMappingNotFound,
            api.instance_mapping_update,
            self.context,
            uuid,
            {'cell_uuid': old},
        )
        api.instance_mapping_update(self.context, uuid, {'cell_uuid': new})
        self.assertEqual(new, self.get(uuid)['cell_uuid'])
        self.assertRaises(
            exception.CellMappingNotFound,
            api.instance_mapping_create_bulk,
            self.context,
            [{'instance_uuid': base.new_uuid(), 'project_id': 'p', 'cell_uuid': old}],
        )
        self.assertEqual([], api.instance_mapping_get_all(self.context, cell_uuid=old))


@base.on_each_database
class Mappings(_Case):
    def test_what_nova_writes_is_read(self) -> None:
        cell = self.cell()
        number = api.cell_mapping_get_by_uuid(self.context, cell)['id']
        uuid = nova_api.add(
            self.engine,
            cell_id=number,
            user_id=None,
            queued_for_delete=None,
            created_at=sa.func.now(),
        )
        row = self.get(uuid)
        self.assertEqual(cell, row['cell_uuid'])
        self.assertEqual(cell, row['cell_mapping']['uuid'])
        mapping = objects.InstanceMapping.get_by_instance_uuid(self.context, uuid)
        self.assertFalse('user_id' in mapping and mapping.user_id)
        self.assertFalse('queued_for_delete' in mapping and mapping.queued_for_delete)
        counts = api.instance_mapping_get_counts(self.context, 'project')
        self.assertEqual({'project': {'instances': 1}}, counts)

    def test_text_is_compared_exactly(self) -> None:
        for project, user in (('P1', 'u'), ('p1', 'U'), ('p1 ', 'u'), ('p1', 'u ')):
            self.map(project_id=project, user_id=user)
        for project, expected in (('P1', 1), ('p1', 2), ('p1 ', 1)):
            found = api.instance_mapping_get_all(self.context, project_id=project)
            self.assertEqual([project] * expected, [row['project_id'] for row in found])
        counts = api.instance_mapping_get_counts(self.context, 'p1', 'U')
        self.assertEqual({'project': {'instances': 2}, 'user': {'instances': 1}}, counts)
        by_project = api.instance_mapping_count_by_cell_and_project(self.context)
        self.assertEqual(
            {('P1', 1), ('p1', 2), ('p1 ', 1)}, {(row[1], row[2]) for row in by_project}
        )

    def test_a_scan_of_other_spellings(self) -> None:
        """Its order is that of Python, whatever the collation: the audit compares so."""
        uuids = [base.new_uuid() for _ in range(5)]
        uuids += [uuids[0].upper()[:-1] + 'X', 'zz', 'Zy', uuids[1][:-1] + ' ']
        for uuid in uuids:
            self.raw(
                "INSERT INTO instance_mappings (instance_uuid, project_id) VALUES (:uuid, 'p')",
                uuid=uuid,
            )
        if self.kind == 'mariadb':
            # What its index takes for the same is read as the same.
            uuids = [uuid.lower() for uuid in uuids]
        found = [uuid for uuid, _ in api.instance_mapping_scan(self.context, '', 100)]
        self.assertEqual(sorted(uuids), found)
        last = found[4]
        found = [uuid for uuid, _ in api.instance_mapping_scan(self.context, last, 100)]
        self.assertEqual(sorted(uuids)[5:], found)


@base.on_each_database
class Untouched(_Case):
    """Nothing but rows of mappings and cells is ever made, changed or removed."""

    def test_schema_and_other_tables(self) -> None:
        self.raw("INSERT INTO build_requests (project_id, instance_uuid) VALUES ('p', 'i')")
        self.raw("INSERT INTO request_specs (instance_uuid, spec) VALUES ('i', '{}')")
        before = nova_schema.besides(self.engine)
        one, two = self.cell(name='one'), self.cell(name='two')
        number = api.cell_mapping_get_by_uuid(self.context, one)['id']
        rows = [{'instance_uuid': base.new_uuid(), 'project_id': 'p'} for _ in range(3)]
        api.instance_mapping_map_batch(self.context, one, rows, last_instance_id=3)
        self.assertEqual(
            {'last_instance_id': 3, 'conflicts': 0}, api.map_progress_get(self.context, one)
        )
        uuid = rows[0]['instance_uuid']
        api.instance_mapping_update(self.context, uuid, {'cell_uuid': two}, expected_cell_uuid=one)
        listed = api.instance_mapping_get_by_cell_id(self.context, number)
        self.assertEqual(2, len(listed))
        api.instance_mapping_update_bulk(self.context, [(self.get(uuid), {'user_id': 'x'})])
        api.instance_mapping_destroy_bulk(self.context, [each['instance_uuid'] for each in rows])
        api.cell_mapping_update(self.context, two, {'name': 'three'})
        api.cell_mapping_destroy(self.context, one)
        self.assertIsNone(api.map_progress_get(self.context, one))
        api.cell_mapping_destroy(self.context, two)
        self.assertEqual(before, nova_schema.besides(self.engine))
        self.assertEqual([], self.raw('SELECT * FROM instance_mappings'))
        self.assertEqual([], self.raw('SELECT * FROM cell_mappings'))


@base.on_each_database
class ByHand(_Case):
    """What nobody but an operator at a prompt can have written."""

    def in_upper_case(self, cell: str) -> str:
        uuid = f'{base.new_uuid()[:-4]}abcd'
        number = api.cell_mapping_get_by_uuid(self.context, cell)['id']
        nova_api.add(self.engine, instance_uuid=uuid.upper(), cell_id=number)
        return uuid

    def test_a_cell_in_upper_case(self) -> None:
        uuid = f'{base.new_uuid()[:-4]}abcd'
        number = nova_api.add_cell(self.engine, uuid=uuid.upper(), name='c')
        mapped = nova_api.add(self.engine, cell_id=number)
        for spelled in (uuid, uuid.upper()):
            cell = objects.CellMapping.get_by_uuid(self.context, spelled)
            self.assertEqual(uuid, cell.uuid)
        self.assertEqual(uuid, self.get(mapped)['cell_uuid'])
        self.assertEqual(uuid, self.get(mapped)['cell_mapping']['uuid'])
        listed = api.instance_mapping_get_all(self.context, cell_uuid=uuid)
        self.assertEqual([mapped], self.uuids(listed))
        [(_, said)] = facts = api.instance_mapping_scan(self.context, '', 10)
        self.assertEqual(uuid, api.cell_of_fact(facts[0]), said)
        new = self.map(cell_uuid=uuid)
        rows = [{'instance_uuid': base.new_uuid(), 'project_id': 'p', 'cell_uuid': uuid}]
        self.assertEqual(1, api.instance_mapping_create_bulk(self.context, rows)['created'])
        changed = api.instance_mapping_update(
            self.context, new, {'user_id': 'other'}, expected_cell_uuid=uuid
        )
        self.assertEqual(uuid, changed['cell_uuid'])
        cell.name = 'other'
        cell.save()
        api.instance_mapping_destroy_bulk(
            self.context, [mapped, new, rows[0]['instance_uuid']], expected_cell_uuid=uuid
        )
        cell.destroy()
        self.assertEqual([], api.cell_mapping_get_all(self.context))

    def test_an_instance_in_upper_case_is_what_its_unique_index_takes_it_for(self) -> None:
        cell, other = self.cell(), self.cell()
        uuid = self.in_upper_case(cell)
        row = {'instance_uuid': uuid, 'project_id': 'p', 'cell_uuid': other}
        result = api.instance_mapping_create_bulk(self.context, [row])
        if self.kind == 'mariadb':
            self.assertEqual((0, {uuid: cell}), (result['created'], result['conflicts']))
            self.assertRaises(
                exception.InstanceMappingExists, api.instance_mapping_create, self.context, row
            )
            self.assertEqual(cell, self.get(uuid)['cell_uuid'])
            many = api.instance_mapping_get_by_instance_uuids(self.context, [uuid])
            self.assertEqual([uuid], self.uuids(many))
            changed = api.instance_mapping_update(
                self.context, uuid, {'cell_uuid': other}, expected_cell_uuid=cell
            )
            self.assertEqual((uuid, other), (changed['instance_uuid'], changed['cell_uuid']))
        else:
            # It is another row, for Nova as well.
            self.assertEqual(1, result['created'])
            self.assertEqual(other, self.get(uuid)['cell_uuid'])
        found = [found for found, _ in api.instance_mapping_scan(self.context, '', 10)]
        self.assertEqual([uuid] if self.kind == 'mariadb' else [uuid.upper(), uuid], found)

    def test_a_scan_in_pages_of_both_cases(self) -> None:
        expected = []
        for number in range(30):
            uuid = base.new_uuid()
            expected.append(uuid.upper() if number % 3 else uuid)
            nova_api.add(self.engine, instance_uuid=expected[-1])
        if self.kind == 'mariadb':
            expected = [uuid.lower() for uuid in expected]
        found: list[str] = []
        while page := api.instance_mapping_scan(self.context, found[-1] if found else '', 4):
            found += [uuid for uuid, _ in page]
        self.assertEqual(sorted(expected), found)

    def test_what_no_character_set_of_theirs_has_is_not_found(self) -> None:
        self.cell(name='c')
        self.map(project_id='p', user_id='u')
        for text in ('\U0001f600', '日本', '?'):
            self.assertEqual([], api.instance_mapping_get_all(self.context, project_id=text))
            counts = api.instance_mapping_get_counts(self.context, 'p', text)
            self.assertEqual({'project': {'instances': 1}, 'user': {'instances': 0}}, counts)
            self.assertEqual([], api.cell_mapping_get_by_project_id(self.context, text))
            for of_cell in (api.cell_mapping_get_by_name, api.cell_mapping_get_by_uuid):
                self.assertRaises(exception.CellMappingNotFound, of_cell, self.context, text)
            self.assertRaises(exception.InstanceMappingNotFound, self.get, text)
            many = api.instance_mapping_get_by_instance_uuids(self.context, [text])
            self.assertEqual([], many)


@base.on_each_database
class WithoutForeignKeys(_Case):
    """Tools that copy a table lose them, and not every engine of MariaDB has them."""

    def setUp(self) -> None:
        super().setUp()
        database = self.useFixture(fixtures.Database(self.kind, schema='nova'))
        nova_schema.make(database.engine())
        with self.engine.begin() as connection:
            connection.execute(sa.text('ALTER TABLE instance_mappings RENAME TO kept'))
            create = 'LIKE kept'
            if self.kind == 'sqlite':
                create = (
                    '(created_at DATETIME, updated_at DATETIME, id INTEGER PRIMARY KEY, '
                    'instance_uuid VARCHAR(36) UNIQUE, cell_id INTEGER, project_id VARCHAR(255), '
                    'queued_for_delete BOOLEAN, user_id VARCHAR(255))'
                )
            if self.kind == 'postgresql':
                create = '(LIKE kept INCLUDING ALL)'
            connection.execute(sa.text(f'CREATE TABLE instance_mappings {create}'))
        nova_cellmap.configure(database.conf())
        self.cell_uuid = self.cell()

    def test_no_mapping_to_what_is_no_cell(self) -> None:
        uuid, nowhere = self.map(cell_uuid=self.cell_uuid), base.new_uuid()
        row = {'instance_uuid': base.new_uuid(), 'project_id': 'p', 'cell_uuid': nowhere}
        unmapped = self.map(cell_mapping=None)
        seen = self.get(uuid)
        for call in (
            lambda: api.instance_mapping_create(self.context, row),
            lambda: api.instance_mapping_create_bulk(self.context, [row]),
            lambda: api.instance_mapping_update(self.context, uuid, {'cell_uuid': nowhere}),
            lambda: api.instance_mapping_update_bulk(
                self.context, [(seen, {'cell_uuid': nowhere})]
            ),
            lambda: api.instance_mapping_map_batch(
                self.context,
                nowhere,
                [{'instance_uuid': unmapped, 'project_id': 'p'}],
                last_instance_id=1,
            ),
        ):
            self.assertRaises(exception.CellMappingNotFound, call)
        self.assertEqual(self.cell_uuid, self.get(uuid)['cell_uuid'])
        self.assertIsNone(self.get(unmapped)['cell_uuid'])

    def test_a_cell_in_use_is_not_removed(self) -> None:
        uuid = self.map(cell_uuid=self.cell_uuid)
        destroy = api.cell_mapping_destroy
        self.assertRaises(exception.CellMappingInUse, destroy, self.context, self.cell_uuid)
        api.instance_mapping_destroy(self.context, uuid)
        destroy(self.context, self.cell_uuid)

    def test_an_id_that_no_cell_has_is_no_cell(self) -> None:
        uuids = [nova_api.add(self.engine, cell_id=99) for _ in range(4)]
        self.assertEqual([None] * 4, [self.get(uuid)['cell_uuid'] for uuid in uuids])
        changed = api.instance_mapping_update(
            self.context, uuids[0], {'cell_uuid': self.cell_uuid}, expected_cell_uuid=None
        )
        self.assertEqual(self.cell_uuid, changed['cell_uuid'])
        seen = self.get(uuids[1])
        changes = [(seen, {'cell_uuid': self.cell_uuid})]
        self.assertEqual([uuids[1]], api.instance_mapping_update_bulk(self.context, changes))
        row = {'instance_uuid': uuids[2], 'project_id': 'project'}
        result = api.instance_mapping_map_batch(
            self.context, self.cell_uuid, [row], last_instance_id=1
        )
        self.assertEqual((1, 0), (result['created'], result['existing']))
        self.assertEqual(self.cell_uuid, self.get(uuids[2])['cell_uuid'])
        removed = api.instance_mapping_destroy_bulk(self.context, uuids, expected_cell_uuid=None)
        self.assertEqual(1, removed)


class ZeroDates(_Case):
    """Of databases that were made without MariaDB's strict mode."""

    kind = 'mariadb'

    def test_it_is_no_time(self) -> None:
        cell = self.cell()
        uuid = self.map(cell_uuid=cell)
        with self.engine.begin() as connection:
            connection.exec_driver_sql("SET SESSION sql_mode = ''")
            for table in ('cell_mappings', 'instance_mappings'):
                connection.exec_driver_sql(f"UPDATE {table} SET created_at = '0000-00-00'")
        self.assertIsNone(self.get(uuid)['created_at'])
        [mapping] = objects.InstanceMappingList.get_by_cell_uuid(self.context, cell)
        self.assertIsNone(mapping.created_at)
        self.assertEqual(
            [None], [row['created_at'] for row in api.cell_mapping_get_all(self.context)]
        )


class OldRelease(_Case):
    """A database of a Nova that had no disabled, user_id and queued_for_delete yet."""

    def setUp(self) -> None:
        super().setUp()
        old = self.useFixture(fixtures.Database('sqlite', schema='nova'))
        nova_schema.make(old.engine(), 'old')
        nova_cellmap.configure(old.conf())
        number = nova_api.add_cell(self.engine, uuid='cell', name='c')
        self.uuid = nova_api.add(self.engine, cell_id=number)

    def test_it_can_be_read(self) -> None:
        row = self.get(self.uuid)
        self.assertEqual((None, None), (row['user_id'], row['queued_for_delete']))
        self.assertIs(False, bool(row['cell_mapping']['disabled']))
        mapping = objects.InstanceMapping.get_by_instance_uuid(self.context, self.uuid)
        self.assertFalse(mapping.cell_mapping.disabled)
        self.assertEqual(1, len(api.cell_mapping_get_all(self.context, disabled=False)))
        self.assertEqual(1, len(api.instance_mapping_get_all(self.context, cell_uuid='cell')))
        counts = api.instance_mapping_get_counts(self.context, 'project', 'user')
        self.assertEqual({'project': {'instances': 1}, 'user': {'instances': 0}}, counts)
        self.assertEqual(1, len(api.instance_mapping_scan(self.context, '', 10)))
        self.assertEqual(
            [('cell', 'project', 1, 0)],
            api.instance_mapping_count_by_cell_and_project(self.context),
        )

    def test_what_writes_says_what_to_do(self) -> None:
        for call in (
            lambda: api.instance_mapping_update(self.context, self.uuid, {'project_id': 'p'}),
            lambda: api.instance_mapping_destroy(self.context, self.uuid),
            lambda: api.cell_mapping_update(self.context, 'cell', {'name': 'n'}),
        ):
            error = self.assertRaises(exception.SchemaTooOld, call)
            self.assertIn('api_db sync', str(error))
