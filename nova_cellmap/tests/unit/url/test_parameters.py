# SPDX-License-Identifier: Apache-2.0
"""What the URL of a cell's database may ask of its driver."""

from nova_cellmap.tests import base as tests_base
from nova_cellmap.url import parameters


def _problem(driver: str, name: str, value: str | tuple[str, ...], client: bool = False) -> str:
    return parameters.problem_of(driver, name, value, client) or ''


class Parameters(tests_base.TestCase):
    def test_what_is_listed_is_let_through(self) -> None:
        for driver, name, value in (
            ('pymysql', 'charset', 'utf8mb4'),
            ('mysqldb', 'connect_timeout', '5'),
            ('pymysql', 'ssl_ca', '/etc/ssl/ca.pem'),
            ('pymysql', 'init_command', "SET SESSION wsrep_sync_wait = 7, time_zone='+00:00'"),
            ('psycopg2', 'options', '-c statement_timeout=5000 -c jit=off'),
            ('psycopg', 'sslmode', 'verify-full'),
            ('pysqlite', 'mode', 'ro'),
        ):
            self.assertEqual('', _problem(driver, name, value), name)

    def test_what_is_not_listed_is_named_with_what_is(self) -> None:
        for driver, name in (
            ('pymysql', 'read_default_file'),
            ('mysqldb', 'plugin_dir'),
            ('psycopg2', 'service'),
            ('pysqlite', 'vfs'),
        ):
            problem = _problem(driver, name, 'x')
            self.assertIn(name, problem)
            self.assertIn(f'may have with {driver} (', problem)

    def test_a_value_of_another_kind_says_which_it_has_to_be(self) -> None:
        for driver, name, value, kind in (
            ('pymysql', 'connect_timeout', '0', 'seconds from 1'),
            ('pymysql', 'local_infile', 'true', 'false'),
            ('pymysql', 'charset', 'latin2', 'utf8mb4'),
            ('pymysql', 'init_command', 'DROP TABLE instances', 'SET SESSION'),
            ('pymysql', 'init_command', 'set @@session.time_zone=0; drop table x', 'SET SESSION'),
            ('psycopg2', 'options', '-c search_path=evil', 'statement_timeout'),
            ('pysqlite', 'mode', 'rwc', 'ro or rw'),
        ):
            problem = _problem(driver, name, value)
            self.assertIn(f'{name} has to be ', problem)
            self.assertIn(kind, problem)

    def test_files_hosts_and_secrets_are_for_the_operator(self) -> None:
        for driver, name, value in (
            ('pymysql', 'ssl_key', '/etc/key.pem'),
            ('mysqldb', 'unix_socket', '/run/mysqld/mysqld.sock'),
            ('psycopg2', 'host', 'elsewhere.example.org'),
            ('psycopg', 'sslpassword', 'x'),
        ):
            self.assertEqual('', _problem(driver, name, value))
            self.assertIn('for the operator', _problem(driver, name, value, client=True))
        self.assertEqual('', _problem('pymysql', 'connect_timeout', '5', client=True))

    def test_only_hosts_and_ports_are_lists(self) -> None:
        self.assertEqual('', _problem('psycopg2', 'host', ('h1', 'h2')))
        self.assertEqual('', _problem('psycopg2', 'port', ('5432', '5433')))
        self.assertIn('twice', _problem('pymysql', 'charset', ('utf8mb4', 'utf8mb4')))

    def test_the_drivers_are_those_of_each_dialect(self) -> None:
        self.assertEqual(
            (
                'mysql+mysqldb',
                'mysql+pymysql',
                'mariadb+mysqldb',
                'mariadb+pymysql',
                'postgresql+psycopg2',
                'postgresql+psycopg',
                'sqlite+pysqlite',
            ),
            parameters.DRIVER_NAMES,
        )
