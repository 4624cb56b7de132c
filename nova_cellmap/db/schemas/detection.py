# SPDX-License-Identifier: Apache-2.0
"""Which schema a database has."""

from typing import Any

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import runtime
from nova_cellmap import url
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
        tables = set(sa.inspect(connection).get_table_names())
        is_nova = tables.issuperset(nova.NEEDED)
        is_own = tables.issuperset((own.cell_mapping.name, own.instance_mapping.name))
        if self._wanted == 'auto':
            if is_nova and is_own:
                raise exception.SchemaAmbiguous(database=self._database)
            if not is_nova:
                # One that is not there may come: it is not remembered.
                self.found = own.schema if is_own else None
                return own.schema
        elif not is_nova:
            raise self._missing(', '.join(sorted(nova.NEEDED.keys() - tables)))
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
        return nova.make(connection.dialect, columns)

    def _missing(self, what: str) -> exception.SchemaMissing:
        return exception.SchemaMissing(
            f"The mapping database, {self._database}, is not Nova's API database, since it lacks "
            f'{what}. Check [api_database] connection and schema: `nova-manage api_db sync` makes '
            'one.',
            database=self._database,
        )


def _columns_of(table: str) -> sa.TextClause:
    return sa.text(f'SELECT * FROM {table} WHERE 1 = 0')
