# SPDX-License-Identifier: Apache-2.0
"""Mappings that are created or changed together."""

from typing import Any
from unittest import mock

from nova_cellmap import context
from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.db import batch
from nova_cellmap.db import columns
from nova_cellmap.db import engine
from nova_cellmap.db import transaction
from nova_cellmap.db.batch import Batch
from nova_cellmap.db.connected import Changing
from nova_cellmap.db.connected import Connected
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.db import case


@base.on_both_schemas
class Batches(case.Case):
    def test_of_several_for_one_instance_the_first_counts(self) -> None:
        one, two = self.cell(), self.cell()
        uuid = base.new_uuid()
        result = api.instance_mapping_create_bulk(
            self.context,
            [self.values(instance_uuid=uuid, cell_uuid=cell) for cell in (one, one, two)],
        )
        self.assertEqual({'created': 1, 'existing': 1, 'conflicts': {uuid: one}}, result)

    def test_ids_of_a_server_that_does_not_tell_them(self) -> None:
        rows = [self.values() for _ in range(1001)]
        dialect = engine.of().writer.dialect
        with mock.patch.object(dialect, 'insert_returning', False):
            result = api.instance_mapping_create_bulk(self.context, rows, with_ids=True)
        self.assertEqual({row['instance_uuid']: row['id'] for row in self.all()}, result['ids'])

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

    def test_a_batch_places_what_is_in_no_cell(self) -> None:
        cell, other = self.cell(), self.cell()
        unplaced, elsewhere = self.map(), self.map(cell_uuid=other)
        rows = [self.values(instance_uuid=uuid) for uuid in (unplaced, elsewhere)]
        result = self.map_batch(cell, rows, last_instance_id=2)
        self.assertEqual({'created': 1, 'existing': 0, 'conflicts': {elsewhere: other}}, result)
        self.assertEqual([unplaced], self.uuids(self.all(cell_uuid=cell)))
        progress = api.map_progress_get(self.context, cell)
        self.assertEqual({'last_instance_id': 2, 'conflicts': 1}, progress)

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

    def test_an_imported_batch_of_a_cell_that_is_not_there(self) -> None:
        rows = [self.values(cell_uuid=base.new_uuid())]
        self.assertRaises(
            exception.CellMappingNotFound, self.import_batch, rows, last_mapping_id=1
        )
        self.assertIsNone(api.import_progress_get(self.context, 's'))

    def test_the_cells_of_those_that_have_a_mapping(self) -> None:
        cell = self.cell()
        mapped, unplaced, unknown = self.map(cell_uuid=cell), self.map(), base.new_uuid()

        @transaction.reads
        def look(context: Connected) -> dict[str, str | None]:
            return batch.existing_cells(context, [mapped, unplaced, unknown])

        self.assertEqual({mapped: cell, unplaced: None}, look(self.context))

    def test_those_alone_are_changed_of_which_the_condition_is_true(self) -> None:
        mine, other, not_asked_for = self.map(), self.map(user_id='v'), self.map()

        @transaction.writes
        def change(context: Changing) -> int:
            is_mine = context.schema.instance_mapping.c.user_id == 'u'
            return batch.update(context, {'project_id': 'new'}, [is_mine], [mine, other])

        self.assertEqual(1, change(self.context))
        projects = {row['instance_uuid']: row['project_id'] for row in self.all()}
        self.assertEqual({mine: 'new', other: 'p', not_asked_for: 'p'}, projects)


@base.on_each_database
class Turns(case.Case):
    """Of batches that are under way at once each is committed in its turn."""

    def batch(self, **options: Any) -> Batch:
        return Batch([columns.new_mapping(self.values()) for _ in range(3)], **options)

    def test_one_whose_turn_does_not_come_begins_again_in_turn(self) -> None:
        asked: list[float | None] = []

        def turn(seconds: float | None) -> bool:
            asked.append(seconds)
            return len(asked) > 1

        self.assertEqual(3, self.batch(turn=turn).create(self.context)['created'])
        self.assertEqual([False, True, False], [seconds is None for seconds in asked])
        self.assertEqual(3, len(self.all()))

    def test_where_the_one_before_has_failed_nothing_is_made(self) -> None:
        def turn(seconds: float | None) -> bool:
            raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, self.batch(turn=turn).create, self.context)
        self.assertEqual([], self.all())

    def test_what_is_done_beside_it_is_in_its_transaction(self) -> None:
        results = []

        def fail(context: Changing, result: api.BulkResult) -> None:
            results.append(result['created'])
            raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, self.batch(finish=fail).create, self.context)
        self.assertEqual(([3], []), (results, self.all()))
