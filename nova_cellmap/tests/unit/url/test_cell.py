# SPDX-License-Identifier: Apache-2.0
"""Tests of what may be stored as the URLs of a cell."""

from typing import Any

import fixtures
import hypothesis
from hypothesis import strategies as st
import sqlalchemy as sa

from nova_cellmap import url
from nova_cellmap.tests import base as tests_base
from nova_cellmap.url import parameters

_MYSQL = 'mysql+pymysql://nova:s3cret@db:3306/nova_cell1'
_POSTGRESQL = 'postgresql+psycopg2://nova:s3cret@db:5432/nova_cell1'


class _Case(tests_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # oslo.messaging warns of hosts without a login.
        self.useFixture(fixtures.FakeLogger())

    def assert_database(self, text: str, **options: Any) -> None:
        url.check_cell_database(text, **options)

    def assert_no_database(self, expected: str, text: str, **options: Any) -> None:
        error = self.assertRaises(url.InvalidURL, url.check_cell_database, text, **options)
        self.assertIn(expected, str(error))
        self.assertNotIn('s3cret', str(error))
        self.assertIsNone(error.__context__)

    def assert_no_transport(self, expected: str, text: str, **options: Any) -> None:
        error = self.assertRaises(url.InvalidURL, url.check_cell_transport, text, **options)
        self.assertIn(expected, str(error))
        self.assertNotIn('s3cret', str(error))


class Databases(_Case):
    def test_usual_ones(self) -> None:
        for text in (
            'none:///',
            _MYSQL,
            'mysql://nova:s3cret@db/nova_cell1',
            'mariadb+mysqldb://nova:s3cret@[::1]:3306/nova_cell1?compress=true&ssl_mode=REQUIRED',
            f'{_MYSQL}?charset=utf8&ssl_ca=/etc/ssl/ca.pem&ssl_verify_cert=true',
            f'{_MYSQL}?ssl_disabled=1',
            f'{_MYSQL}?ssl_cert=/a&ssl_key=/b&ssl_check_hostname=false&read_timeout=7',
            f'{_MYSQL}?init_command=SET+SESSION+wsrep_sync_wait%3D1',
            f"{_MYSQL}?init_command=set time_zone='%2B00:00', @@session.sql_mode = TRADITIONAL",
            'mysql+pymysql:///nova_cell1?unix_socket=/run/mysqld/mysqld.sock',
            'postgresql://nova:s3cret@db/nova_cell1?sslmode=verify-full&sslrootcert=/etc/ca.pem',
            'postgresql+psycopg://nova@db1,db2:5432/nova_cell1',
            'postgresql+psycopg2://u@/db?host=A:5432&host=B:5432&target_session_attrs=read-write',
            'postgresql+psycopg2:///db?host=/var/run/postgresql',
            f'{_POSTGRESQL}?options=-c%20statement_timeout%3D5000%20-cTimeZone%3DEurope/Vienna',
            f'{_POSTGRESQL}?hostaddr=192.0.2.7&sslmode=verify-full',
            'postgresql+psycopg2://u@/d?host=a,b&port=5432,5433&hostaddr=192.0.2.7,192.0.2.8',
            f'{_POSTGRESQL}?sslrootcert=/etc/ca.pem&application_name=nova&connect_timeout=5'
            '&keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=3',
            'sqlite:////var/lib/cell.sqlite?timeout=5',
            'sqlite:///file:/var/lib/cell.sqlite?mode=ro&uri=true',
        ):
            self.assert_database(text)

    def test_templates(self) -> None:
        for text in (
            '{scheme}://{username}:{password}@{hostname}:{port}/nova_cell1?{query}',
            'mysql+pymysql://{username}:{password}@{hostname}:{port}/{path}?{query}&charset=utf8',
            '{scheme}://{username2}:{password2}@{hostname2}/x?sslmode=require',
            '{scheme}+pymysql://{hostname}/x',
        ):
            self.assert_database(text)
            self.assert_no_database('a template is for the operator', text, from_client=True)
        self.assert_no_database('local_infile', '{scheme}://{hostname}/x?local_infile=1')
        self.assert_no_database('nosuch', 'nosuch://{hostname}/x')

    def test_what_is_no_url(self) -> None:
        for text in ('', 'nonsense', 'mysql', 'mysql+pymysql://u:p@h:s3cret/x', 'sqlite:/x'):
            self.assert_no_database('cannot be parsed', text)
        self.assert_no_database('%40', 'mysql+pymysql://u:p@s3cret@h/x')
        for scheme in ('mysql+pymysql', 'postgresql'):
            for text in (f'{scheme}://u:s3cret@h', f'{scheme}://u:s3cret@h/?application_name=x'):
                self.assert_no_database('names no database', text)
        self.assert_no_database('no name of a host', 'mysql+pymysql://u:s3cret@a..b/x')
        self.assert_no_database('no name of a host', f'mysql://u:s3cret@{"a" * 300}/x')
        self.assert_no_database('port is out', 'mysql+pymysql://u:s3cret@h:65536/x')
        self.assert_no_database('PyMySQL cannot send', 'mysql+pymysql://u:s3cret%E2%98%81@h/x')
        self.assert_no_database('4096', f'sqlite:////{"x" * 4096}')

    def test_characters_that_change_what_is_shown(self) -> None:
        for odd in '\x1b', '\n', '\0', '\x7f', '\x9b', '\u2028', '\u202e', '\ud800', '\t':
            expected = f'{ascii(odd)[1:-1]}. A URL looks'
            self.assert_no_database(expected, f'sqlite:////{odd}')
            self.assert_no_transport(expected, f'rabbit://h/{odd}')

    def test_drivers_that_no_cell_has(self) -> None:
        for driver in (
            'nosuch',
            'mssql+pyodbc',
            'oracle',
            'mysql+mysqlconnector',
            'mysql+pyodbc',
            'mysql+types',
            'postgresql+pg8000',
            'postgresql+asyncpg',
            'sqlite+pysqlcipher',
            'sqlite+aiosqlite',
            'rabbit',
        ):
            self.assert_no_database(f'driver {driver}', f'{driver}://u:s3cret@h/x')

    def test_parameters_that_no_cell_has(self) -> None:
        for text in (
            'local_infile=1',
            'local_infile=true',
            'Local_Infile=1',
            '%6cocal_infile=1',
            'charset=utf8&local_infile=1',
            'local_infile=0&local_infile=1',
            'read_default_file=/etc/nova/nova.conf',
            'read_default_group=x',
            'auth_plugin=mysql_clear_password',
            'auth_plugin_map=x',
            'enable_cleartext_plugin=1',
            'default_auth=mysql_clear_password',
            'cursorclass=x',
            'conv=x',
            'client_flag=128',
            'defer_connect=1',
            'plugin=x',
            'ssl=true',
            'ssl_disabled=false',
            'host=evil',
            'user=x',
            'password=s3cret',
            'nosuch=1',
            'init_command=DROP TABLE x',
            'init_command=SET SESSION wsrep_sync_wait=1;DROP TABLE x',
            'init_command=SET GLOBAL time_zone=x',
            'init_command=SET wsrep_sync_wait=1, autocommit=0',
            "init_command=SET time_zone=(SELECT LOAD_FILE('/etc/passwd'))",
            'init_command=SET SESSION wsrep_sync_wait=1 %23',
            'charset=nosuch',
            'read_timeout=0',
            'read_timeout=-1',
            'connect_timeout=x',
            'connect_timeout=99999999',
        ):
            name = text.rpartition('&')[2].partition('=')[0].replace('%6c', 'l')
            self.assert_no_database(name, f'{_MYSQL}?{text}')
        for text in (
            'service=x',
            'passfile=/etc/x',
            'dbname=host%3Devil',
            'dsn=x',
            'connection_factory=x',
            'options=-f',
            'options=-c x=1 --y',
            'options=-c search_path=evil',
            'options=-csearch_path=evil,pg_catalog',
            'options=-c statement_timeout=5 -c Search_Path=evil',
            'options=-c role=postgres',
            'options=-c session_replication_role=replica',
            'options=-c local_preload_libraries=x',
            'options=-c standard_conforming_strings=off',
            'options=-c client_encoding=LATIN1',
            'options=-c synchronous_commit=off',
            'options=-c statement_timeout=',
            'options=--search_path=evil',
            'replication=1',
            'password=s3cret',
            'local_infile=0',
        ):
            self.assert_no_database(text.partition('=')[0], f'{_POSTGRESQL}?{text}')
        for text in ('check_same_thread=false', 'factory=x', 'vfs=x', 'mode=rwc', 'plugin=x'):
            self.assert_no_database(text.partition('=')[0], f'sqlite:////x?{text}&uri=true')

    def test_no_cell_is_in_memory(self) -> None:
        for text in (
            'sqlite://',
            'sqlite:///',
            'sqlite+pysqlite:///:memory:',
            'sqlite:///?uri=true',
            'sqlite:///file:?uri=true',
            'sqlite:///file::memory:?uri=true',
            'sqlite:///file:%253Amemory:?uri=true&cache=shared',
        ):
            self.assert_no_database('in memory', text)
        for text in ('sqlite:///x?mode=memory&uri=true&cache=shared', 'sqlite:////x?mode=memory'):
            self.assert_no_database('the parameter mode has to be ro or rw', text)
        # What would be no parameter to SQLAlchemy.
        for text in ('%3Fmode=memory', '%253Fmode=memory', '%3Fmode=rwc', '%23'):
            self.assert_no_database('? or #', f'sqlite:///file:x{text}?uri=true')
        self.assert_database('sqlite:////var/lib/a%3Fb')

    def test_parameters_that_the_options_add(self) -> None:
        text = f'{_MYSQL}?read_default_file=/etc/nova/my.cnf'
        self.assert_no_database('read_default_file', text)
        self.assert_database(text, also=['read_default_file'])
        self.assert_database(f'{_POSTGRESQL}?options=-c%20search_path%3Dx', also=['options'])
        self.assert_no_database('read_default', text, also=['read_default_file'], from_client=True)

    def test_clients_set_less(self) -> None:
        for text in (
            'none:///',
            f'{_MYSQL}?charset=utf8mb4&connect_timeout=5&ssl_check_hostname=true',
            f'{_POSTGRESQL}?sslmode=require&connect_timeout=5',
        ):
            self.assert_database(text, from_client=True)
        for text in (
            'sqlite:////etc/passwd',
            f'{_MYSQL}?ssl_ca=/etc/x',
            f'{_MYSQL}?unix_socket=/run/x',
            f'{_MYSQL}?init_command=SET+SESSION+wsrep_sync_wait%3D1',
            'mysql+pymysql:///x',
            'postgresql:///x',
            'postgresql://%2Fvar%2Frun/x',
            f'{_POSTGRESQL}?host=/var/run',
            f'{_POSTGRESQL}?hostaddr=192.0.2.7',
            f'{_POSTGRESQL}?sslrootcert=/etc/x',
            f'{_POSTGRESQL}?options=-c%20statement_timeout%3D5',
        ):
            self.assert_database(text)
            self.assert_no_database('is for the operator', text, from_client=True)

    def test_each_driver_has_a_list(self) -> None:
        for dialect, drivers in parameters.DRIVERS.items():
            for driver in drivers:
                self.assertIn(f'{dialect}+{driver}', parameters.DRIVER_NAMES)
                self.assertIsNotNone(parameters.problem_of(driver, 'nosuch', '1', False))

    @hypothesis.given(st.text(), st.booleans())
    @hypothesis.settings(deadline=None)
    def test_nothing_but_invalid_url_is_raised(self, text: str, from_client: bool) -> None:
        for check in (url.check_cell_database, url.check_cell_transport):
            for whole in (text, f'{_MYSQL}?{text}', f'mysql://{text}/x', f'{{scheme}}://{text}'):
                try:
                    check(whole, from_client=from_client)
                except url.InvalidURL as error:
                    self.assertIsNone(error.__context__)
                    self.assertLess(len(str(error)), 10_000)


class Rendered(tests_base.TestCase):
    """What is checked is what a driver is told, although the URL is put together again."""

    @hypothesis.given(st.sampled_from(('%3F', '%26', '%3D', '%23', '%2F', '%40', '%3A', '%25')))
    @hypothesis.settings(deadline=None)
    def test_what_is_quoted_stays_quoted(self, mark: str) -> None:
        for text in (
            f'mysql+pymysql://u:p@h/x{mark}local_infile=1',
            f'mysql+pymysql://u{mark}a:p{mark}local_infile=1@h/x',
            f'mysql+pymysql://u:p@h/x?ssl_ca=a{mark}local_infile{mark}1',
            f'postgresql+psycopg2://u:p@h/x{mark}service=a',
        ):
            parsed = sa.make_url(text)
            again = sa.make_url(parsed.render_as_string(hide_password=False))
            self.assertEqual(parsed, again)


class Queues(_Case):
    def test_usual_ones(self) -> None:
        for text in (
            'none:///',
            'fake:///',
            'rabbit://u1:p1@h1:5672,u2:p2@h2:5673/vhost?ssl=1&heartbeat_rate=3',
            'rabbit://u:p@h//?ssl_ca_file=/etc/ca.pem',
            'kombu://u:p@[::1]/',
            'kafka://h1:9092,h2:9092/',
            'rabbit://{username1}:{password1}@{hostname1},{username2}:{password2}@{hostname2}/?{query}',
        ):
            url.check_cell_transport(text)

    def test_wrong_ones(self) -> None:
        for text, expected in {
            '': 'scheme and ://',
            'nonsense': 'scheme and ://',
            'nosuch://u:s3cret@h/': 'no driver nosuch',
            'http://u:s3cret@h/': 'no driver http',
            'rabbit://u:s3cret@h:port/': 'cannot be parsed',
            'rabbit://h1:1,h2:65536/': 'port is out',
            'rabbit://h/?nosuch=1': 'nosuch',
            'rabbit://h/?transport_url=x': 'transport_url',
            'rabbit://h/?heartbeat_rate=x': 'heartbeat_rate cannot have that value',
            f'rabbit://h/{"x" * 4096}': '4096',
        }.items():
            self.assert_no_transport(expected, text)

    def test_clients_set_less(self) -> None:
        url.check_cell_transport('rabbit://u:p@h:5672/v?ssl=1', from_client=True)
        for text in ('rabbit://h/?ssl_ca_file=/etc/x', 'rabbit://h/{path}'):
            url.check_cell_transport(text)
            self.assert_no_transport('is for the operator', text, from_client=True)
