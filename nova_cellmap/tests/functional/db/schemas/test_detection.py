# SPDX-License-Identifier: Apache-2.0
"""Which schema is there, and what is said where none is, or both are."""

import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import context
from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.db import engine as db_engine
from nova_cellmap.db.schemas import nova
from nova_cellmap.tests import fixtures
from nova_cellmap.tests import nova_schema
from nova_cellmap.tests.functional import base


@base.on_each_database
class Detection(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.empty = self.useFixture(fixtures.Database(self.kind, schema='nova'))
        self.other = self.empty.engine()
        with self.other.connect():
            """SQLite's file comes to be with the first connection."""

    def configure(self, schema: str) -> None:
        nova_cellmap.configure(self.empty.conf(schema=schema))

    def cells(self) -> list[api.Row]:
        return api.cell_mapping_get_all(context.get_admin_context())

    def test_what_comes_later_is_found(self) -> None:
        for schema in ('auto', 'nova', 'own'):
            self.configure(schema)
            self.assertRaises(exception.SchemaMissing, self.cells)
        self.configure('auto')
        self.assertRaises(exception.SchemaMissing, self.cells)
        nova_schema.make(db_engine.of().writer)
        self.assertEqual([], self.cells())
        self.configure('own')
        self.assertRaises(exception.SchemaMissing, self.cells)
        self.configure('nova')
        self.assertEqual([], self.cells())

    def test_with_a_pool_of_one_connection(self) -> None:
        nova_schema.make(self.other)
        conf = self.empty.conf(max_pool_size=1, max_overflow=0, pool_timeout=1)
        nova_cellmap.configure(conf)
        found = api.instance_mapping_get_all(context.get_admin_context())
        self.assertEqual([], found)

    def test_both(self) -> None:
        with fixtures.engine(self.empty.url).begin() as connection:
            for name in ('cell_mapping', 'instance_mapping', *nova.NEEDED):
                connection.execute(sa.text(f'CREATE TABLE {name} (id INTEGER)'))
        self.configure('auto')
        error = self.assertRaises(exception.SchemaAmbiguous, self.cells)
        self.assertIn('[api_database] schema', str(error))
        self.configure('nova')
        # It is not Nova's: it lacks columns.
        missing = self.assertRaises(exception.SchemaMissing, self.cells)
        self.assertIn('uuid', str(missing))

    def test_views(self) -> None:
        nova_schema.make(self.other)
        with self.other.begin() as connection:
            connection.execute(sa.text('ALTER TABLE instance_mappings RENAME TO kept'))
            connection.execute(sa.text('CREATE VIEW instance_mappings AS SELECT * FROM kept'))
        for schema in ('auto', 'nova'):
            self.configure(schema)
            self.assertEqual([], self.cells())


class SearchPath(base.TestCase):
    """Tables in another schema of PostgreSQL than the first of its search_path."""

    kind = 'postgresql'

    def test_they_are_found(self) -> None:
        database = self.useFixture(fixtures.Database(self.kind, schema='nova'))
        with database.engine().begin() as connection:
            connection.execute(sa.text('CREATE SCHEMA apart'))
        url = database.url
        database.url = f'{url}?options=-csearch_path%3Dapart'
        nova_schema.make(database.engine())
        database.url = f'{url}?options=-csearch_path%3Dpublic,apart'
        nova_cellmap.configure(database.conf())
        self.assertEqual([], api.cell_mapping_get_all(context.get_admin_context()))


class Rights(base.TestCase):
    """MariaDB does not tell a user of single tables whether others are there."""

    kind = 'mariadb'

    def setUp(self) -> None:
        super().setUp()
        self.database = self.useFixture(fixtures.Database(self.kind, schema='nova'))
        self.database.make_schema()

    def grant(self, *tables: str) -> None:
        url = sa.make_url(self.database.url)
        name = f'u{base.new_uuid()[:8]}'
        with fixtures.engine(self.database.url).begin() as connection:
            for place in ('%%', 'localhost'):
                user = f"{name}@'{place}'"
                connection.exec_driver_sql(f'CREATE USER {user}')
                self.addCleanup(self.drop, user)
                for table in tables:
                    connection.exec_driver_sql(f'GRANT SELECT ON {table} TO {user}')
        shown = url.set(username=name).render_as_string(hide_password=False)
        nova_cellmap.configure(self.database.conf(connection=shown))

    def drop(self, user: str) -> None:
        with fixtures.engine(self.database.url).begin() as connection:
            connection.exec_driver_sql(f'DROP USER {user}')

    def cells(self) -> list[api.Row]:
        return api.cell_mapping_get_all(context.get_admin_context())

    def test_those_that_are_needed(self) -> None:
        self.grant(*nova.NEEDED)
        self.assertEqual([], self.cells())

    def test_one_that_is_missing_is_named(self) -> None:
        self.grant('cell_mappings')
        error = self.assertRaises(exception.DatabaseError, self.cells)
        self.assertIn('instance_mappings', str(error))
        self.assertIn('denied', str(error))
