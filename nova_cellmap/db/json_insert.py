# SPDX-License-Identifier: Apache-2.0
"""Inserting many rows as one JSON document, which the database takes apart.

SQLAlchemy prepares each value of each row, and PyMySQL writes it into the statement, in
Python. That takes as long as the server takes to store the row, and four times as long as
to write the document.
"""

from collections.abc import Callable, Mapping, Sequence
import datetime
import functools
import json
from typing import Any

import sqlalchemy as sa

# With rows of at most 2 KB, less than a server takes at once unless it is told otherwise.
_MOST_ROWS = 5000
# The first that can.
_SINCE = {'mariadb': (10, 6), 'mysql': (8, 0, 4), 'sqlite': (3, 38)}


def is_supported(dialect: Any) -> bool:
    """Whether the server that was connected to can do that."""
    since = _SINCE.get('mariadb' if getattr(dialect, 'is_mariadb', False) else dialect.name)
    return since is not None and bool(dialect.server_version_info >= since)


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows of the same columns, in their order.

    :raises: what the database raises; ValueError for a value that a column does not take
    """
    names = tuple(rows[0])
    statement = _statement(connection.dialect, table, names)
    for start in range(0, len(rows), _MOST_ROWS):
        some = rows[start : start + _MOST_ROWS]
        connection.execute(statement, {'document': _document(connection.dialect, table, some)})


def _document(dialect: sa.Dialect, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> str:
    columns = []
    for name in rows[0]:
        check = _checker(dialect, table.c[name].type)
        values = [row[name] for row in rows]
        columns.append([check(value) for value in values] if check else values)
    return json.dumps([*zip(*columns, strict=True)], default=_as_text, ensure_ascii=False)


def _checker(dialect: sa.Dialect, kind: Any) -> Callable[[Any], Any] | None:
    """What a type of our own makes of a value; the others are as they are in JSON."""
    return kind.bind_processor(dialect) if isinstance(kind, sa.types.TypeDecorator) else None


def _as_text(value: Any) -> str:
    """A time as SQLite keeps it and as the servers read it."""
    if isinstance(value, datetime.datetime):
        return value.isoformat(' ', 'microseconds')
    raise ValueError(f'{value!r} has no place in a column')


@functools.lru_cache
def _statement(dialect: sa.Dialect, table: sa.Table, names: tuple[str, ...]) -> sa.Insert:
    if dialect.name == 'sqlite':
        query = _from_json_each(names)
    else:
        query = _from_json_table(names, [table.c[name].type.compile(dialect) for name in names])
    selected = sa.text(query).columns(*(table.c[name] for name in names))
    return table.insert().from_select(names, selected)


def _from_json_each(names: Sequence[str]) -> str:
    values = ', '.join(f"json_extract(value, '$[{place}]')" for place in range(len(names)))
    return f'SELECT {values} FROM json_each(:document)'


def _from_json_table(names: Sequence[str], types: Sequence[str]) -> str:
    columns = ', '.join(
        # What does not fit would be NULL otherwise.
        f"`{name}` {type_} PATH '$[{place}]' ERROR ON ERROR"
        for place, (name, type_) in enumerate(zip(names, types, strict=True))
    )
    return f"SELECT document.* FROM JSON_TABLE(:document, '$[*]' COLUMNS ({columns})) AS document"
