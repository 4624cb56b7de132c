# SPDX-License-Identifier: Apache-2.0
"""Tests of what servers ask for and do not get."""

import pathlib

import fixtures
import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import conf
from nova_cellmap import exception
from nova_cellmap.cells import database
from nova_cellmap.cells import target
from nova_cellmap.context import RequestContext
from nova_cellmap.db import guard
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests import greedy

_UUID = '11111111-1111-4111-8111-111111111111'


class _Case(tests_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.conf = conf.new(args=[], config_files=[])
        path = self.folder / 'mapping.sqlite'
        self.conf.set_override('connection', f'sqlite:///{path}', group='api_database')
        self.addCleanup(nova_cellmap.configure(self.conf).close)

    def cell_at(self, url: str) -> CellMapping:
        return CellMapping(uuid=_UUID, database_connection=url, transport_url='none:///')

    def read(self, cell: CellMapping) -> str:
        """Read a cell's database as the audit does; what is said where it cannot be."""
        try:
            with database.connect(cell) as reader:
                reader.rows(sa.select(sa.literal_column('1')), 1)
        except exception.CellUnreachable as error:
            return str(error)
        return ''

    def read_targeted(self, cell: CellMapping) -> str:
        """The same as a service does."""
        try:
            with (
                target.target_cell(RequestContext(overwrite=False), cell) as context,
                context.cell.reader() as connection,
            ):
                connection.exec_driver_sql('SELECT 1').all()
        except exception.CellUnreachable as error:
            return str(error)
        finally:
            target.forget([cell.uuid])
        return ''


class Mysql(_Case):
    def cell(self, server: greedy.Server) -> CellMapping:
        return self.cell_at(f'mysql+pymysql://nova:s3cret@127.0.0.1:{server.port}/x')

    def test_no_file_is_sent(self) -> None:
        path = self.folder / 'nova.conf'
        path.write_text('passwords')
        for read in (self.read, self.read_targeted):
            server = greedy.mysql(self, statement=b'\xfb' + str(path).encode())
            self.assertIn(_UUID, read(self.cell(server)))
            self.assertNotIn(b'passwords', server.heard)

    def test_nor_where_a_stored_url_asks_for_it(self) -> None:
        path = self.folder / 'nova.conf'
        path.write_text('passwords')
        for parameter in 'local_infile=1', f'read_default_file={path}', 'client_flag=128':
            for read in (self.read, self.read_targeted):
                server = greedy.mysql(self, statement=b'\xfb' + str(path).encode())
                cell = self.cell(server)
                cell.database_connection += f'?{parameter}'
                self.assertIn(parameter.partition('=')[0], read(cell))
                self.assertEqual(b'', server.heard)

    def test_no_password_is_sent_in_clear_text(self) -> None:
        for plugin in b'mysql_clear_password', b'dialog':
            for read in (self.read, self.read_targeted):
                server = greedy.mysql(self, plugin=plugin)
                self.assertIn('ssl_ca', read(self.cell(server)))
                self.assertIn(b'nova\0', server.heard)
                self.assertNotIn(b's3cret', server.heard)

    def test_nor_to_the_mapping_database(self) -> None:
        server = greedy.mysql(self, plugin=b'mysql_clear_password')
        connection = f'mysql+pymysql://nova:s3cret@127.0.0.1:{server.port}/x'
        self.conf.set_override('connection', connection, group='api_database')
        self.conf.set_override('db_max_retries', 0, group='api_database')
        nova_cellmap.configure(self.conf)
        context = RequestContext(overwrite=False)
        error = self.assertRaises(exception.DatabaseError, CellMapping.get_by_uuid, context, _UUID)
        self.assertIn('ssl_ca', str(error))
        self.assertNotIn(b's3cret', server.heard)


class Postgresql(_Case):
    def test_no_password_is_sent_in_clear_text(self) -> None:
        for parameters in '', '?sslmode=prefer', '?sslmode=disable', '?host=127.0.0.1':
            for read in (self.read, self.read_targeted):
                server = greedy.postgresql(self)
                url = f'postgresql+psycopg2://nova:s3cret@127.0.0.1:{server.port}/x{parameters}'
                self.assertIn('auth', read(self.cell_at(url)))
                self.assertNotIn(b's3cret', server.heard)

    def test_is_sent_where_the_url_says_so(self) -> None:
        server = greedy.postgresql(self)
        url = f'postgresql+psycopg2://nova:s3cret@127.0.0.1:{server.port}/x?require_auth=password'
        self.read(self.cell_at(url + '&connect_timeout=2'))
        self.assertIn(b's3cret', server.heard)


class Arguments(tests_base.TestCase):
    def arguments(self, url: str) -> dict[str, object]:
        return guard.arguments(sa.make_url(url))

    def test_files(self) -> None:
        for url in 'mysql+pymysql://h/x', 'mariadb://h/x', 'mysql+mysqldb://h/x?local_infile=1':
            self.assertIs(False, self.arguments(url)['local_infile'])

    def test_postgresql(self) -> None:
        for url in 'postgresql+psycopg2://h/x', 'postgresql+psycopg2://h/x?sslmode=require':
            self.assertEqual({'require_auth': '!password'}, self.arguments(url))
        for url in (
            'postgresql+psycopg2:///x?host=/var/run',
            'postgresql+psycopg2://%2Frun/x',
            'postgresql+psycopg2://h/x?sslmode=verify-full',
            'postgresql+psycopg2://h/x?require_auth=password',
            'sqlite:///x',
        ):
            self.assertEqual({}, self.arguments(url))
