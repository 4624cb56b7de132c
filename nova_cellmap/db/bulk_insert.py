# SPDX-License-Identifier: Apache-2.0
"""Inserting many rows at once, in the way that each database takes them fastest.

SQLAlchemy prepares each value of each row, and PyMySQL writes it into the statement, in
Python: that takes as long as the server takes to store the row. So

- MariaDB and MySQL are given the rows as one JSON document, which they take apart;
- SQLite is given them as they are, by its driver;
- PostgreSQL, and servers that are too old for that, get one statement from SQLAlchemy.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
import datetime
import functools
import json
from typing import Any

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap.db import session
from nova_cellmap.db import statements
from nova_cellmap.db.schemas import own

_Values = Mapping[str, Any]

_MOST_ROWS = 5000
# Of a statement, what is not the document.
_BYTES_BESIDE = 2000
# The first that have JSON_TABLE.
_JSON_TABLE_SINCE = {True: (10, 6), False: (8, 0, 4)}


def insert(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[_Values],
    returning: Sequence[sa.Column[Any]] = (),
) -> list[tuple[Any, ...]]:
    """Insert rows of the same columns, in their order, in the connection's transaction.

    :param returning: columns to read of the rows that were inserted
    :returns: them, in any order; nothing where a server cannot tell
    :raises: what the database raises; InvalidInput for a value that a column does not take
    """
    returned: list[tuple[Any, ...]] = []
    for start in range(0, len(rows), _MOST_ROWS):
        some = rows[start : start + _MOST_ROWS]
        returned += _insert(connection, table, some, tuple(returning))
    return returned


def _insert(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[_Values],
    returning: tuple[sa.Column[Any], ...],
) -> Iterable[tuple[Any, ...]]:
    dialect = connection.dialect
    if dialect.name == 'sqlite':
        return _insert_by_driver(connection, table, rows, returning)
    if _has_json_table(dialect):
        document = _document(dialect, table, rows)
        if len(rows) > 1 and _sent_bytes(document) > session.longest_statement(connection):
            half = len(rows) // 2
            return [
                *_insert(connection, table, rows[:half], returning),
                *_insert(connection, table, rows[half:], returning),
            ]
        query: sa.Insert = _from_document(dialect, table, tuple(rows[0]))
        values: Any = {'document': document}
    else:
        # One statement, also where the driver would cut it into pages.
        connection = connection.execution_options(insertmanyvalues_page_size=len(rows))
        query, values = table.insert(), rows
    if not returning or not dialect.insert_returning:
        connection.execute(query, values)
        return ()
    return map(tuple, connection.execute(query.returning(*returning), values))


def _insert_by_driver(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[_Values],
    returning: tuple[sa.Column[Any], ...],
) -> Iterable[tuple[Any, ...]]:
    dialect = connection.dialect
    text, names = _statement(dialect, table, tuple(rows[0]))
    columns = [
        _prepared(rows, name, table.c[name].type.dialect_impl(dialect).bind_processor(dialect))
        for name in names
    ]
    values = [*zip(*columns, strict=True)]
    if not returning:
        connection.exec_driver_sql(text, values)
        return ()
    # Nobody else writes meanwhile, and new keys are greater than all that are there.
    [key] = table.primary_key.columns
    last = connection.scalar(sa.select(sa.func.max(key))) or 0
    connection.exec_driver_sql(text, values)
    return map(tuple, connection.execute(sa.select(*returning).where(key > last)))


def _has_json_table(dialect: Any) -> bool:
    if dialect.name not in ('mysql', 'mariadb'):
        return False
    return bool(dialect.server_version_info >= _JSON_TABLE_SINCE[dialect.is_mariadb])


def _document(dialect: sa.Dialect, table: sa.Table, rows: Sequence[_Values]) -> str:
    columns = [_prepared(rows, name, _check(dialect, table.c[name].type)) for name in rows[0]]
    return json.dumps([*zip(*columns, strict=True)], default=_as_text, ensure_ascii=False)


def _sent_bytes(document: str) -> int:
    """How long the statement is in which a document is sent, with what the driver escapes."""
    escaped = sum(map(document.count, '"\'\\'))
    return len(document.encode(errors='replace')) + escaped + _BYTES_BESIDE


def _prepared(
    rows: Sequence[_Values], name: str, convert: Callable[[Any], Any] | None
) -> list[Any]:
    values = [row[name] for row in rows]
    try:
        return [*map(convert, values)] if convert else values
    except ValueError as error:
        raise exception.InvalidInput(reason=f'{name}: {error}') from None


def _check(dialect: sa.Dialect, kind: Any) -> Callable[[Any], Any] | None:
    """What a type of our own makes of a value; the others are as they are in JSON."""
    return kind.bind_processor(dialect) if isinstance(kind, sa.types.TypeDecorator) else None


def _as_text(value: Any) -> str:
    """A time as the servers read it."""
    if isinstance(value, datetime.datetime):
        return value.isoformat(' ', 'microseconds')
    raise exception.InvalidInput(reason=f'{value!r} has no place in a column')


@functools.lru_cache
def _statement(
    dialect: sa.Dialect, table: sa.Table, names: tuple[str, ...]
) -> tuple[str, Sequence[str]]:
    """The text, and the columns in the order in which it has their places."""
    compiled = table.insert().inline().compile(dialect=dialect, column_keys=names)
    return str(compiled), statements.positions(compiled)


@functools.lru_cache
def _from_document(dialect: sa.Dialect, table: sa.Table, names: tuple[str, ...]) -> sa.Insert:
    columns = ', '.join(
        # What does not fit would be NULL otherwise.
        f"`{name}` {_type(dialect, table.c[name])} PATH '$[{place}]' ERROR ON ERROR"
        for place, name in enumerate(names)
    )
    query = f"SELECT document.* FROM JSON_TABLE(:document, '$[*]' COLUMNS ({columns})) AS document"
    selected = sa.text(query).columns(*(table.c[name] for name in names))
    return table.insert().from_select(names, selected)


def _type(dialect: sa.Dialect, column: sa.Column[Any]) -> str:
    """A column's type; text in all of Unicode, whatever the database's own character set is."""
    kind = column.type.compile(dialect)
    if not isinstance(column.type, sa.String | own.Text):
        return kind
    return f'{kind} CHARACTER SET utf8mb4 COLLATE {own.exact_collation(dialect)}'
