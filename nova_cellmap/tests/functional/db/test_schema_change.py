# SPDX-License-Identifier: Apache-2.0
"""The steps that the schema's history is made of: each can be made again."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from nova_cellmap.db import errors
from nova_cellmap.db import schema_change
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base


def _tables() -> sa.MetaData:
    """As a script defines them: as they are when it has run."""
    metadata = sa.MetaData()
    sa.Table('parent', metadata, sa.Column('id', sa.Integer, primary_key=True))
    sa.Table(
        'child',
        metadata,
        sa.Column('id', sa.Integer, primary_key=True),
        sa.Column('name', sa.String(255), nullable=False),
        sa.Column('parent_id', sa.Integer),
        sa.Index('child_name_idx', 'name'),
        sa.Index('child_parent_id_idx', 'parent_id'),
    )
    return metadata


@base.on_each_database
class Steps(tests_base.TestCase):
    kind: str

    def setUp(self) -> None:
        super().setUp()
        self.engine = self.useFixture(fixtures.Database(self.kind)).engine()
        tables = _tables().tables
        self.parent, self.child = tables['parent'], tables['child']

    def twice(self, step: Callable[..., None], *args: Any) -> None:
        """The second time it finds all done, and what is in the tables stays."""
        before = self.rows()
        for _ in range(2):
            with self.engine.begin() as connection:
                step(connection, *args)
            self.assertEqual(before, [row[: len(before[0])] for row in self.rows()])

    def rows(self) -> list[tuple[Any, ...]]:
        if not sa.inspect(self.engine).has_table('child'):
            return []
        with self.engine.connect() as connection:
            return [*map(tuple, connection.exec_driver_sql('SELECT * FROM child ORDER BY id'))]

    def insert(self, **values: Any) -> None:
        table = sa.table('child', *map(sa.column, values))
        with self.engine.begin() as connection:
            connection.execute(table.insert().values(values))

    def make(self) -> None:
        for table in (self.parent, self.child):
            self.twice(schema_change.create_table, table)
        for name in ('a', 'b'):
            self.insert(name=name, parent_id=None)

    def column(self, name: str) -> Any:
        columns = sa.inspect(self.engine).get_columns('child')
        return {column['name']: column for column in columns}[name]

    def indexes(self) -> set[str | None]:
        return {index['name'] for index in sa.inspect(self.engine).get_indexes('child')}

    def test_a_table_and_its_indexes(self) -> None:
        self.make()
        both = {'child_name_idx', 'child_parent_id_idx'}
        self.assertEqual(both, self.indexes())
        self.twice(schema_change.drop_index, self.child, 'child_name_idx')
        self.assertEqual(both - {'child_name_idx'}, self.indexes())
        # As after a process that was killed between a table and its indexes.
        self.twice(schema_change.create_table, self.child)
        self.assertEqual(both, self.indexes())

    def test_text_compares_exactly(self) -> None:
        self.make()
        with self.engine.connect() as connection:
            query = sa.select(self.child.c.name).where(self.child.c.name.in_(['A', 'b ']))
            self.assertEqual([], connection.execute(query).all())

    def test_a_column(self) -> None:
        self.make()
        new = sa.Column('flag', sa.Boolean, server_default=sa.false())
        self.child.append_column(new)
        self.twice(schema_change.add_column, new)
        self.assertEqual([False, False], [bool(row[-1]) for row in self.rows()])

    def test_a_column_that_may_be_null(self) -> None:
        self.make()
        name = self.child.c.name
        self.assertFalse(self.column('name')['nullable'])
        name.nullable = True
        self.twice(schema_change.make_nullable, name)
        self.assertTrue(self.column('name')['nullable'])
        self.insert(name=None)
        self.assertEqual({'child_name_idx', 'child_parent_id_idx'}, self.indexes())

    def test_an_id_that_counts_on(self) -> None:
        self.make()
        wide = sa.MetaData()
        column = sa.Column('id', sa.BigInteger, primary_key=True, autoincrement=True)
        sa.Table('child', wide, column)
        self.twice(schema_change.widen_id, column)
        self.insert(name='c')
        self.insert(id=2**40, name='d')
        self.assertEqual([1, 2, 3, 2**40], [row[0] for row in self.rows()])

    def test_a_foreign_key(self) -> None:
        self.make()
        key = sa.ForeignKeyConstraint(['parent_id'], ['parent.id'], name='child_parent_id_fkey')
        self.child.append_constraint(key)
        self.twice(schema_change.add_foreign_key, key)
        found = sa.inspect(self.engine).get_foreign_keys('child')
        self.assertEqual(['child_parent_id_fkey'], [each['name'] for each in found])
        self.assertRaises(errors.DRIVER, self.insert, name='c', parent_id=7)
