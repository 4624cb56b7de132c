# SPDX-License-Identifier: Apache-2.0
"""Statements that are made once and then sent through the driver.

To look a statement up among those that it has made, to prepare its parameters and to wrap its
rows takes SQLAlchemy several times as long as a database needs to find a row by its key. So what
is asked all the time is compiled by SQLAlchemy once, and from then on the driver is given its
text. The values become what SQLAlchemy's types make of them.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

Row = dict[str, Any]
_T = TypeVar('_T')

# A process has one or two: those of configurations before need not be remembered.
_MOST_DIALECTS = 4

_Convert = Callable[[Any], Any]
_Converters = tuple[tuple[str, _Convert], ...]


class _Statement(NamedTuple):
    """A statement in the words of one kind of database."""

    text: str
    # The parameters, in their order, and what is to be done to the values of some.
    parameters: tuple[str, ...]
    is_positional: bool
    # Those that are the same each time: SQLite has none but LIMIT with OFFSET.
    constants: Mapping[str, Any]
    converters: tuple[tuple[str, _Convert], ...]

    def arguments(self, values: Mapping[str, Any]) -> Any:
        if self.constants:
            values = {**self.constants, **values}
        if self.converters:
            values = {**values, **{name: do(values[name]) for name, do in self.converters}}
        if self.is_positional:
            return tuple([values[name] for name in self.parameters])
        return {name: values[name] for name in self.parameters}


class Query:
    """A query whose columns have different names, and whose parameters are named.

    :ivar select: the same for SQLAlchemy
    """

    def __init__(self, select: sa.Select[Any]) -> None:
        self.select = select
        columns = select.selected_columns
        self._columns = tuple(column.name for column in columns)
        self._types = {column.name: column.type for column in columns}
        self._prepared: dict[sa.Dialect, tuple[_Statement, _Converters]] = {}

    def rows(
        self, connection: sa.PoolProxiedConnection, dialect: sa.Dialect, values: Mapping[str, Any]
    ) -> list[Row]:
        """Read by way of the driver.

        :raises: what the driver does, and ValueError for a value that a column does not take.
            SQLAlchemy knows what these errors mean: ask it the same.
        """
        statement, converters = self._prepared.get(dialect) or self._prepare(dialect)
        cursor = connection.cursor()
        dialect.do_execute(cursor, statement.text, statement.arguments(values))
        columns = self._columns
        rows = [dict(zip(columns, row)) for row in cursor.fetchall()]  # noqa: B905 - it is slower
        cursor.close()
        for name, convert in converters:
            for row in rows:
                row[name] = convert(row[name])
        return rows

    def _prepare(self, dialect: sa.Dialect) -> tuple[_Statement, _Converters]:
        converters = _converters(
            (name, kind.dialect_impl(dialect).result_processor(dialect, None))
            for name, kind in self._types.items()
        )
        return _remembered(self._prepared, dialect, (_statement(self.select, dialect), converters))


class Insert:
    """Inserting a row with values for these columns, and none for its key.

    :ivar insert: the same for SQLAlchemy
    """

    def __init__(self, table: sa.Table, columns: Iterable[str]) -> None:
        self.insert = table.insert()
        [self._key] = table.primary_key.columns
        self._columns = tuple(columns)
        self._prepared: dict[sa.Dialect, _Statement] = {}

    def key(
        self, connection: sa.PoolProxiedConnection, dialect: Any, values: Mapping[str, Any]
    ) -> int:
        """Insert by way of the driver; answer the key.

        :raises: as :meth:`Query.rows`
        """
        statement = self._prepared.get(dialect) or self._prepare(dialect)
        cursor = connection.cursor()
        dialect.do_execute(cursor, statement.text, statement.arguments(values))
        key: Any = (cursor.lastrowid,) if dialect.postfetch_lastrowid else cursor.fetchone()
        cursor.close()
        return int(key[0])

    def _prepare(self, dialect: Any) -> _Statement:
        insert = self.insert.inline()
        if not dialect.postfetch_lastrowid:
            insert = insert.returning(self._key)
        return _remembered(self._prepared, dialect, _statement(insert, dialect, self._columns))


def _remembered(prepared: dict[sa.Dialect, _T], dialect: sa.Dialect, value: _T) -> _T:
    if len(prepared) >= _MOST_DIALECTS:
        prepared.clear()
    prepared[dialect] = value
    return value


def _statement(
    statement: sa.Select[Any] | sa.Insert, dialect: sa.Dialect, columns: Iterable[str] = ()
) -> _Statement:
    compiled = statement.compile(dialect=dialect, column_keys=[*columns] or None)
    binds = {name: bind for bind, name in compiled.bind_names.items()}
    return _Statement(
        text=str(compiled),
        parameters=tuple(compiled.positiontup or binds),
        is_positional=compiled.positional,
        constants={name: bind.value for name, bind in binds.items() if bind.value is not None},
        converters=_converters(
            (name, bind.type.dialect_impl(dialect).bind_processor(dialect))
            for name, bind in binds.items()
        ),
    )


def _converters(pairs: Iterable[tuple[str, _Convert | None]]) -> _Converters:
    return tuple((name, convert) for name, convert in pairs if convert is not None)
