# SPDX-License-Identifier: Apache-2.0
"""Which schema a database has."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import runtime
from nova_cellmap import url
from nova_cellmap.db import errors
from nova_cellmap.db.schemas import nova
from nova_cellmap.db.schemas import own
from nova_cellmap.db.schemas.schema import Schema


class Detected(runtime.Part):
    """The schema of a runtime's mapping database, found when it is first needed.

    :ivar found: the schema that was found; None before
    """

    def __init__(self, owner: Any) -> None:
        options = owner.conf.api_database
        self._wanted: str = options.schema
        self._database = url.mask(options.connection)
        self.found: Schema | None = None

    def schema(self, connection: sa.Connection) -> Schema:
        """The schema that is there, or ours where there is none yet.

        :raises: SchemaAmbiguous, SchemaMissing
        """
        return self.found or self._find(connection)

    def forget(self) -> None:
        """Look once more: what was there is not."""
        self.found = None

    def after_fork(self) -> bool:
        return True

    def _find(self, connection: sa.Connection) -> Schema:
        if self._wanted == 'own':
            self.found = own.schema
            return own.schema
        novas = _Found(connection, nova.NEEDED)
        if self._wanted == 'auto':
            ours = _Found(connection, (own.cell_mapping.name, own.instance_mapping.name))
            if ours.are_all and novas.are_all:
                raise exception.SchemaAmbiguous(database=self._database)
            if ours.are_all:
                self.found = own.schema
                return own.schema
        novas.check_rights()
        if not novas.are_all:
            if self._wanted == 'auto':
                # One that is not there may come: it is not remembered.
                return own.schema
            raise self._missing(', '.join(novas.lacking))
        self.found = self._nova(connection)
        return self.found

    def _nova(self, connection: sa.Connection) -> Schema:
        columns = {
            name: tuple(connection.execute(_columns_of(name)).keys()) for name in nova.NEEDED
        }
        for name, needed in nova.NEEDED.items():
            missing = [column for column in needed if column not in columns[name]]
            if missing:
                raise self._missing(f'{", ".join(missing)} in {name}')
        return nova.make(
            connection.dialect,
            columns,
            _collations(connection),
            are_cells_checked=_refer(connection, 'instance_mappings', 'cell_mappings'),
        )

    def _missing(self, what: str) -> exception.SchemaMissing:
        return exception.SchemaMissing(
            f"The mapping database, {self._database}, is not Nova's API database, since it lacks "
            f'{what}. Check [api_database] connection and schema: `nova-manage api_db sync` makes '
            'one.',
            database=self._database,
        )


class _Found:
    """Which of some tables are there.

    A view is, and so is what another schema of PostgreSQL's ``search_path`` has.

    :ivar lacking: those that are not
    """

    def __init__(self, connection: sa.Connection, names: Iterable[str]) -> None:
        self.lacking: list[str] = []
        self._refusal: Exception | None = None
        inspector = sa.inspect(connection)
        for name in sorted(names):
            try:
                if not inspector.has_table(name):
                    self.lacking.append(name)
            except errors.DRIVER as error:
                # MariaDB, of a table that it may not show to this user: there or not.
                if errors.kind_of(error) is not errors.Kind.DENIED:
                    raise
                self._refusal = error

    @property
    def are_all(self) -> bool:
        return not self.lacking and self._refusal is None

    def check_rights(self) -> None:
        """:raises: what the database said of a table that may not be read"""
        if self._refusal is not None:
            raise self._refusal


def _refer(connection: sa.Connection, table: str, other: str) -> bool:
    """Whether the database itself looks after what a table refers to.

    MariaDB's other engines know no foreign keys, tools that copy a table lose them, and a view
    has none.
    """
    try:
        keys = sa.inspect(connection).get_foreign_keys(table)
    except sa.exc.NoSuchTableError:
        return False
    finally:
        # On MariaDB it leaves the connection with errors that nobody is told of: what comes
        # next over it would not be translated.
        connection.execution_options(skip_user_error_events=False)
    return any(key['referred_table'] == other for key in keys)


def _collations(connection: sa.Connection) -> dict[tuple[str, str], str]:
    if connection.dialect.name not in ('mysql', 'mariadb'):
        return {}
    query = _COLLATIONS.bindparams(tables=[*nova.NEEDED])
    return {(table, column): name for table, column, name in connection.execute(query)}


_COLLATIONS = sa.text(
    'SELECT table_name, column_name, collation_name FROM information_schema.columns'
    ' WHERE table_schema = DATABASE() AND table_name IN :tables AND collation_name IS NOT NULL'
).bindparams(sa.bindparam('tables', expanding=True))


def _columns_of(table: str) -> sa.TextClause:
    return sa.text(f'SELECT * FROM {table} WHERE 1 = 0')
