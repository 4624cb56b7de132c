# SPDX-License-Identifier: Apache-2.0
"""Finding an instance in the cell that it is mapped to."""

from typing import Any

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.cells import lookup
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base


@base.on_each_database
class FindInstance(cells_base.TestCase):
    def find(self, **values: Any) -> lookup.Found:
        """Look up an instance that is in the cell with these values."""
        uuid = nova_cell.add(self.nova, **values)
        mapping = self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid)
        return lookup.find_instance(self.context, mapping)

    def test_an_instance_is_found_with_its_details(self) -> None:
        found = self.find(display_name='vm ☁', host='compute1', vm_state='error')
        assert found.instance
        self.assertEqual(found.mapping.instance_uuid, found.instance.uuid)
        expected = {'display_name': 'vm ☁', 'host': 'compute1', 'vm_state': 'error'}
        self.assertEqual(expected, {name: found.details[name] for name in expected})
        self.assertIn('2026-01-01', str(found.details['created_at']))

    def test_deleted_and_soft_deleted_are_told_apart(self) -> None:
        gone, soft = self.find(deleted=1).instance, self.find(vm_state='soft-delete').instance
        assert gone and soft
        self.assertEqual((True, True), (gone.deleted, gone.queued_for_delete))
        self.assertEqual((False, True), (soft.deleted, soft.queued_for_delete))

    def test_a_hidden_row_is_not_where_the_instance_is(self) -> None:
        found = self.find(hidden=True)
        self.assertEqual((None, {}), (found.instance, found.details))

    def test_an_instance_that_its_cell_does_not_have(self) -> None:
        mapping = self.make_mapping(cell_uuid=self.cell.uuid)
        self.assertEqual(lookup.Found(mapping), lookup.find_instance(self.context, mapping))

    def test_an_instance_in_no_cell(self) -> None:
        mapping = self.make_mapping(cell_uuid=None)
        self.assertEqual(lookup.Found(mapping), lookup.find_instance(self.context, mapping))

    def test_a_cell_of_an_older_release_gives_the_details_that_it_has(self) -> None:
        names = ('uuid', 'project_id', 'user_id', 'vm_state', 'host')
        columns = [sa.Column(name, sa.String(255)) for name in names]
        number = sa.Column('id', sa.Integer, primary_key=True)
        self.nova = self.new_database(number, *columns, sa.Column('deleted', sa.Integer))
        cell = self.make_cell(database_connection=cells_base.url_of(self.nova))
        mapping = self.make_mapping(cell_uuid=cell.uuid)
        row = {'uuid': mapping.instance_uuid, 'project_id': 'p', 'host': 'compute1', 'deleted': 0}
        with self.nova.begin() as connection:
            connection.execute(sa.insert(sa.table('instances', *map(sa.column, row))).values(row))
        found = lookup.find_instance(self.context, mapping)
        self.assertEqual('compute1', found.details['host'])
        self.assertNotIn('display_name', found.details)

    def test_what_is_no_cell_is_refused(self) -> None:
        cell = self.make_cell(database_connection=cells_base.url_of(self.new_database()))
        mapping = self.make_mapping(cell_uuid=cell.uuid)
        self.assertRaises(exception.NotACellDatabase, lookup.find_instance, self.context, mapping)
