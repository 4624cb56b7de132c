# SPDX-License-Identifier: Apache-2.0
"""The steps that the schema's history is made of.

Each step asks the database whether it was done already. So a script that was killed
halfway finishes when it runs again, also on MariaDB and MySQL, where DDL cannot be
rolled back. Scripts that were released call these functions: what a function here
does to a database must not change any more.

The tables, columns and constraints that the functions take are those that a script
defines for itself, as they are when the script has run.
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import schema
from sqlalchemy.engine import interfaces

from nova_cellmap.db.schemas import own


def create_table(connection: sa.Connection, table: sa.Table) -> None:
    """Create the table and its indexes."""
    _set_mysql_options(connection, table)
    if not sa.inspect(connection).has_table(table.name):
        connection.execute(schema.CreateTable(table))
    # Not part of the statement above: a process may be killed between them.
    create_indexes(connection, table)


def create_indexes(connection: sa.Connection, table: sa.Table) -> None:
    """Create the indexes that the table lacks."""
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        index.create(connection, checkfirst=True)


def drop_index(connection: sa.Connection, table: sa.Table, name: str) -> None:
    """Drop an index of the table."""
    existing = sa.Table(table.name, sa.MetaData(), autoload_with=connection, resolve_fks=False)
    for index in existing.indexes:
        if index.name == name:
            index.drop(connection)


def add_column(connection: sa.Connection, column: sa.Column[Any]) -> None:
    """Add a column: a nullable one, or one with a server default."""
    if column.name not in _reflect_columns(connection, column):
        _alter(connection, column, f'ADD COLUMN {_definition(connection, column)}')


def make_nullable(connection: sa.Connection, column: sa.Column[Any]) -> None:
    """Let the column be NULL."""

    def change(table: sa.Table) -> None:
        table.columns[column.name].nullable = True

    if _reflect(connection, column)['nullable']:
        return
    if connection.dialect.name == 'sqlite':
        _rebuild_sqlite_table(connection, column.table.name, change)
    elif _is_mysql(connection):
        _alter(connection, column, f'MODIFY {_definition(connection, column)}')
    else:
        _alter(connection, column, f'ALTER COLUMN {column.name} DROP NOT NULL')


def widen_id(connection: sa.Connection, column: sa.Column[Any]) -> None:
    """Make an INTEGER that counts itself a BIGINT that counts on."""
    if connection.dialect.name == 'sqlite':
        return  # Its INTEGER holds 64 bits, and no other type counts itself.
    if isinstance(_reflect(connection, column)['type'], sa.BigInteger):
        return
    if _is_mysql(connection):
        _alter(connection, column, f'MODIFY {_definition(connection, column)}')
        return
    _alter(connection, column, f'ALTER COLUMN {column.name} TYPE BIGINT')
    # The sequence has a type, and with it an end, of its own.
    owned = sa.select(sa.func.pg_get_serial_sequence(column.table.name, column.name))
    sequence = connection.execute(owned).scalar_one()
    connection.exec_driver_sql(f'ALTER SEQUENCE {sequence} AS BIGINT')


def add_foreign_key(connection: sa.Connection, constraint: sa.ForeignKeyConstraint) -> None:
    """Add a foreign key. Give its columns an index first, or InnoDB adds one of its own."""

    def change(table: sa.Table) -> None:
        for target in constraint.elements:
            sa.Table(target.column.table.name, table.metadata, autoload_with=connection)
        targets = [target.target_fullname for target in constraint.elements]
        table.append_constraint(
            sa.ForeignKeyConstraint(constraint.column_keys, targets, name=constraint.name)
        )

    table = constraint.table.name
    if constraint.name in {key['name'] for key in sa.inspect(connection).get_foreign_keys(table)}:
        return
    if connection.dialect.name == 'sqlite':
        _rebuild_sqlite_table(connection, table, change)
    else:
        connection.execute(schema.AddConstraint(constraint))


def _rebuild_sqlite_table(
    connection: sa.Connection, name: str, change: Callable[[sa.Table], None]
) -> None:
    """Do what SQLite's ALTER TABLE cannot: copy the table into a changed one.

    It runs within the script's transaction, so nobody ever sees half of it. With an
    engine that is not the application's, an empty copy may be left of a killed process.
    """
    table = sa.Table(name, sa.MetaData(), autoload_with=connection)
    change(table)
    copy = table.to_metadata(table.metadata, name=f'{name}_changed')
    connection.execute(schema.DropTable(copy, if_exists=True))
    connection.execute(schema.CreateTable(copy))
    connection.execute(sa.insert(copy).from_select(table.columns.keys(), sa.select(table)))
    connection.execute(schema.DropTable(table))
    connection.exec_driver_sql(f'ALTER TABLE {copy.name} RENAME TO {name}')
    create_indexes(connection, table)


def _reflect(connection: sa.Connection, column: sa.Column[Any]) -> interfaces.ReflectedColumn:
    """The column as it is in the database."""
    return _reflect_columns(connection, column)[column.name]


def _reflect_columns(
    connection: sa.Connection, column: sa.Column[Any]
) -> dict[str, interfaces.ReflectedColumn]:
    columns = sa.inspect(connection).get_columns(column.table.name)
    return {reflected['name']: reflected for reflected in columns}


def _definition(connection: sa.Connection, column: sa.Column[Any]) -> str:
    return str(schema.CreateColumn(column).compile(dialect=connection.dialect))


def _alter(connection: sa.Connection, column: sa.Column[Any], change: str) -> None:
    connection.exec_driver_sql(f'ALTER TABLE {column.table.name} {change}')


def _is_mysql(connection: sa.Connection) -> bool:
    return connection.dialect.name in ('mysql', 'mariadb')


def _set_mysql_options(connection: sa.Connection, table: sa.Table) -> None:
    """Say what a server's or a database's defaults would decide otherwise.

    Names compare exactly, and a row format has place for the longest columns in an index.
    """
    if not _is_mysql(connection):
        return
    dialect = connection.dialect
    options = {
        'engine': 'InnoDB',
        'charset': 'utf8mb4',
        'collate': own.exact_collation(dialect),
        'row_format': 'DYNAMIC',
    }
    for option, value in options.items():
        table.kwargs[f'{dialect.name}_{option}'] = value
