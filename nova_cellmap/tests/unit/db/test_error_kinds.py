# SPDX-License-Identifier: Apache-2.0
"""Which of the errors of databases call for the same."""

import pathlib
import sqlite3

import fixtures
import pymysql

from nova_cellmap.db import error_kinds
from nova_cellmap.db.error_kinds import Kind
from nova_cellmap.tests import base
from nova_cellmap.tests.unit.db import driver_errors
from nova_cellmap.tests.unit.db.driver_errors import PostgresqlError

# What libpq says while it connects, and gives no code for.
_TEXTS = {
    'connection to server at "db" failed: FATAL:  sorry, too many clients already': Kind.CROWDED,
    'FATAL:  remaining connection slots are reserved for SUPERUSER': Kind.CROWDED,
    'FATAL:  password authentication failed for user "nova"': Kind.UNUSABLE,
    'FATAL:  database "nosuch" does not exist': Kind.UNUSABLE,
    'FATAL:  permission denied for database "nova"': Kind.UNUSABLE,
    'invalid connection option "nosuch"': Kind.UNUSABLE,
    'server does not support SSL, but SSL was required': Kind.UNUSABLE,
    'connection to server at "db" failed: Connection refused': Kind.LOST,
}


class Codes(base.TestCase):
    def test_of_mysql(self) -> None:
        for kind, numbers in driver_errors.MYSQL.items():
            for number in numbers:
                error = pymysql.err.OperationalError(number, 'said')
                self.assertEqual((number, kind), (number, error_kinds.kind_of(error)))

    def test_of_mysqls_client(self) -> None:
        """Of its own numbers each is of the connection, but for those that say otherwise."""
        for number in (2000, 2055, 2099):
            error = pymysql.err.OperationalError(number, 'said')
            self.assertIs(Kind.LOST, error_kinds.kind_of(error))

    def test_of_postgresql(self) -> None:
        for kind, states in driver_errors.POSTGRESQL.items():
            for state in states:
                error = PostgresqlError(state)
                self.assertEqual((state, kind), (state, error_kinds.kind_of(error)))

    def test_of_nobody(self) -> None:
        for text, kind in _TEXTS.items():
            error = pymysql.err.OperationalError(text)
            self.assertEqual((text, kind), (text, error_kinds.kind_of(error)))
        self.assertIs(Kind.VALUE, error_kinds.kind_of(sqlite3.DataError('said')))
        self.assertIs(Kind.REFUSED, error_kinds.kind_of(sqlite3.IntegrityError('said')))

    def test_a_full_disk(self) -> None:
        for error in (
            pymysql.err.OperationalError(3, 'Error writing file (Errcode: 28 "No space left")'),
            pymysql.err.InternalError(1030, 'Got error 28 from storage engine'),
            pymysql.err.OperationalError(1180, 'Got error 28 "No space left" during COMMIT'),
        ):
            self.assertIs(Kind.FULL, error_kinds.kind_of(error))


class Sqlite(base.TestCase):
    """What SQLite itself says."""

    def setUp(self) -> None:
        super().setUp()
        self.path = pathlib.Path(self.useFixture(fixtures.TempDir()).path, 'x.sqlite')
        self.connection = self.connected()
        self.connection.execute('PRAGMA foreign_keys = ON')
        self.connection.execute('CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE)')
        self.connection.execute('CREATE TABLE child (id INTEGER REFERENCES parent (id))')

    def connected(self, path: pathlib.Path | None = None) -> sqlite3.Connection:
        connection = sqlite3.connect(path or self.path, timeout=0, isolation_level=None)
        self.addCleanup(connection.close)
        return connection

    def kind(self, statement: str, *values: object) -> Kind:
        try:
            self.connection.execute(statement, values).fetchall()
        except Exception as error:
            return error_kinds.kind_of(error)
        raise AssertionError(f'{statement}: no error')

    def test_of_statements(self) -> None:
        self.connection.execute("INSERT INTO parent VALUES (1, 'a')")
        for statement, kind in (
            ('SELECT * FROM nosuch', Kind.SCHEMA),
            ('SELECT nosuch FROM parent', Kind.SCHEMA),
            ("INSERT INTO parent VALUES (1, 'b')", Kind.DUPLICATE),
            ("INSERT INTO parent VALUES (2, 'a')", Kind.DUPLICATE),
            ('INSERT INTO child VALUES (7)', Kind.REFERENCE),
            ("INSERT INTO parent VALUES ('x', 'y')", Kind.VALUE),
            ('SELECT', Kind.REFUSED),
        ):
            self.assertEqual((statement, kind), (statement, self.kind(statement)))

    def test_of_values(self) -> None:
        self.assertIs(Kind.VALUE, self.kind('SELECT ?', object()))
        self.assertIs(Kind.MISREAD, self.kind("SELECT CAST(x'fffe' AS TEXT)"))

    def test_of_what_others_have_locked(self) -> None:
        self.connected().execute('BEGIN IMMEDIATE')
        self.assertIs(Kind.LOCKED, self.kind('BEGIN IMMEDIATE'))

    def test_of_a_database_that_only_reads(self) -> None:
        self.connection.execute('PRAGMA query_only = ON')
        self.assertIs(Kind.DENIED, self.kind("INSERT INTO parent VALUES (1, 'a')"))

    def test_of_one_that_is_full(self) -> None:
        self.connection.execute('PRAGMA max_page_count = 1')
        self.assertIs(Kind.FULL, self.kind('INSERT INTO parent VALUES (1, zeroblob(100000))'))

    def test_of_what_is_none(self) -> None:
        other = self.path.with_name('other')
        other.write_text('no database ' * 100)
        self.connection = self.connected(other)
        self.assertIs(Kind.UNUSABLE, self.kind('SELECT * FROM parent'))


class Rights(base.TestCase):
    def test_which_one_a_statement_takes(self) -> None:
        denied = PostgresqlError('42501', 'permission denied for table x')
        for statement, right in (
            ('SELECT 1', 'this takes SELECT'),
            ('SELECT 1 FOR UPDATE', 'this takes UPDATE and SELECT'),
            ('delete from x', 'this takes DELETE and SELECT'),
            ('VACUUM', ''),
            ('', ''),
            (None, ''),
        ):
            self.assertEqual(right, error_kinds.right_of(denied, statement))

    def test_of_another_error_none(self) -> None:
        self.assertEqual('', error_kinds.right_of(PostgresqlError('23505'), 'SELECT 1'))
        # MySQL says it itself.
        denied = pymysql.err.OperationalError(1142, 'SELECT command denied to user')
        self.assertEqual('', error_kinds.right_of(denied, 'SELECT 1'))


class Names(base.TestCase):
    def test_an_error_of_any_driver_is_known_by_its_class(self) -> None:
        for error in (sqlite3.OperationalError(), pymysql.err.DataError(), PostgresqlError('')):
            self.assertTrue(error_kinds.is_database_error(error))
        self.assertTrue(error_kinds.is_named(pymysql.err.DataError(), 'DataError', 'x'))
        self.assertFalse(error_kinds.is_named(pymysql.err.DataError(), 'InterfaceError'))
        self.assertFalse(error_kinds.is_database_error(ValueError()))
