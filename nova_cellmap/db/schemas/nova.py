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


def make(
    dialect: sa.Dialect,
    columns: Mapping[str, Collection[str]],
    collations: Mapping[tuple[str, str], str],
    *,
    are_cells_checked: bool,
) -> Schema:
    """The schema of a database.

    :param columns: those that each of the two tables has there: the release of Nova that made it
        may lack some
    :param collations: those of their texts, by table and column, on MariaDB and MySQL
    :param are_cells_checked: whether the database refuses a mapping to a cell that is not there
    """
    metadata = sa.MetaData()
    texts = Texts(dialect, collations)
    cells = _table(
        'cell_mappings',
        metadata,
        columns,
        sa.Column('uuid', Uuid(36), nullable=False),
        sa.Column('name', texts.of('cell_mappings', 'name', 255)),
        sa.Column('transport_url', URL),
        sa.Column('database_connection', URL),
        sa.Column('disabled', Flag),
    )
    mappings = _mappings(metadata, columns, texts, CellReference(cells))
    return Schema(
        'nova',
        cells,
        mappings,
        inserted_mapping=_mappings(sa.MetaData(), columns, texts, sa.Integer()),
        host_mapping=sa.table(
            'host_mappings',
            *(sa.column(name, sa.Integer) for name in ('id', 'cell_id')),
            sa.column('host', sa.String),
            *(sa.column(name, Time) for name in ('created_at', 'updated_at')),
        ),
        build_request=sa.table(
            'build_requests',
            sa.column('instance_uuid', sa.String),
            sa.column('created_at', sa.DateTime),
        ),
        marker_projects=(MARKER, NOBODY),
        marker_instances=(NOBODY,),
        lacks=_lacking(cells, own.cell_mapping) | _lacking(mappings, own.instance_mapping),
        are_cells_checked=are_cells_checked,
    )


def _mappings(
    metadata: sa.MetaData,
    columns: Mapping[str, Collection[str]],
    texts: 'Texts',
    of_cell: sa.types.TypeEngine[Any],
) -> sa.Table:
    name = 'instance_mappings'
    return _table(
        name,
        metadata,
        columns,
        sa.Column('instance_uuid', texts.of(name, 'instance_uuid', 36), nullable=False),
        sa.Column('cell_id', of_cell, sa.ForeignKey('cell_mappings.id'), key='cell_uuid'),
        sa.Column('project_id', texts.of(name, 'project_id', 255), nullable=False),
        sa.Column('user_id', texts.of(name, 'user_id', 255)),
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
        if not isinstance(value, datetime.datetime):
            # MariaDB's 0000-00-00 is text to some drivers, and no time.
            return None
        return value if not value.microsecond else value.replace(microsecond=0)


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


class Uuid(own.Text):
    """The uuid of a cell, in upper case or in lower: somebody may have written it by hand.

    There are few cells, and so no index is missed.
    """

    cache_ok = True

    def exactly(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return sa.type_coerce(sa.func.lower(sa.type_coerce(column, sa.String)), own.Text())

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        return value.lower() if isinstance(value, str) else value

    class Comparator(sa.types.TypeDecorator.Comparator[str], sa.String.Comparator[str]):
        def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
            if op not in _COMPARISONS:
                return super().operate(op, *other, **kwargs)
            text = sa.func.lower(sa.cast(sa.type_coerce(self.expr, sa.String), _UNICODE))
            return sa.type_coerce(text, Lower()).operate(op, *other, **kwargs)

    comparator_factory = Comparator


class Lower(own.Text):
    """A value for a comparison with texts in lower case."""

    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], str | None]:
        check = super().bind_processor(dialect)

        def lower(value: Any) -> str | None:
            text = check(value)
            return text and text.lower()

        return lower


