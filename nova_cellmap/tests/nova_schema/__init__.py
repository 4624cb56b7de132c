# SPDX-License-Identifier: Apache-2.0
"""Nova's own schema of its API database, as Nova makes it.

``sqlite.sql``, ``mariadb.sql`` and ``postgresql.sql`` are what ``nova-manage api_db sync`` of Nova
34 makes on each kind of database: ``tools/nova_schema.py`` writes them, and a test beside Nova
compares. On SQLite databases that Nova 26 and 30 made have the same schema, but for the revision
that 26 notes. ``old.sql`` has the tables of a release before alembic and before ``disabled``,
``queued_for_delete`` and ``user_id``, as far as they matter here.
"""

from collections.abc import Iterator
import pathlib
import re
from typing import Any, NamedTuple

import sqlalchemy as sa

# What a server is told of a database for Nova, as Nova's documentation has it: of some tables Nova
# says no character set.
CREATED_WITH = {
    'sqlite': '',
    'mariadb': 'CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci',
    'postgresql': '',
}

# Those of which tests write rows, in an order in which they can be emptied.
TABLES = (
    'instance_mappings',
    'host_mappings',
    'build_requests',
    'request_specs',
    'instance_group_member',
    'instance_groups',
    'cell_mappings',
)

_FOLDER = pathlib.Path(__file__).parent


def file(name: str) -> pathlib.Path:
    """Where a schema is kept: by the kind of database, or ``old``."""
    return _FOLDER / f'{name}.sql'


def make(engine: sa.Engine, name: str | None = None) -> None:
    """Make the schema in an empty database.

    :param name: ``old`` for the old one
    """
    text = file(name or _kind(engine)).read_text()
    with engine.begin() as connection:
        if engine.dialect.name in ('mysql', 'mariadb'):
            # The tables come in the order of their names.
            connection.exec_driver_sql('SET SESSION foreign_key_checks = 0')
        for statement in text.split(';\n'):
            if statement.strip():
                connection.exec_driver_sql(statement.replace('%', '%%'))
        if engine.dialect.name in ('mysql', 'mariadb'):
            connection.exec_driver_sql('SET SESSION foreign_key_checks = 1')


def dump(engine: sa.Engine) -> str:
    """The statements that make the schema of a database, the revision of alembic among them."""
    of_kind = {'sqlite': _sqlite, 'mariadb': _mysql, 'postgresql': _postgresql}[_kind(engine)]
    with engine.connect() as connection:
        statements = [*of_kind(connection), *_revision(connection)]
    return ''.join(f'{statement};\n' for statement in statements)


class Besides(NamedTuple):
    """All of a database besides the rows of ``cell_mappings`` and ``instance_mappings``."""

    schema: str
    rows: dict[str, list[tuple[Any, ...]]]


def besides(engine: sa.Engine) -> Besides:
    """What nova_cellmap leaves as it is."""
    rows = {}
    with engine.connect() as connection:
        names = set(sa.inspect(connection).get_table_names()) - {
            'cell_mappings',
            'instance_mappings',
        }
        for name in sorted(names):
            found = connection.execute(sa.text(f'SELECT * FROM {name}'))
            rows[name] = [tuple(row) for row in found]
    return Besides(dump(engine), rows)


def _kind(engine: sa.Engine) -> str:
    return engine.dialect.name.replace('mysql', 'mariadb')


def _revision(connection: sa.Connection) -> Iterator[str]:
    if sa.inspect(connection).has_table('alembic_version'):
        for revision in connection.exec_driver_sql('SELECT version_num FROM alembic_version'):
            yield f"INSERT INTO alembic_version VALUES ('{revision[0]}')"


def _sqlite(connection: sa.Connection) -> Iterator[str]:
    query = "SELECT sql FROM sqlite_master WHERE sql <> '' ORDER BY tbl_name, type DESC, name"
    for (statement,) in connection.exec_driver_sql(query):
        yield re.sub(r'[ \t]+\n', '\n', statement)


def _mysql(connection: sa.Connection) -> Iterator[str]:
    for name in sorted(sa.inspect(connection).get_table_names()):
        [(_, statement)] = connection.exec_driver_sql(f'SHOW CREATE TABLE `{name}`')
        # Nova leaves the engine to the server, and the order of a table's indexes to chance.
        first, *lines, last = re.sub(r' AUTO_INCREMENT=\d+', '', statement).split('\n')
        last = re.sub(r'ENGINE=\w+', 'ENGINE=InnoDB', last)
        lines = sorted((line.removesuffix(',') for line in lines), key=_key_of_index)
        yield '\n'.join([first, ',\n'.join(lines), last])


def _key_of_index(line: str) -> tuple[int, str]:
    word = line.split()[0]
    kinds = ('PRIMARY', 'UNIQUE', 'KEY', 'CONSTRAINT')
    place = 0 if word.startswith('`') else 1 + kinds.index(word)
    return place, line if place else ''


def _postgresql(connection: sa.Connection) -> Iterator[str]:
    yield from connection.scalars(sa.text(_TYPES))
    yield from connection.scalars(sa.text(_TABLES))
    yield from connection.scalars(sa.text(_CONSTRAINTS))
    yield from connection.scalars(sa.text(_INDEXES))


_TYPES = """
SELECT 'CREATE TYPE ' || t.typname || ' AS ENUM ('
       || string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) || ')'
FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid
WHERE t.typnamespace = current_schema()::regnamespace GROUP BY t.typname ORDER BY t.typname
"""
# A default of a sequence of the column's own is what SERIAL means.
_TABLES = """
SELECT 'CREATE TABLE ' || quote_ident(c.relname) || E' (\n    ' || string_agg(
           quote_ident(a.attname) || ' ' || CASE
               WHEN pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%'
               THEN replace(format_type(a.atttypid, a.atttypmod), 'integer', 'serial')
               ELSE format_type(a.atttypid, a.atttypmod)
                   || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') END
           || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END,
           E',\n    ' ORDER BY a.attnum) || E'\n)'
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
GROUP BY c.relname ORDER BY c.relname COLLATE "C"
"""
# What others refer to comes before they do. Those for NOT NULL are of the columns.
_CONSTRAINTS = """
SELECT 'ALTER TABLE ' || quote_ident(c.relname) || ' ADD CONSTRAINT ' || quote_ident(s.conname)
       || ' ' || pg_get_constraintdef(s.oid)
FROM pg_constraint s JOIN pg_class c ON c.oid = s.conrelid
WHERE s.connamespace = current_schema()::regnamespace AND s.contype <> 'n'
ORDER BY s.contype = 'f', c.relname COLLATE "C", s.conname COLLATE "C"
"""
_INDEXES = """
SELECT replace(pg_get_indexdef(i.indexrelid), current_schema() || '.', '')
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class n ON n.oid = i.indexrelid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
      AND NOT EXISTS (SELECT FROM pg_constraint s WHERE s.conindid = i.indexrelid
                      AND s.contype <> 'f')
ORDER BY c.relname COLLATE "C", n.relname COLLATE "C"
"""
