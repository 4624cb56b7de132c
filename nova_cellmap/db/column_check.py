# SPDX-License-Identifier: Apache-2.0
"""Whether a column of the database is what the models have."""

from collections.abc import Iterator
import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy import schema

_MYSQL: dict[type[Any], tuple[str, ...]] = {
    sa.Text: ('TEXT', 'MEDIUMTEXT', 'LONGTEXT'),
    sa.String: ('VARCHAR',),
    sa.BigInteger: ('BIGINT',),
    sa.Integer: ('INTEGER', 'BIGINT'),
    sa.Boolean: ('TINYINT',),
    sa.DateTime: ('DATETIME',),
}
# What a column may be in each database, by what the models have; the first that fits holds. A
# CHAR is none of those for text: it pads, or drops blanks.
_TYPES: dict[str, dict[type[Any], tuple[str, ...]]] = {
    'mysql': _MYSQL,
    'mariadb': _MYSQL,
    'postgresql': {
        sa.Text: ('TEXT',),
        sa.String: ('VARCHAR',),
        sa.BigInteger: ('BIGINT',),
        sa.Integer: ('INTEGER', 'BIGINT'),
        sa.Boolean: ('BOOLEAN',),
        sa.DateTime: ('TIMESTAMP',),
    },
    # It goes by what is in the name of a type, and makes numbers of text where that is INT.
    'sqlite': {
        sa.String: ('VARCHAR', 'TEXT', 'CHAR', 'NVARCHAR', 'NCHAR', 'CLOB'),
        sa.Integer: ('INTEGER', 'BIGINT'),
        sa.Boolean: ('BOOLEAN', 'INTEGER', 'SMALLINT'),
        sa.DateTime: ('DATETIME', 'TIMESTAMP'),
    },
}
# Each default of the models is one of these, as a database spells it.
_ZERO_PATTERN = re.compile(r"[('\"]*(?:0|false)\b", re.I)


def of_column(connection: sa.Connection, column: sa.Column[Any], found: Any) -> Iterator[str]:
    """What is wrong with a column, each with what it should be.

    :param found: what SQLAlchemy's inspector says of it
    """
    name = f'{column.table.name}.{column.name}'
    wanted = _type_of(column, connection.dialect)
    yield from _of_type(connection, name, wanted, found['type'])
    if found['nullable'] != column.nullable and not column.primary_key:
        yield f'The column {name} should {"" if column.nullable else "not "}take NULL.'
    if found.get('computed'):
        yield f'The column {name} is generated from others, and takes no value.'
    if column.server_default is not None and not _ZERO_PATTERN.match(found['default'] or ''):
        default = found['default'] or 'none'
        yield f'The default of the column {name} is {default}, and should be 0 or false.'
    if column.autoincrement is True and not _counts_up(connection, column, found):
        yield (
            f'The column {name} gives no numbers to new rows: none can be made. '
            f'{_how_to_count_up(connection, column)}'
        )
    elif column.autoincrement is True and connection.dialect.name == 'postgresql':
        yield from _of_sequence(connection, column, wanted)


def of_others(table: sa.Table, found: dict[str, Any]) -> Iterator[str]:
    """Which columns that the models do not have let no row be inserted.

    :param found: what SQLAlchemy's inspector says of each column, by name
    """
    for name in sorted(found.keys() - set(table.columns.keys())):
        other = found[name]
        is_filled = other['default'] is not None or any(
            other.get(key) for key in ('autoincrement', 'identity', 'computed')
        )
        if not other['nullable'] and not is_filled:
            yield (
                f"The column {table.name}.{name} is none of nova_cellmap's, and lets no row be "
                'inserted: drop it, or give it a default.'
            )


def _type_of(column: sa.Column[Any], dialect: sa.Dialect) -> Any:
    wanted: Any = column.type.dialect_impl(dialect)
    return getattr(wanted, 'impl', wanted)


def _of_type(connection: sa.Connection, name: str, wanted: Any, found: Any) -> Iterator[str]:
    types = _TYPES[connection.dialect.name]
    fitting = next(names for kind, names in types.items() if isinstance(wanted, kind))
    # A time with a zone is read as another one.
    if type(found).__name__ not in fitting or getattr(found, 'timezone', False):
        should = wanted.compile(dialect=connection.dialect)
        said = 'of another type' if isinstance(found, sa.types.NullType) else found
        yield f'The column {name} is {said}, and should be {should}.'
        return
    length = getattr(found, 'length', None)
    if getattr(wanted, 'length', None) and length is not None and length < wanted.length:
        yield f'The column {name} holds {length} characters, and should hold {wanted.length}.'


def _counts_up(connection: sa.Connection, column: sa.Column[Any], found: Any) -> bool:
    if connection.dialect.name != 'sqlite':
        return bool(found.get('autoincrement') or found.get('identity'))
    # SQLAlchemy makes INTEGER of INT too, which does not count up.
    rows = connection.exec_driver_sql(f'PRAGMA table_info("{column.table.name}")').mappings()
    types = {row['name']: row['type'] for row in rows if row['pk']}
    return str(types.get(column.name)).upper() == 'INTEGER'


def _of_sequence(connection: sa.Connection, column: sa.Column[Any], wanted: Any) -> Iterator[str]:
    name = {'table': column.table.name, 'column': column.name}
    row = connection.execute(_SEQUENCE, name).one_or_none()
    kind = 'BIGINT' if isinstance(wanted, sa.BigInteger) else 'INTEGER'
    if row is not None and row.seqmax < _LARGEST[kind]:
        yield (
            f'The numbers of {column.table.name}.{column.name} end at {row.seqmax}: run '
            f'`ALTER SEQUENCE {row.sequence} AS {kind} MAXVALUE {_LARGEST[kind]}`.'
        )


_LARGEST = {'INTEGER': 2**31 - 1, 'BIGINT': 2**63 - 1}
_SEQUENCE = sa.text(
    'SELECT seqmax, CAST(CAST(seqrelid AS regclass) AS text) AS sequence FROM pg_sequence'
    ' WHERE seqrelid = CAST(pg_get_serial_sequence(:table, :column) AS regclass)'
)


def _how_to_count_up(connection: sa.Connection, column: sa.Column[Any]) -> str:
    table = column.table.name
    if connection.dialect.name == 'sqlite':
        return 'Restore the table from a backup.'
    if connection.dialect.name != 'postgresql':
        wanted = schema.CreateColumn(column).compile(dialect=connection.dialect)
        return f'Run `ALTER TABLE {table} MODIFY {wanted}`.'
    owned = sa.func.pg_get_serial_sequence(table, column.name)
    sequence = connection.execute(sa.select(owned)).scalar_one()
    alter = f'ALTER TABLE {table} ALTER COLUMN {column.name}'
    if sequence:
        return f"Run `{alter} SET DEFAULT nextval('{sequence}')`."
    return (
        f'Run `{alter} ADD GENERATED BY DEFAULT AS IDENTITY`, and `SELECT setval('
        f"pg_get_serial_sequence('{table}', '{column.name}'), max({column.name})) FROM {table}`."
    )
