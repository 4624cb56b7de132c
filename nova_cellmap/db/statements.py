# SPDX-License-Identifier: Apache-2.0
"""Statements that are made once and then sent through the driver.

To look a statement up among those that it has made, to prepare its parameters and to wrap its
rows takes SQLAlchemy several times as long as a database needs to find a row by its key. So what
is asked all the time is compiled by SQLAlchemy once, and from then on the driver is given its
text. The values become what SQLAlchemy's types make of them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
import contextlib
import functools
from typing import Any, NamedTuple, TypeVar, TypeVarTuple

import sqlalchemy as sa

from nova_cellmap import text
from nova_cellmap.db import errors
from nova_cellmap.db import outcome
from nova_cellmap.db import transaction
from nova_cellmap.db.connected import Changing
from nova_cellmap.db.schemas.schema import Schema

_T = TypeVar('_T')
_Ts = TypeVarTuple('_Ts')

# A runtime has two. Those of previous ones need not be remembered.
_MOST_DIALECTS = 16

_Convert = Callable[[Any], Any]
# By the names of parameters, and by the places of columns.
_Converters = tuple[tuple[str, _Convert], ...]
_Places = tuple[tuple[int, _Convert], ...]


def of_schema(make: Callable[[Schema, *_Ts], _T]) -> Callable[[Schema, *_Ts], _T]:
    """Make a statement once for each schema, and for each set of other arguments."""

    @functools.wraps(make)
    def made(schema: Schema, *args: *_Ts) -> _T:
        key = (make, *args)
        found: _T | None = schema.statements.get(key)
        if found is None:
            found = schema.statements[key] = make(schema, *args)
        return found

    return made


def delete(
    context: Changing, query: sa.Delete, key: sa.Column[str], values: Collection[str]
) -> int:
    """Delete rows by their keys; answer how many there were."""
    query = query.where(key.in_(values))
    if not context.connection.dialect.delete_returning:
        deleted = context.connection.execute(query).rowcount
        if deleted:
            transaction.prove(context, outcome.deleted(key, values))
        return deleted
    # Their numbers tell them from those that others may insert under the same keys.
    number = key.table.c.id
    numbers = context.connection.execute(query.returning(number)).scalars().all()
    if numbers:
        transaction.prove(context, outcome.deleted(number, numbers))
    return len(numbers)


class _Statement(NamedTuple):
    """A statement in the words of one kind of database."""

    text: str
    # The parameters, in their order, and what is to be done to the values of some.
    parameters: tuple[str, ...]
    is_positional: bool
    # Those that are the same each time: SQLite has none but LIMIT with OFFSET.
    constants: Mapping[str, Any]
    converters: _Converters

    def arguments(self, values: Mapping[str, Any]) -> Any:
        if self.constants:
            values = {**self.constants, **values}
        if self.converters:
            values = {**values, **self._converted(values)}
        if self.is_positional:
            return tuple([values[name] for name in self.parameters])
        return {name: values[name] for name in self.parameters}

    def _converted(self, values: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {name: do(values[name]) for name, do in self.converters}
        except (ValueError, TypeError) as error:
            raise errors.DriverError(error, errors.Kind.VALUE) from error


class Query:
    """A query whose columns have different names, and whose parameters are named.

    :ivar select: the same for SQLAlchemy
    :ivar columns: their keys, in order
    """

    def __init__(self, select: sa.Select[Any]) -> None:
        self.select = select
        self.columns = tuple(select.selected_columns.keys())
        self._types = [column.type for column in select.selected_columns]
        self._prepared: dict[sa.Dialect, tuple[_Statement, _Places]] = {}

    def tuples(
        self, connection: sa.PoolProxiedConnection, dialect: sa.Dialect, values: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        """Read through the driver.

        :raises: DriverError, also for a value that a column does not take
        """
        statement, converters = self._prepared.get(dialect) or self._prepare(dialect)
        arguments = statement.arguments(values)
        cursor = None
        try:
            cursor = connection.cursor()
            dialect.do_execute(cursor, statement.text, arguments)
            rows: Sequence[Sequence[Any]] = cursor.fetchall()
            cursor.close()
        except BaseException as error:
            _abandon(cursor)
            if isinstance(error, Exception):
                raise errors.of_driver(error, dialect, statement.text) from error
            raise
        return self._converted(rows, converters) if converters and rows else rows

    def executed(
        self, connection: sa.Connection, values: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        """Read by SQLAlchemy.

        :raises: as :meth:`tuples`
        """
        try:
            return connection.execute(self.select, values).all()
        except (ValueError, TypeError) as error:
            # SQLAlchemy lets out as it is what it makes of a time that is none.
            untyped = [
                sa.type_coerce(each, sa.types.NULLTYPE) for each in self.select.selected_columns
            ]
            query = self.select.with_only_columns(*untyped, maintain_column_froms=True)
            rows = connection.execute(query, values).all()
            raise self._misread(rows, self._converters(connection.dialect)) or error from error

    def _converted(
        self, rows: Sequence[Sequence[Any]], converters: _Places
    ) -> Sequence[Sequence[Any]]:
        # Column by column: a row at a time takes twice as long.
        columns: list[Iterable[Any]] = list(zip(*rows, strict=True))
        for place, convert in converters:
            columns[place] = map(convert, columns[place])
        try:
            return list(zip(*columns, strict=True))
        except (ValueError, TypeError) as error:
            raise self._misread(rows, converters) or error from error

    def _misread(
        self, rows: Sequence[Sequence[Any]], converters: _Places
    ) -> errors.DriverError | None:
        """The first value that none of its column can be."""
        named = self.columns.index('id') if 'id' in self.columns else 0
        for row in rows:
            for place, convert in converters:
                try:
                    convert(row[place])
                except (ValueError, TypeError):
                    value = f'{self.columns[place]} {text.shown(row[place])}'
                    where = f'{self.columns[named]} {text.shown(row[named])}'
                    return errors.misread(f'it has {value} where {where} is')
        return None

    def _converters(self, dialect: sa.Dialect) -> _Places:
        processors = [
            kind.dialect_impl(dialect).result_processor(dialect, None) for kind in self._types
        ]
        return tuple((place, do) for place, do in enumerate(processors) if do is not None)

    def _prepare(self, dialect: sa.Dialect) -> tuple[_Statement, _Places]:
        prepared = _statement(self.select, dialect), self._converters(dialect)
        return _remembered(self._prepared, dialect, prepared)


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
        """Insert through the driver; answer the key.

        :raises: as :meth:`Query.tuples`
        """
        statement = self._prepared.get(dialect) or self._prepare(dialect)
        arguments = statement.arguments(values)
        cursor = None
        try:
            cursor = connection.cursor()
            dialect.do_execute(cursor, statement.text, arguments)
            key: Any = (cursor.lastrowid,) if dialect.postfetch_lastrowid else cursor.fetchone()
            cursor.close()
            return int(key[0])
        except BaseException as error:
            _abandon(cursor)
            if isinstance(error, Exception):
                raise errors.of_driver(error, dialect, statement.text) from error
            raise

    def _prepare(self, dialect: Any) -> _Statement:
        insert = self.insert.inline()
        if not dialect.postfetch_lastrowid:
            insert = insert.returning(self._key)
        return _remembered(self._prepared, dialect, _statement(insert, dialect, self._columns))


def _abandon(cursor: Any) -> None:
    """Close the cursor of what went wrong.

    The error's traceback would keep it until Python collects its garbage, in any thread: and
    there SQLite waits until nobody else uses the connection, who may wait for this thread.
    """
    with contextlib.suppress(Exception):
        if cursor is not None:
            cursor.close()


def _remembered(prepared: dict[sa.Dialect, _T], dialect: sa.Dialect, value: _T) -> _T:
    if len(prepared) >= _MOST_DIALECTS:
        prepared.clear()
    prepared[dialect] = value
    return value


def positions(compiled: Any) -> tuple[str, ...]:
    """The parameters in the order of their places; none where the text has their names."""
    return tuple(compiled.positiontup or ())


def _statement(
    statement: sa.Select[Any] | sa.Insert, dialect: sa.Dialect, columns: Iterable[str] = ()
) -> _Statement:
    compiled = statement.compile(dialect=dialect, column_keys=[*columns] or None)
    binds = {name: bind for bind, name in compiled.bind_names.items()}
    return _Statement(
        text=str(compiled),
        parameters=positions(compiled) or tuple(binds),
        is_positional=compiled.positional,
        constants={name: bind.value for name, bind in binds.items() if bind.value is not None},
        converters=tuple(
            (name, convert)
            for name, bind in binds.items()
            if (convert := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        ),
    )
