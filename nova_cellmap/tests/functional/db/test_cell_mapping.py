# SPDX-License-Identifier: Apache-2.0
"""The queries of cells."""

import datetime
import functools
from typing import Any

from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.db.schemas import own
from nova_cellmap.db.schemas.detection import Detected
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.db import case


@base.on_both_schemas
class Cells(case.Case):
    def test_a_created_cell_is_found_by_uuid_and_by_name(self) -> None:
        uuid = self.cell(name='één ☁', disabled=True)
        row = api.cell_mapping_get_by_uuid(self.context, uuid)
        self.assertEqual(row, api.cell_mapping_get_by_name(self.context, 'één ☁'))
        self.assertEqual(set(own.cell_mapping.c.keys()), set(row))
        self.assertIs(True, row['disabled'])
        self.assertIsNotNone(row['created_at'])
        self.assertIsNone(row['updated_at'])

    def test_names_are_compared_exactly(self) -> None:
        for name in ('cell', 'Cell', 'cell ', 'céll'):
            self.cell(name=name)
        row = api.cell_mapping_get_by_name(self.context, 'Cell')
        self.assertEqual('Cell', row['name'])
        for name in ('CELL', 'cell  ', ' cell'):
            self.assertRaises(
                exception.CellMappingNotFound, api.cell_mapping_get_by_name, self.context, name
            )

    def test_a_taken_uuid_is_told_of_also_by_the_call_that_finds_the_schema(self) -> None:
        uuid = self.cell()
        # The look for it and the insert go over one connection.
        self.context.runtime.part(Detected).forget()
        self.assertRaises(exception.CellMappingExists, self.cell, uuid=uuid)

    def test_a_taken_uuid_or_name_is_told_apart(self) -> None:
        uuid = self.cell(name='one')
        other = self.cell()
        error = self.assertRaises(exception.CellMappingExists, self.cell, uuid=uuid)
        self.assertEqual('uuid', error.kwargs['what'])
        error = self.assertRaises(exception.CellMappingExists, self.cell, name='one')
        self.assertIn('name one', str(error))
        self.assertRaises(
            exception.CellMappingExists,
            api.cell_mapping_update,
            self.context,
            other,
            {'name': 'one'},
        )

    def test_several_cells_may_have_no_name(self) -> None:
        self.cell()
        self.cell()
        self.assertEqual(2, len(api.cell_mapping_get_all(self.context)))

    def test_an_update_changes_what_it_names_and_nothing_else(self) -> None:
        uuid = self.cell(name='old', transport_url='rabbit://a:b@c/{query}')
        before = api.cell_mapping_get_by_uuid(self.context, uuid)
        after = api.cell_mapping_update(self.context, uuid, {'name': 'new'})
        self.assertIsNotNone(after.pop('updated_at'))
        self.assertEqual({**before, 'name': 'new'}, {**after, 'updated_at': None})

    def test_what_names_a_missing_cell_says_so(self) -> None:
        missing = base.new_uuid()
        for call in (
            functools.partial(api.cell_mapping_get_by_uuid, self.context, missing),
            functools.partial(api.cell_mapping_get_by_name, self.context, missing),
            functools.partial(api.cell_mapping_update, self.context, missing, {'name': 'x'}),
            functools.partial(api.cell_mapping_destroy, self.context, missing),
        ):
            error = self.assertRaises(exception.CellMappingNotFound, call)
            self.assertIn(missing, str(error))

    def test_a_cell_with_mappings_cannot_be_destroyed(self) -> None:
        cell = self.cell()
        instance = self.map(cell_uuid=cell)
        self.assertRaises(exception.CellMappingInUse, api.cell_mapping_destroy, self.context, cell)
        api.instance_mapping_destroy(self.context, instance)
        api.cell_mapping_destroy(self.context, cell)
        self.assertEqual([], api.cell_mapping_get_all(self.context))

    def test_cells_come_in_pages_in_the_order_of_creation(self) -> None:
        cells = [self.cell(disabled=number % 2 == 0) for number in range(5)]
        rows = api.cell_mapping_get_all(self.context, limit=2, marker=cells[1])
        self.assertEqual(cells[2:4], [row['uuid'] for row in rows])
        rows = api.cell_mapping_get_all(self.context, disabled=True, marker=cells[0])
        self.assertEqual([cells[2], cells[4]], [row['uuid'] for row in rows])
        self.assertRaises(
            exception.MarkerNotFound,
            api.cell_mapping_get_all,
            self.context,
            disabled=False,
            marker=cells[0],
        )

    def test_the_cells_of_a_project(self) -> None:
        one, _, three = self.cell(), self.cell(), self.cell()
        for cell in (three, one, one, None):
            self.map(cell_uuid=cell, project_id='mine')
        rows = api.cell_mapping_get_by_project_id(self.context, 'mine')
        self.assertEqual([one, three], [row['uuid'] for row in rows])
        rows = api.cell_mapping_get_by_project_id(self.context, 'mine', limit=1, marker=one)
        self.assertEqual([three], [row['uuid'] for row in rows])

    def new(self, **values: Any) -> dict[str, Any]:
        urls = {'transport_url': 'none:///', 'database_connection': 'none:///'}
        return {'uuid': base.new_uuid(), **urls, **values}

    def add(self, *cells: dict[str, Any]) -> api.CellBulkResult:
        return api.cell_mapping_create_bulk(self.context, cells)

    def names(self) -> list[str | None]:
        return [row['name'] for row in api.cell_mapping_get_all(self.context)]

    def test_many_are_created_and_what_stands_is_left(self) -> None:
        created_at = datetime.datetime(2020, 2, 29, 12, 30, 59)
        cells = [self.new(name='a', created_at=created_at), self.new(), self.new(disabled=True)]
        self.assertEqual(3, self.add(*cells)['created'])
        row = api.cell_mapping_get_by_name(self.context, 'a')
        self.assertEqual(created_at, row['created_at'])
        again = [{**cell, 'disabled': True} for cell in cells]
        expected = {'created': 1, 'existing': 3, 'different': {}, 'taken': {}}
        self.assertEqual(expected, self.add(*again, self.new(name='b')))
        self.assertFalse(api.cell_mapping_get_by_name(self.context, 'a')['disabled'])

    def test_of_many_those_that_stand_otherwise_are_told_apart(self) -> None:
        here = self.new(name='a', database_connection='sqlite:///a')
        self.add(here)
        same_name, same_place = self.new(name='a'), self.new(database_connection='sqlite:///a')
        different = {**here, 'name': 'b', 'transport_url': 'fake:///'}
        result = self.add(different, same_name, same_place, self.new())
        self.assertEqual({here['uuid']: ['name', 'transport_url']}, result['different'])
        expected = {same_name['uuid']: 'name', same_place['uuid']: 'database_connection'}
        expected_taken = {uuid: (column, here['uuid']) for uuid, column in expected.items()}
        self.assertEqual(expected_taken, result['taken'])
        self.assertEqual(['a', None], self.names())

    def test_of_many_the_first_of_a_name_is_created(self) -> None:
        first, second = self.new(name='a'), self.new(name='a')
        result = self.add(first, second, first)
        self.assertEqual((1, 1), (result['created'], result['existing']))
        self.assertEqual({second['uuid']: ('name', first['uuid'])}, result['taken'])

    def test_of_many_all_or_none_are_created(self) -> None:
        for bad in ({'name': 'x' * 256}, {'transport_url': None}, {'unknown': 1}):
            cells = (self.new(name='good'), self.new(**bad))
            self.assertRaises(exception.InvalidInput, self.add, *cells)
        self.assertEqual([], self.names())

    def test_many_at_once_by_several_writers(self) -> None:
        cells = [self.new(name=f'cell{number}') for number in range(4)]
        results = case.at_once(4, lambda number: self.add(*cells))
        self.assertEqual(4, sum(result['created'] for result in results))
        self.assertEqual(12, sum(result['existing'] for result in results))
