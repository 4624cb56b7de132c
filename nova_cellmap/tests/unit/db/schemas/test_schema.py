# SPDX-License-Identifier: Apache-2.0
"""What the function layer has to know of the tables that it works on."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from nova_cellmap.db.schemas import nova
from nova_cellmap.db.schemas import own
from nova_cellmap.db.schemas.schema import Schema
from nova_cellmap.tests import base

_TIMES = ('created_at', 'updated_at')
_MAPPING = ('instance_uuid', 'cell_uuid', 'project_id', 'user_id', 'queued_for_delete')


def _novas(*without: str) -> Schema:
    """Nova's tables, as a release made them that lacks some columns."""
    columns = {
        'cell_mappings': (
            'id',
            'uuid',
            'name',
            'transport_url',
            'database_connection',
            'disabled',
        ),
        'instance_mappings': (*nova.NEEDED['instance_mappings'], 'user_id', 'queued_for_delete'),
    }
    there = {
        table: [name for name in (*names, *_TIMES) if name not in without]
        for table, names in columns.items()
    }
    return nova.make(sqlite.dialect(), there, {}, are_cells_checked=True)


def _sql(*clauses: sa.ClauseElement) -> str:
    return ' AND '.join(
        str(each.compile(dialect=sqlite.dialect(), compile_kwargs={'literal_binds': True}))
        for each in clauses
    )


class Schemas(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.own, self.nova = own.schema, _novas()

    def test_a_column_has_the_same_key_in_each(self) -> None:
        for schema in (self.own, self.nova, _novas('user_id', 'queued_for_delete')):
            keys = [column.key for column in schema.mapping_columns(_MAPPING)]
            self.assertEqual([*_MAPPING], keys)
            self.assertEqual('disabled', schema.cell_columns(('disabled',))[0].key)
            self.assertEqual('user_id', schema.mapping_column('user_id').key)

    def test_a_column_that_is_not_there_reads_as_null(self) -> None:
        old = _novas('disabled', 'user_id', 'queued_for_delete')
        self.assertEqual({'disabled', 'user_id', 'queued_for_delete'}, old.lacks)
        self.assertEqual(frozenset(), self.nova.lacks)
        self.assertEqual('NULL AS user_id', _sql(sa.select(old.mapping_column('user_id')))[7:])

    def test_a_cell_is_disabled_where_it_says_so(self) -> None:
        engine = sa.create_engine('sqlite://')
        self.addCleanup(engine.dispose)
        own.metadata.create_all(engine)
        urls = dict.fromkeys(('transport_url', 'database_connection'), 'none:///')
        with engine.begin() as connection:
            for value in (True, False):
                row: dict[str, Any] = {'uuid': str(value), 'disabled': value, **urls}
                connection.execute(own.cell_mapping.insert().values(row))
            query = sa.select(own.cell_mapping.c.uuid).where(self.own.is_disabled)
            self.assertEqual(['True'], connection.scalars(query).all())
        self.assertIn('coalesce(NULL', _sql(sa.select(_novas('disabled').is_disabled)))

    def test_what_a_mapping_refers_to(self) -> None:
        self.assertIs(self.own.cell_mapping.c.uuid, self.own.cell_key)
        self.assertIs(self.nova.cell_mapping.c.id, self.nova.cell_key)

    def test_the_cells_are_joined_where_their_uuids_are_theirs_alone(self) -> None:
        self.assertIs(self.own.instance_mapping, self.own.mappings)
        self.assertIs(self.nova.with_cells, self.nova.mappings)

    def test_what_is_inserted(self) -> None:
        self.assertIs(self.own.instance_mapping, self.own.stored_mapping)
        self.assertIsNot(self.nova.instance_mapping, self.nova.stored_mapping)

    def test_rows_that_map_nothing_are_told_by_project_and_instance(self) -> None:
        self.assertEqual((), self.own.is_mapping)
        self.assertEqual((), self.own.is_mapping_of('p'))
        self.assertIn(nova.MARKER, _sql(*self.nova.is_mapping))
        self.assertIn(nova.NOBODY, _sql(*self.nova.is_mapping))
        # Among a project's rows the project need not be looked at.
        self.assertNotIn(nova.MARKER, _sql(*self.nova.is_mapping_of('p')))
        self.assertIn(nova.NOBODY, _sql(*self.nova.is_mapping_of('p')))
        self.assertEqual('0', _sql(*self.nova.is_mapping_of(nova.MARKER)))

    def test_whose_cells_have_names_of_their_own(self) -> None:
        self.assertTrue(self.own.have_cells_unique_names)
        self.assertFalse(self.nova.have_cells_unique_names)
