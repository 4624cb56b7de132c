# SPDX-License-Identifier: Apache-2.0
"""Reads whose statements are made once and then sent through the driver.

To look a statement up among those that it has made, to prepare its parameters and to wrap its
rows takes SQLAlchemy several times as long as a database needs to find a row by its key. So what
is read all the time is compiled by SQLAlchemy once, and from then on the driver is given its
text. The values become what SQLAlchemy's types make of them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
import contextlib
from typing import Any, NamedTuple

import sqlalchemy as sa

Row = dict[str, Any]

_Convert = Callable[[Any], Any]

_on = True


def is_on() -> bool:
    """Whether the driver is to be given statements."""
    return _on


@contextlib.contextmanager
def off() -> Iterator[None]:
    """Have SQLAlchemy do everything, for tests that compare the two."""
    global _on
    before, _on = _on, False
    try:
        yield
    finally:
        _on = before


class _Statement(NamedTuple):
    """A query in the words of one kind of database."""

    text: str
    # The parameters, in their order, and what is to be done to the values of some.
    parameters: tuple[str, ...]
    is_positional: bool
    to_driver: tuple[tuple[str, _Convert], ...]
    # The columns, in their order, and what is to be done to the values of some.
    columns: tuple[str, ...]
    from_driver: tuple[tuple[str, _Convert], ...]


class Query:
    """A query whose columns have different names, and whose parameters are named.

    :ivar select: the same for SQLAlchemy
    """

    def __init__(self, select: sa.Select[Any]) -> None:
        self.select = select
        self._statements: dict[sa.Dialect, _Statement] = {}

    def rows(
        self, connection: sa.PoolProxiedConnection, dialect: sa.Dialect, values: Mapping[str, Any]
    ) -> list[Row]:
        """Read by way of the driver.

        :raises: what the driver does, and ValueError for a value that a column does not take.
            SQLAlchemy knows what these errors mean: ask it the same.
        """
        statement = self._statements.get(dialect) or self._prepare(dialect)
        cursor = connection.cursor()
        dialect.do_execute(cursor, statement.text, _arguments(statement, values))
        columns = statement.columns
        rows = [dict(zip(columns, row)) for row in cursor.fetchall()]  # noqa: B905 - it is slower
        cursor.close()
        for name, convert in statement.from_driver:
            for row in rows:
                row[name] = convert(row[name])
        return rows

    def _prepare(self, dialect: sa.Dialect) -> _Statement:
        compiled = self.select.compile(dialect=dialect)
        binds = {name: bind.type for bind, name in compiled.bind_names.items()}
        statement = self._statements[dialect] = _Statement(
            text=str(compiled),
            parameters=tuple(compiled.positiontup or binds),
            is_positional=compiled.positional,
            to_driver=_converters(
                (name, _adapted(kind, dialect).bind_processor(dialect))
                for name, kind in binds.items()
            ),
            columns=tuple(column.name for column in self.select.selected_columns),
            from_driver=_converters(
                (column.name, _adapted(column.type, dialect).result_processor(dialect, None))
                for column in self.select.selected_columns
            ),
        )
        return statement


def _arguments(statement: _Statement, values: Mapping[str, Any]) -> Any:
    if statement.to_driver:
        values = {**values, **{name: do(values[name]) for name, do in statement.to_driver}}
    if statement.is_positional:
        return tuple([values[name] for name in statement.parameters])
    return {name: values[name] for name in statement.parameters}


def _adapted(kind: Any, dialect: sa.Dialect) -> Any:
    return kind.dialect_impl(dialect)


def _converters(
    pairs: Iterable[tuple[str, _Convert | None]],
) -> tuple[tuple[str, _Convert], ...]:
    return tuple((name, convert) for name, convert in pairs if convert is not None)
