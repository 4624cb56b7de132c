# SPDX-License-Identifier: Apache-2.0
"""Many mappings at once, and resume points."""

from collections.abc import Sequence
import datetime
from typing import Any
from unittest import mock

from nova_cellmap import context
from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.db import engine
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.db import case


@base.on_both_schemas
class Bulk(case.Case):
    def test_created_existing_and_conflicting_are_told_apart(self) -> None:
        one, two = self.cell(), self.cell()
        same = self.map(cell_uuid=one, project_id='untouched')
        other = self.map(cell_uuid=two)
        none = self.map()
        new = base.new_uuid()
        result = api.instance_mapping_create_bulk(
            self.context,
            [self.values(instance_uuid=uuid, cell_uuid=one) for uuid in (same, other, none, new)],
        )
        self.assertEqual(
            {'created': 1, 'existing': 1, 'conflicts': {other: two, none: None}}, result
        )
        self.assertEqual([same, new], self.uuids(self.all(cell_uuid=one)))
        self.assertEqual('untouched', self.all(cell_uuid=one)[0]['project_id'])

    def test_of_several_for_one_instance_the_first_counts(self) -> None:
        one, two = self.cell(), self.cell()
        uuid = base.new_uuid()
        result = api.instance_mapping_create_bulk(
            self.context,
            [self.values(instance_uuid=uuid, cell_uuid=cell) for cell in (one, one, two)],
        )
        self.assertEqual({'created': 1, 'existing': 1, 'conflicts': {uuid: one}}, result)

    def test_it_takes_more_than_fits_one_statement(self) -> None:
        rows = [self.values() for _ in range(5001)]
        result = api.instance_mapping_create_bulk(self.context, iter(rows), with_ids=True)
        ids = {row['instance_uuid']: row['id'] for row in self.all()}
        self.assertEqual({'created': 5001, 'existing': 0, 'conflicts': {}, 'ids': ids}, result)
        result = api.instance_mapping_create_bulk(self.context, rows)
        self.assertEqual({'created': 0, 'existing': 5001, 'conflicts': {}}, result)
        everyone = [row['instance_uuid'] for row in rows]
        self.assertEqual(everyone, self.uuids(self.all()))
        removed = api.instance_mapping_destroy_bulk(self.context, [*everyone, *everyone, 'x'])
        self.assertEqual(5001, removed)

    def test_ids_of_a_server_that_does_not_tell_them(self) -> None:
        rows = [self.values() for _ in range(1001)]
        dialect = engine.of().writer.dialect
        with mock.patch.object(dialect, 'insert_returning', False):
            result = api.instance_mapping_create_bulk(self.context, rows, with_ids=True)
        self.assertEqual({row['instance_uuid']: row['id'] for row in self.all()}, result['ids'])

    def test_all_that_is_said_of_each_is_kept(self) -> None:
        then = datetime.datetime(2020, 2, 29, 23, 59, 59)
        rows = [
            # Their columns stand in different orders.
            self.values(user_id='u', queued_for_delete=True, created_at=then),
            {'project_id': 'é\'"\\%s:x', 'instance_uuid': base.new_uuid()},
        ]
        api.instance_mapping_create_bulk(self.context, rows)
        first, second = self.all()
        self.assertEqual(
            ('u', True, then, None),
            tuple(
                first[name] for name in ('user_id', 'queued_for_delete', 'created_at', 'cell_uuid')
            ),
        )
        self.assertEqual(
            (rows[1]['project_id'], None, False),
            tuple(second[name] for name in ('project_id', 'user_id', 'queued_for_delete')),
        )
        self.assertEqual(rows[1]['instance_uuid'], second['instance_uuid'])

    def test_many_at_once_create_each_mapping_once(self) -> None:
        cell = self.cell()
        rows = [self.values(cell_uuid=cell) for _ in range(900)]

        def create(number: int) -> Any:
            # Each in an order of its own, so that they meet in the middle.
            mine = rows[number * 200 :] + rows[: number * 200]
            return api.instance_mapping_create_bulk(context.get_admin_context(), mine)

        results = case.at_once(4, create)
        self.assertEqual([900] * 4, [each['created'] + each['existing'] for each in results])
        self.assertEqual(900, sum(each['created'] for each in results))
        self.assertEqual(900, len(self.all()))

    def test_a_row_without_what_it_needs_is_refused_and_nothing_created(self) -> None:
        for bad in ({'project_id': None}, {'instance_uuid': None}, {'unknown': 1}, {'id': 1}):
            rows = [self.values(), self.values(**bad)]
            self.assertRaises(
                exception.InvalidInput, api.instance_mapping_create_bulk, self.context, rows
            )
        self.assertEqual([], self.all())

    def test_a_batch_and_its_resume_point_are_one(self) -> None:
        cell = self.cell()
        rows = [self.values(), self.values()]
        broken = [*rows, self.values(project_id='\ud800')]
        self.assertRaises(exception.InvalidInput, self.map_batch, cell, broken, last_instance_id=3)
        self.assertIsNone(api.map_progress_get(self.context, cell))
        self.map_batch(cell, rows, last_instance_id=2)
        self.map_batch(cell, [self.values()], last_instance_id=9, unmappable=4)
        self.assertEqual(
            {'last_instance_id': 9, 'conflicts': 4}, api.map_progress_get(self.context, cell)
        )
        api.map_progress_clear(self.context, cell)
        self.assertIsNone(api.map_progress_get(self.context, cell))
        self.assertEqual(3, len(self.all(cell_uuid=cell)))

    def test_a_batch_places_what_is_in_no_cell(self) -> None:
        cell, other = self.cell(), self.cell()
        unplaced, elsewhere = self.map(), self.map(cell_uuid=other)
        rows = [self.values(instance_uuid=uuid) for uuid in (unplaced, elsewhere)]
        result = self.map_batch(cell, rows, last_instance_id=2)
        self.assertEqual({'created': 1, 'existing': 0, 'conflicts': {elsewhere: other}}, result)
        self.assertEqual([unplaced], self.uuids(self.all(cell_uuid=cell)))
        progress = api.map_progress_get(self.context, cell)
        self.assertEqual({'last_instance_id': 2, 'conflicts': 1}, progress)

    def test_an_imported_batch_and_its_resume_point_are_one(self) -> None:
        cell = self.cell()
        rows = [self.values(cell_uuid=cell), self.values()]
        broken = [*rows, self.values(project_id='\ud800')]
        self.assertRaises(exception.InvalidInput, self.import_batch, broken, last_mapping_id=3)
        self.assertIsNone(api.import_progress_get(self.context, 's'))
        self.import_batch(rows, last_mapping_id=2)
        self.import_batch([self.values()], last_mapping_id=9, unmappable=4)
        self.assertEqual(
            {'last_mapping_id': 9, 'conflicts': 4}, api.import_progress_get(self.context, 's')
        )
        self.assertIsNone(api.import_progress_get(self.context, 'other'))
        api.import_progress_clear(self.context, 'other')
        self.assertIsNotNone(api.import_progress_get(self.context, 's'))
        api.import_progress_clear(self.context, 's')
        self.assertIsNone(api.import_progress_get(self.context, 's'))
        self.assertEqual(3, len(self.all()))

    def test_an_imported_batch_places_what_is_in_no_cell(self) -> None:
        cell, other = self.cell(), self.cell()
        unplaced, elsewhere, placed, missing = (
            self.map(),
            self.map(cell_uuid=other),
            self.map(cell_uuid=cell),
            base.new_uuid(),
        )
        rows = [
            self.values(instance_uuid=uuid, cell_uuid=cell)
            for uuid in (unplaced, elsewhere, missing)
        ]
        rows.append(self.values(instance_uuid=placed, cell_uuid=None))
        result = self.import_batch(rows, last_mapping_id=2)
        self.assertEqual({'created': 2, 'existing': 1, 'conflicts': {elsewhere: other}}, result)
        there = self.uuids(self.all(cell_uuid=cell))
        self.assertEqual([unplaced, placed, missing], there)

    def test_an_imported_batch_keeps_the_times_of_creation(self) -> None:
        created_at = datetime.datetime(2020, 2, 29, 12, 30, 59)
        self.import_batch(
            [self.values(created_at=created_at), self.values(created_at=None), self.values()],
            last_mapping_id=2,
        )
        times = [row['created_at'] for row in self.all()]
        self.assertEqual(created_at, times[0])
        self.assertTrue(all(times))

    def test_an_imported_batch_of_a_cell_that_is_not_there(self) -> None:
        rows = [self.values(cell_uuid=base.new_uuid())]
        self.assertRaises(
            exception.CellMappingNotFound, self.import_batch, rows, last_mapping_id=1
        )
        self.assertIsNone(api.import_progress_get(self.context, 's'))

    def all(self, **filters: Any) -> Sequence[api.Row]:
        return api.instance_mapping_get_all(self.context, **filters)

    def import_batch(self, rows: list[Any], **kwargs: Any) -> api.BulkResult:
        return api.instance_mapping_import_batch(self.context, rows, source='s', **kwargs)

    def map_batch(self, *args: Any, **kwargs: Any) -> api.BulkResult:
        return api.instance_mapping_map_batch(self.context, *args, **kwargs)
