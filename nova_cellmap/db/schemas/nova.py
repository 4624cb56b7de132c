# SPDX-License-Identifier: Apache-2.0
"""Nova's own tables, ``cell_mappings`` and ``instance_mappings`` of its API database.

Nova's alembic scripts own them: here are only the columns that rows are made of. A mapping
refers to its cell by ``id``; ``CellReference`` has the database turn that into the uuid that
rows have, and back. So no id is ever remembered: one whose cell is gone may be another's.
"""

from collections.abc import Callable, Collection, Mapping
import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.sql import operators

from nova_cellmap.db.schemas import own
from nova_cellmap.db.schemas.schema import NO_CELL
from nova_cellmap.db.schemas.schema import Schema

# The project, and the user, of the row in which Nova keeps where map_instances was stopped.
MARKER = 'INSTANCE_MIGRATION_MARKER'
# The instance, and its project, that a migration of Nova's has left in every cell.
NOBODY = '00000000-0000-0000-0000-000000000000'

NEEDED = {
    'cell_mappings': ('id', 'uuid', 'name', 'transport_url', 'database_connection'),
    'instance_mappings': ('id', 'instance_uuid', 'cell_id', 'project_id'),
}


def make(dialect: sa.Dialect, columns: Mapping[str, Collection[str]]) -> Schema:
    """The schema of a database.

    :param columns: those that each of the two tables has there: the release of Nova that made it
        may lack some
    """
    metadata = sa.MetaData()
    text = _text(dialect)
    cells = _table(
        'cell_mappings',
        metadata,
        columns,
        sa.Column('uuid', text(36), nullable=False),
        sa.Column('name', text(255)),
        sa.Column('transport_url', URL),
        sa.Column('database_connection', URL),
        sa.Column('disabled', Flag),
    )
    mappings = _mappings(metadata, columns, text, CellReference(cells))
    return Schema(
        'nova',
        cells,
        mappings,
        inserted_mapping=_mappings(sa.MetaData(), columns, text, sa.Integer()),
        host_mapping=sa.table('host_mappings', sa.column('cell_id', sa.Integer)),
        build_request=sa.table('build_requests', sa.column('instance_uuid', sa.String)),
        marker_projects=(MARKER, NOBODY),
        marker_instances=(NOBODY,),
        lacks=_lacking(cells, own.cell_mapping) | _lacking(mappings, own.instance_mapping),
    )


def _mappings(
    metadata: sa.MetaData,
    columns: Mapping[str, Collection[str]],
    text: Callable[[int], own.Text],
    of_cell: sa.types.TypeEngine[Any],
) -> sa.Table:
    return _table(
        'instance_mappings',
        metadata,
        columns,
        sa.Column('instance_uuid', text(36), nullable=False),
        sa.Column('cell_id', of_cell, sa.ForeignKey('cell_mappings.id'), key='cell_uuid'),
        sa.Column('project_id', text(255), nullable=False),
        sa.Column('user_id', text(255)),
        sa.Column('queued_for_delete', sa.Boolean),
    )


def _table(
    name: str,
    metadata: sa.MetaData,
    columns: Mapping[str, Collection[str]],
    *more: sa.Column[Any],
) -> sa.Table:
    every: tuple[sa.Column[Any], ...] = (
        sa.Column('created_at', Time),
        sa.Column('updated_at', Time),
        sa.Column('id', sa.Integer, primary_key=True, autoincrement=True, nullable=False),
        *more,
    )
    table = sa.Table(name, metadata)
    for each in every:
        if each.name in columns[name]:
            table.append_column(each)
    return table


def _lacking(table: sa.Table, like: sa.Table) -> frozenset[str]:
    return frozenset(like.c.keys()) - frozenset(table.c.keys())


class Time(sa.types.TypeDecorator[datetime.datetime]):
    """A time without fractions of a second, which Nova writes where the database keeps them."""

    impl = sa.DateTime
    cache_ok = True

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        return value if value is None or not value.microsecond else value.replace(microsecond=0)


class URL(own.LongText):
    """A URL; NULL says that there is none."""

    cache_ok = True

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        return 'none:///' if value is None else value


class Flag(sa.types.TypeDecorator[bool]):
    """A flag that NULL does not set."""

    impl = sa.Boolean
    cache_ok = True

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> bool:
        return bool(value)


class CellReference(own.Text):
    """The uuid of a cell, where a column has its id.

    A uuid that no cell has is no NULL: it equals nothing, and the database refuses to store it.
    """

    cache_ok = True

    def __init__(self, cells: sa.Table) -> None:
        super().__init__(36)
        self.cells = cells

    def bind_expression(self, bindvalue: sa.BindParameter[Any]) -> sa.ColumnElement[Any]:
        cells = self.cells.alias('referred')
        found = sa.select(cells.c.id).where(cells.c.uuid == bindvalue).scalar_subquery()
        return sa.case(
            (bindvalue.is_(None), sa.null()),
            else_=sa.func.coalesce(found, sa.literal_column(str(NO_CELL), sa.Integer)),
        )

    def column_expression(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        cells = self.cells.alias('referred')
        query = sa.select(cells.c.uuid).where(cells.c.id == sa.type_coerce(column, sa.Integer))
        return sa.type_coerce(query.correlate_except(cells).scalar_subquery(), self)


def _text(dialect: sa.Dialect) -> Callable[[int], own.Text]:
    """The type of a text that has to be compared exactly, as SQLite does."""
    if dialect.name == 'sqlite':
        return own.Text
    if dialect.name == 'postgresql':
        return LocaleText
    collation = own.exact_collation(dialect)
    return lambda length: InexactText(length, collation)


class LocaleText(own.Text):
    """A text that is compared exactly, and sorted as a language sorts words."""

    cache_ok = True

    def exactly(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return sa.type_coerce(column.collate('C'), own.Text())


class InexactText(own.Text):
    """A text whose column has a collation that takes 'P1' for 'p1', and 'a' for 'a '.

    It is compared twice: as it is, so that an index serves, and then exactly.
    """

    cache_ok = True

    def __init__(self, length: int, collation: str) -> None:
        super().__init__(length)
        self.collation = collation

    def exactly(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        text = sa.cast(sa.type_coerce(column, sa.String), mysql.CHAR(charset='utf8mb4'))
        return sa.type_coerce(text.collate(self.collation), own.Text())

    class Comparator(sa.types.TypeDecorator.Comparator[str], sa.String.Comparator[str]):
        def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
            compared = super().operate(op, *other, **kwargs)
            if op not in _COMPARISONS:
                return compared
            exactly = self.type.exactly(self.expr)  # type: ignore[attr-defined]
            return sa.and_(compared, exactly.operate(op, *other, **kwargs))

    comparator_factory = Comparator


_COMPARISONS = (operators.eq, operators.in_op, operators.is_not_distinct_from)
