# SPDX-License-Identifier: Apache-2.0
"""The commands with a user who may only read, and what they say of a right that is missing."""

from typing import Any
import uuid

import sqlalchemy as sa

from nova_cellmap import nova_cell
from nova_cellmap.cli import status
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.cli import base


@functional_base.on_both_schemas
class OnlyReading(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        cell0 = cells_base.url_of(self.new_nova())
        self.assert_succeeds('cell_v2', 'map_cell0', '--database_connection', cell0)
        self.uuid = nova_cell.add(self.nova)
        self.make_mapping(instance_uuid=self.uuid, cell_uuid=self.cell.uuid)
        nova_cell.add(self.nova)
        self.new_cell('empty')
        self.user = f'reader{uuid.uuid4().hex[:12]}'
        url = sa.make_url(self.database.url)
        if self.kind == 'sqlite':
            url = sa.make_url(f'sqlite:///file:{url.database}?mode=ro&uri=true')
        else:
            self.make_user(url)
            url = url.set(username=self.user, password=base.SECRET)
        self.use(url)

    def use(self, url: sa.URL) -> None:
        connection = url.render_as_string(hide_password=False)
        self.configure(api_database={'connection': connection})

    def make_user(self, url: sa.URL) -> None:
        if self.kind == 'mariadb':
            who = f"'{self.user}'@'%'"
            self.ask(f"CREATE USER {who} IDENTIFIED BY '{base.SECRET}'")
            self.addCleanup(self.ask, f'DROP USER {who}')
            self.ask(f'GRANT SELECT ON {url.database}.* TO {who}')
        else:
            self.ask(f"CREATE ROLE {self.user} LOGIN PASSWORD '{base.SECRET}'")
            self.addCleanup(self.ask, f'DROP OWNED BY {self.user}', f'DROP ROLE {self.user}')
            self.ask(f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO {self.user}')

    def ask(self, *statements: str) -> None:
        engine = fixtures.engine(self.database.url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))

    def test_it_is_enough_for_what_only_reads(self) -> None:
        for expected, command in (
            (0, ('list_cells',)),
            (0, ('list_instances', '--cell', 'cell1')),
            (0, ('show_instance', self.uuid)),
            (0, ('verify_instance', '--uuid', self.uuid)),
            (0, ('stats',)),
            (1, ('audit', '--cell', 'cell1')),
        ):
            self.assert_ends(expected, self.call('cell_v2', *command))
        self.assert_succeeds('db', 'version')
        checks = self.call('upgrade', 'check', '-f', 'json', main=status.main)
        others = [row for row in self.assert_ends(1, checks).json if row['result'] != 'success']
        self.assertEqual(['a sample is correct'], [row['check'] for row in others])
        self.assertIn('1 missing', others[0]['details'])

    def test_what_writes_says_which_right_is_missing(self) -> None:
        urls = '--database_connection', 'none:///', '--transport-url', 'none:///'
        before = self.rows()
        for right, command in (
            ('INSERT', ('map_instances', '--cell', 'cell1')),
            ('INSERT', ('audit', '--cell', 'cell1', '--repair')),
            # Nova's table sees to no unique names: the cells are locked first.
            ('(INSERT|UPDATE)', ('create_cell', '--name', 'new', *urls)),
            ('UPDATE', ('update_cell', '--cell', 'cell1', '--disable')),
            ('DELETE', ('delete_cell', '--cell', 'empty')),
        ):
            outcome = self.assert_ends(69, self.call('cell_v2', *command))
            self.assertIn('lacks a right', outcome.err)
            self.assertRegex(outcome.err, 'read only' if self.kind == 'sqlite' else right)
        self.assertEqual(before, self.rows())

    def rows(self) -> list[Any]:
        return [self.execute(table.select()) for table in (self.cell_table, self.mapping_table)]

    def test_what_is_granted_is_enough(self) -> None:
        tables = self.mapping_table.name, self.cell_table.name
        if self.kind == 'sqlite':
            self.use(sa.make_url(self.database.url))
        for table in (
            tables if self.schema == 'nova' else [each.name for each in self.own_tables()]
        ):
            if self.kind == 'mariadb':
                name = sa.make_url(self.database.url).database
                self.ask(f"GRANT INSERT, UPDATE, DELETE ON {name}.{table} TO '{self.user}'@'%'")
            elif self.kind == 'postgresql':
                self.ask(f'GRANT INSERT, UPDATE, DELETE ON {table} TO {self.user}')
                if table in tables:
                    self.ask(f'GRANT USAGE ON SEQUENCE {table}_id_seq TO {self.user}')
        urls = '--database_connection', 'none:///', '--transport-url', 'none:///'
        for command in (
            ('map_instances', '--cell', 'cell1'),
            ('create_cell', '--name', 'new', *urls),
            ('update_cell', '--cell', 'new', '--disable'),
            ('delete_cell', '--cell', 'new'),
            ('delete_cell', '--cell', 'empty'),
            ('audit', '--repair', '--purge'),
        ):
            self.assert_succeeds('cell_v2', *command)

    def own_tables(self) -> list[sa.Table]:
        return list(self.cell_table.metadata.sorted_tables)
