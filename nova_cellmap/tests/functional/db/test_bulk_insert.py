# SPDX-License-Identifier: Apache-2.0
"""Many rows at once, in the way that each database takes them."""

import datetime
from typing import Any

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.db import bulk_insert
from nova_cellmap.db import engine
from nova_cellmap.db.schemas import own
from nova_cellmap.objects import InstanceMappingList
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.db import case


@base.on_both_schemas
class Inserts(case.Case):
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


@base.on_both_schemas
class Large(base.TestCase):
    def test_more_than_a_server_takes_at_once(self) -> None:
        cell = self.make_cell()
        # With 1 MB, as on this server: four such documents.
        mappings = [
            self.new_mapping(cell_mapping=cell, project_id='p' * 255, user_id='"' * 255)
            for _ in range(4000)
        ]
        self.assertEqual(4000, InstanceMappingList.create_bulk(self.context, mappings)['created'])


@base.on_each_database
class Rows(base.TestCase):
    def insert(self, rows: list[Any], *returning: sa.Column[Any]) -> list[tuple[Any, ...]]:
        with engine.of().writer.begin() as connection:
            return bulk_insert.insert(connection, own.instance_mapping, rows, returning)

    def row(self, **values: Any) -> dict[str, Any]:
        return {'instance_uuid': base.new_uuid(), 'project_id': 'p', **values}

    def test_no_rows_are_nothing(self) -> None:
        self.assertEqual([], self.insert([], own.instance_mapping.c.id))

    def test_what_is_returned_is_of_the_new_rows_alone(self) -> None:
        columns = own.instance_mapping.c.instance_uuid, own.instance_mapping.c.id
        self.insert([self.row()])
        rows = [self.row() for _ in range(5)]
        returned = dict(self.insert(rows, *columns))
        # In the order in which they were given.
        uuids = [row['instance_uuid'] for row in rows]
        self.assertEqual(uuids, sorted(returned, key=lambda uuid: returned[uuid]))
        stored = dict(map(tuple, self.execute(sa.select(*columns))))
        self.assertEqual(returned, {uuid: stored[uuid] for uuid in returned})

    def test_what_a_column_does_not_take_is_named_and_nothing_inserted(self) -> None:
        if self.kind == 'postgresql':
            # There SQLAlchemy refuses it.
            return
        for value in (5, b'x', 'x\0'):
            rows = [self.row(), self.row(project_id=value)]
            error = self.assertRaises(exception.InvalidInput, self.insert, rows)
            self.assertIn('project_id', str(error))
        self.assertEqual([], self.execute(own.instance_mapping.select()))
