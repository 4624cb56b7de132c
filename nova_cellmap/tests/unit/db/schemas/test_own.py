# SPDX-License-Identifier: Apache-2.0
"""The tables of the specification."""

from types import SimpleNamespace
from typing import Any

import hypothesis
from hypothesis import strategies as st
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite

from nova_cellmap.db.schemas import own
from nova_cellmap.tests import base

_MODULES: tuple[Any, ...] = (sqlite, mysql, postgresql)
_DIALECTS: list[sa.Dialect] = [each.dialect() for each in _MODULES]


class Texts(base.TestCase):
    @hypothesis.settings(deadline=None)
    @hypothesis.given(st.text(st.characters(exclude_characters='\0')))
    def test_text_is_sent_as_it_is(self, text: str) -> None:
        for dialect in _DIALECTS:
            for kind in (own.Text(36), own.LongText()):
                self.assertIs(text, kind.bind_processor(dialect)(text))

    def test_nothing_is_nothing(self) -> None:
        self.assertIsNone(own.Text(36).bind_processor(_DIALECTS[0])(None))

    def test_what_databases_compare_otherwise_is_refused(self) -> None:
        check = own.Text(36).bind_processor(_DIALECTS[0])
        values: tuple[Any, ...] = (0, 7, b'x', True, 1.5, ['x'], 'x\0', '\0')
        for value in values:
            self.assertRaises(ValueError, check, value)

    def test_a_column_of_ours_is_compared_exactly_as_it_is(self) -> None:
        for column in (own.cell_mapping.c.name, own.instance_mapping.c.id):
            self.assertIs(column, own.exactly(column))

    def test_by_which_collation(self) -> None:
        collations = {True: 'utf8mb4_nopad_bin', False: 'utf8mb4_0900_bin'}
        for is_mariadb, collation in collations.items():
            dialect: Any = SimpleNamespace(is_mariadb=is_mariadb)
            self.assertEqual(collation, own.exact_collation(dialect))


class Tables(base.TestCase):
    def test_the_schema_has_each_of_them(self) -> None:
        schema = own.schema
        self.assertEqual('own', schema.name)
        known = (
            schema.cell_mapping,
            schema.instance_mapping,
            schema.map_progress,
            schema.import_progress,
        )
        self.assertEqual(set(own.metadata.sorted_tables), set(known))

    def test_every_text_is_checked(self) -> None:
        for table in own.metadata.sorted_tables:
            for column in table.columns:
                if not isinstance(column.type, sa.Integer | sa.Boolean | sa.DateTime):
                    self.assertIsInstance(column.type, own.Text, f'{table.name}.{column.name}')

    def test_the_id_of_a_mapping_has_64_bits(self) -> None:
        for dialect, kind in zip(_DIALECTS, ('INTEGER', 'BIGINT', 'BIGINT'), strict=True):
            self.assertEqual(kind, own.instance_mapping.c.id.type.compile(dialect=dialect))
