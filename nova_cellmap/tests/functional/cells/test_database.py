# SPDX-License-Identifier: Apache-2.0
"""Connecting to a cell's database."""

import pathlib
import socket
from typing import Any

import fixtures
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.cells import database
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.cells import servers

_SECRET = 'sekret'


class _Case(cells_base.TestCase):
    def cell_at(self, url: str) -> CellMapping:
        return self.make_cell(name='odd', database_connection=url)

    def reason(self, cell: CellMapping) -> str:
        """What is said where the cell cannot be read; it names the cell and no password."""
        error = self.assertRaises(exception.CellUnreachable, self.count, cell)
        self.assertIn(cell.identity, str(error))
        self.assertNotIn(_SECRET, str(error))
        return str(error)

    def count(self, cell: CellMapping, table: str = 'instances') -> int:
        with database.connect(cell) as reader:
            query = sa.select(sa.column('id', sa.Integer)).select_from(sa.table(table))
            return len(reader.rows(query, 100))


@base.on_each_database
class Connect(_Case):
    def test_the_rows_of_a_cell_can_be_read(self) -> None:
        nova_cell.fill(self.nova, 3)
        self.assertEqual(3, self.count(self.cell))

    def test_each_statement_sees_what_was_committed_before_it(self) -> None:
        query = sa.select(sa.func.count()).select_from(sa.table('instances'))
        with database.connect(self.cell) as reader:
            self.assertEqual([(0,)], reader.rows(query, 1))
            nova_cell.add(self.nova)
            self.assertEqual([(1,)], reader.rows(query, 1))

    def test_a_statement_that_fails_says_so(self) -> None:
        error = self.assertRaises(exception.CellUnreachable, self.count, self.cell, 'nosuch')
        self.assertIn('nosuch', str(error))

    def test_errors_of_others_inside_the_block_pass(self) -> None:
        def fail() -> None:
            with database.connect(self.cell):
                raise exception.DatabaseBusy()

        self.assertRaises(exception.DatabaseBusy, fail)


class _Server(_Case):
    """What a server may say instead of answering."""

    def reason_of(self, **changes: Any) -> str:
        url = self.nova.url.set(**changes)
        return self.reason(self.cell_at(url.render_as_string(hide_password=False)))

    def test_a_database_that_is_not_there(self) -> None:
        self.assertIn('nosuch', self.reason_of(database='nosuch'))

    def test_a_host_that_refuses(self) -> None:
        with socket.create_server(('127.0.0.1', 0)) as server:
            port = server.getsockname()[1]
        self.assertIn('efused', self.reason_of(port=port, password=_SECRET))

    def test_a_login_that_is_refused(self) -> None:
        self.assertIn('nosuch', self.reason_of(username='nosuch', password=_SECRET))


class ServerMariadb(_Server):
    kind = 'mariadb'


class ServerPostgresql(_Server):
    kind = 'postgresql'


# Nothing to be run by itself.
del _Server


class Urls(_Case):
    """URLs that lead nowhere, whatever the kind."""

    def test_a_cell_without_a_database(self) -> None:
        self.assertIn('it has none', self.reason(self.cell_at('none:///')))

    def test_a_template_that_nothing_fills(self) -> None:
        cell = self.cell_at('mysql+pymysql://nova:sekret@{hostname}/nova_cell1')
        self.assertIn('[database] connection', self.reason(cell))

    def test_what_is_no_url(self) -> None:
        for url in ('nova_cell1', 'nosuch://nova:sekret@db/x', 'mysql://nova:sekret@db:port/x'):
            cell = self.stored_cell(name=url[:6], database_connection=url)
            self.assertIn('Not a usable database URL', self.reason(cell))

    def test_a_parameter_that_the_driver_does_not_know(self) -> None:
        url = 'mysql+pymysql://nova:sekret@127.0.0.1:1/x?nosuch=1'
        cell = self.stored_cell(database_connection=url)
        self.assertIn('nosuch', self.reason(cell))

    def test_a_host_that_says_nothing(self) -> None:
        self.conf.set_override('read_timeout', 1, 'cells')
        url = servers.mariadb_at(servers.silent_port(self))
        self.assertIn('timed out', self.reason(self.cell_at(url)))

    def test_a_file_of_its_url_that_is_missing(self) -> None:
        url = 'mysql+pymysql://nova:sekret@127.0.0.1:1/x?ssl_ca=/missing/ca.pem'
        self.assertIn('/missing/ca.pem', self.reason(self.cell_at(url)))

    def test_what_the_url_says_of_timeouts_has_precedence(self) -> None:
        url = 'mysql+pymysql://nova@db/nova?read_timeout=7&charset=utf8'
        self.conf.set_override('connect_timeout', 3, 'cells')
        found = sa.make_url(database.engine_url(self.cell_at(url), self.conf)).query
        # But not of the character set: in that one, some text would be lost.
        expected = {'connect_timeout': '3', 'read_timeout': '7', 'charset': 'utf8mb4'}
        self.assertEqual(expected, {name: found[name] for name in expected})

    def test_a_missing_file_is_not_created(self) -> None:
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path, 'missing.sqlite')
        self.assertIn(str(path), self.reason(self.cell_at(f'sqlite:///{path}')))
        self.assertFalse(path.exists())

    def test_a_file_that_is_no_database(self) -> None:
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path, 'text')
        path.write_text('no database' * 100)
        self.assertIn('not a database', self.reason(self.cell_at(f'sqlite:///{path}')))
        self.assertEqual('no database' * 100, path.read_text())