class CellReference(own.Text):
    """The uuid of a cell, where a column has its id.

    A uuid that no cell has is no NULL: it equals nothing, and the database refuses to store it.
    An id that no cell has reads as NULL, and is in no cell as NULL is.
    """

    cache_ok = True

    def __init__(self, cells: sa.Table) -> None:
        super().__init__(36)
        self.cells = cells

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], str | None]:
        return Lower().bind_processor(dialect)

    def bind_expression(self, bindvalue: sa.BindParameter[Any]) -> sa.ColumnElement[Any]:
        cells = self.cells.alias('referred')
        found = sa.select(cells.c.id).where(cells.c.uuid == bindvalue).scalar_subquery()
        return sa.case(
            (bindvalue.op('IS')(sa.null()), sa.null()),
            else_=sa.func.coalesce(found, sa.literal_column(str(NO_CELL), sa.Integer)),
        )

    def column_expression(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return sa.type_coerce(self.cell_of(column), Uuid())

    def cell_of(self, column: sa.ColumnElement[Any]) -> sa.ScalarSelect[Any]:
        """The uuid of the cell that a column refers to; NULL where there is none."""
        cells = self.cells.alias('referred')
        query = sa.select(cells.c.uuid).where(cells.c.id == sa.type_coerce(column, sa.Integer))
        return query.correlate_except(cells).scalar_subquery()

    class Comparator(sa.types.TypeDecorator.Comparator[str], sa.String.Comparator[str]):
        def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
            if op not in _IS or other[0] is not None:
                return super().operate(op, *other, **kwargs)
            kind: CellReference = self.type  # type: ignore[assignment]
            return kind.cell_of(self.expr).is_(None)

    comparator_factory = Comparator


class Texts:
    """The types of texts that have to be compared exactly, as SQLite does.

    :param collations: on MariaDB and MySQL those of the database, by table and column
    """

    def __init__(self, dialect: sa.Dialect, collations: Mapping[tuple[str, str], str]) -> None:
        self._dialect = dialect
        self._collations = collations

    def of(self, table: str, column: str, length: int) -> own.Text:
        if self._dialect.name == 'sqlite':
            return own.Text(length)
        if self._dialect.name == 'postgresql':
            return LocaleText(length)
        exact = own.exact_collation(self._dialect)
        # Of a column that the release lacks, none.
        collation = self._collations.get((table, column), 'utf8mb4_bin')
        if column == 'instance_uuid':
            return InexactUuid(length, exact)
        return InexactText(length, exact, collation)


class LocaleText(own.Text):
    """A text that is compared exactly, and sorted as a language sorts words."""

    cache_ok = True

    def exactly(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return sa.type_coerce(column.collate('C'), own.Text())


class InexactText(own.Text):
    """A text whose column has a collation that takes 'P1' for 'p1', and 'a' for 'a '.

    It is compared twice: as it is, so that an index serves, and then exactly. What the column's
    character set lacks, the server would refuse to compare with it.
    """

    cache_ok = True

    def __init__(self, length: int, exact: str, collation: str) -> None:
        super().__init__(length)
        self.exact = exact
        self.collation = collation

    def exactly(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return _exactly(sa.type_coerce(column, sa.String), self.exact)

    class Comparator(sa.types.TypeDecorator.Comparator[str], sa.String.Comparator[str]):
        def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
            if op not in _COMPARISONS:
                return super().operate(op, *other, **kwargs)
            kind: InexactText = self.type  # type: ignore[assignment]
            exactly = kind.exactly(self.expr)
            return sa.and_(
                super().operate(op, *map(kind._as_stored, other), **kwargs),
                exactly.operate(op, *other, **kwargs),
            )

    comparator_factory = Comparator

    def _as_stored(self, value: Any) -> Any:
        charset = self.collation.partition('_')[0]
        if value is None or charset == 'utf8mb4':
            return value
        text: Any = sa.type_coerce(value, own.Text())
        return sa.func.convert(text.op('USING')(sa.text(charset))).collate(self.collation)


class InexactUuid(own.Text):
    """The uuid of an instance, in a column that takes upper and lower case for the same.

    So do its unique index, and Nova: it is compared once.
    """

    cache_ok = True

    def __init__(self, length: int, exact: str) -> None:
        super().__init__(length)
        self.exact = exact

    def exactly(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return _exactly(sa.func.lower(sa.type_coerce(column, sa.String)), self.exact)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        return value.lower() if isinstance(value, str) else value

    class Comparator(sa.types.TypeDecorator.Comparator[str], sa.String.Comparator[str]):
        def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
            if op not in _COMPARISONS:
                return super().operate(op, *other, **kwargs)
            return sa.type_coerce(self.expr, Ascii()).operate(op, *other, **kwargs)

    comparator_factory = Comparator


class Ascii(own.Text):
    """A value for a comparison with uuids: the server may refuse one with other characters."""

    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], str | None]:
        check = super().bind_processor(dialect)

        def ascii_of(value: Any) -> str | None:
            text = check(value)
            return text and text.encode('ascii', 'replace').decode()

        return ascii_of


def _exactly(text: sa.ColumnElement[Any], collation: str) -> sa.ColumnElement[Any]:
    return sa.type_coerce(sa.cast(text, _UNICODE).collate(collation), own.Text())


_UNICODE = sa.String().with_variant(mysql.CHAR(charset='utf8mb4'), 'mysql', 'mariadb')
_COMPARISONS = (operators.eq, operators.in_op, operators.is_not_distinct_from)
_IS = (operators.is_, operators.is_not_distinct_from)
