# SPDX-License-Identifier: Apache-2.0
"""Whether a database has what its version says, and what releases before left in it.

The version is a number in a table: it tells what was done once, not what is there.
"""

from collections.abc import Iterator
import contextlib
from typing import Any

import sqlalchemy as sa
from sqlalchemy import schema

from nova_cellmap.db import column_check
from nova_cellmap.db import engine as db_engine
from nova_cellmap.db import errors
from nova_cellmap.db.schemas import own

_mapping = own.instance_mapping.c


def missing() -> list[str]:
    """What is not as the models have it, each with what to do about it.

    :raises: :exc:`nova_cellmap.exception.DatabaseUnreachable`
    """
    with _connected(db_engine.of().writer) as connection:
        return [
            problem
            for table in own.metadata.sorted_tables
            for problem in _of_table(connection, table)
        ]


def encoding() -> str | None:
    """The encoding of a PostgreSQL database that cannot keep all text; None where it can.

    :raises: :exc:`nova_cellmap.exception.DatabaseUnreachable`
    """
    engine = db_engine.of().writer
    if engine.dialect.name != 'postgresql':
        return None
    with _connected(engine) as connection:
        found = str(connection.exec_driver_sql('SHOW server_encoding').scalar_one())
    return None if found == 'UTF8' else found


def count_damaged() -> int:
    """How many mappings may have lost text when they were inserted.

    Release 0.1.0 put a ``?`` in the place of a character that a MariaDB or MySQL
    database's own character set lacks, where they inserted many at once.

    :raises: :exc:`nova_cellmap.exception.DatabaseUnreachable`
    """
    engine = db_engine.of().reader
    if engine.dialect.name not in ('mysql', 'mariadb'):
        return 0
    # One index has both.
    query = sa.select(sa.func.count()).where(
        sa.or_(_mapping.project_id.contains('?'), _mapping.user_id.contains('?'))
    )
    with _connected(engine) as connection:
        return int(connection.execute(query).scalar_one())


@contextlib.contextmanager
def _connected(engine: sa.Engine) -> Iterator[sa.Connection]:
    try:
        with errors.connect(engine) as connection:
            yield connection
    except errors.DRIVER as error:
        made = errors.of_mapping(error, db_engine.of().shown_url)
        raise made from errors.without_rows(error)


def _of_table(connection: sa.Connection, table: sa.Table) -> Iterator[str]:
    inspector = sa.inspect(connection)
    if not inspector.has_table(table.name):
        yield (
            f'The table {table.name} is missing: restore it from a backup. (Without one: '
            f'{_ddl(connection, schema.CreateTable(table))}; then `cell_v2 map_instances` and '
            '`cell_v2 audit --repair` fill it from the cells.)'
        )
        return
    found = {column['name']: column for column in inspector.get_columns(table.name)}
    for column in table.columns:
        if column.name not in found:
            yield f'The column {table.name}.{column.name} is missing: restore it from a backup.'
        else:
            yield from column_check.of_column(connection, column, found[column.name])
    yield from column_check.of_others(table, found)
    yield from _of_indexes(connection, table, found.keys())
    yield from _of_constraints(connection, table)
    if connection.dialect.name in ('mysql', 'mariadb'):
        yield from _of_mysql_table(connection, table)
    if connection.dialect.name == 'postgresql':
        yield from _of_postgresql_table(connection, table)


def _of_indexes(connection: sa.Connection, table: sa.Table, columns: Any) -> Iterator[str]:
    found = [
        (tuple(index['column_names']), bool(index['unique']))
        for index in sa.inspect(connection).get_indexes(table.name)
        # One of parts of the columns finds less.
        if not any(_mysql_lengths(index))
    ]
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        wanted = tuple(column.name for column in index.columns)
        if (wanted, bool(index.unique)) not in found and columns >= set(wanted):
            ddl = _ddl(connection, schema.CreateIndex(index))
            yield f'The index {index.name} is missing: run `{ddl}`.'


def _mysql_lengths(index: Any) -> Any:
    return (index.get('dialect_options') or {}).get('mysql_length') or ()


def _of_constraints(connection: sa.Connection, table: sa.Table) -> Iterator[str]:
    inspector = sa.inspect(connection)
    found = [
        (tuple(key['constrained_columns']), key['referred_table'], tuple(key['referred_columns']))
        for key in inspector.get_foreign_keys(table.name)
    ]
    for key in sorted(table.foreign_key_constraints, key=lambda each: str(each.name)):
        [element] = key.elements
        wanted = (
            (element.parent.name,),
            element.column.table.name,
            (element.column.name,),
        )
        if wanted not in found:
            ddl = _ddl(connection, schema.AddConstraint(key))
            yield f'The foreign key {key.name} is missing: run `{ddl}`.'
    keys = inspector.get_pk_constraint(table.name)['constrained_columns']
    if keys != [column.name for column in table.primary_key.columns]:
        yield f'The primary key of {table.name} is missing: restore the table from a backup.'


def _of_mysql_table(connection: sa.Connection, table: sa.Table) -> Iterator[str]:
    exact = own.exact_collation(connection.dialect)
    name = {'name': table.name}
    engine = connection.execute(_ENGINE, name).scalar_one()
    if engine != 'InnoDB':
        ddl = f'ALTER TABLE {table.name} ENGINE=InnoDB'
        yield f'The table {table.name} is of {engine}: run `{ddl}`.'
    odd = connection.execute(_COLLATIONS, {**name, 'exact': exact}).all()
    if odd:
        columns = ', '.join(f'{column} ({collation})' for column, collation in odd)
        yield (
            f'Text in {table.name} does not compare exactly: {columns}. Run `SET '
            f'foreign_key_checks=0; ALTER TABLE {table.name} CONVERT TO CHARACTER SET utf8mb4 '
            f'COLLATE {exact}`.'
        )


def _of_postgresql_table(connection: sa.Connection, table: sa.Table) -> Iterator[str]:
    for name, collation in connection.execute(_INEXACT, {'name': table.name}).all():
        column = table.columns.get(name)
        if column is None:
            continue
        kind = column.type.compile(dialect=connection.dialect)
        ddl = f'ALTER TABLE {table.name} ALTER COLUMN {name} TYPE {kind} COLLATE "default"'
        yield (
            f'Text in {table.name} does not compare exactly: {name} ({collation}). Run `{ddl}`.'
        )


_INEXACT = sa.text(
    'SELECT attname, collname FROM pg_attribute JOIN pg_collation c ON c.oid = attcollation'
    ' WHERE attrelid = to_regclass(:name) AND NOT attisdropped AND NOT collisdeterministic'
    ' ORDER BY attnum'
)
_ENGINE = sa.text(
    'SELECT engine FROM information_schema.tables'
    ' WHERE table_schema = DATABASE() AND table_name = :name'
)
_COLLATIONS = sa.text(
    'SELECT column_name, collation_name FROM information_schema.columns'
    ' WHERE table_schema = DATABASE() AND table_name = :name'
    ' AND collation_name IS NOT NULL AND collation_name <> :exact ORDER BY ordinal_position'
)


def _ddl(connection: sa.Connection, statement: Any) -> str:
    return ' '.join(str(statement.compile(dialect=connection.dialect)).split())
