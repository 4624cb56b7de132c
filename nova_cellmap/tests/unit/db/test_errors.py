# SPDX-License-Identifier: Apache-2.0
"""What is meant by what drivers raise."""

import copy
import pickle
import sqlite3
import struct
from typing import Any
from unittest import mock

from oslo_db import exception as db_exc
import pymysql
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from nova_cellmap import exception
from nova_cellmap.db import errors
from nova_cellmap.db.errors import Kind
from nova_cellmap.tests import base
from nova_cellmap.tests.unit.db import driver_errors
from nova_cellmap.tests.unit.db.driver_errors import PostgresqlError

_CLASSES = {
    Kind.LOST: exception.DatabaseUnreachable,
    Kind.UNUSABLE: exception.DatabaseUnreachable,
    Kind.LOCKED: exception.DatabaseBusy,
    Kind.CROWDED: exception.DatabaseBusy,
    Kind.SLOW: exception.DatabaseBusy,
    Kind.READ_ONLY: exception.DatabaseUnreachable,
    Kind.DENIED: exception.DatabaseRightMissing,
    Kind.FULL: exception.DatabaseFull,
    Kind.SCHEMA: exception.SchemaMissing,
    Kind.VALUE: exception.InvalidInput,
    Kind.REFUSED: exception.DatabaseError,
}


def _wraps(error: Exception) -> list[Exception]:
    """As the driver raises it, as SQLAlchemy does, and as oslo.db does."""
    wrapped = sa.exc.DBAPIError('SELECT hush', {'hush': 'hush'}, error)
    return [error, wrapped, db_exc.DBError(wrapped), errors.as_driver_error(wrapped)]


class Kinds(base.TestCase):
    def test_of_mysql(self) -> None:
        for kind, numbers in driver_errors.MYSQL.items():
            for number in numbers:
                for error in _wraps(pymysql.err.OperationalError(number, 'said')):
                    self.assertEqual((number, kind), (number, errors.kind_of(error)))
                    self.assertEqual(f'said (error {number})', errors.reason(error))

    def test_of_postgresql(self) -> None:
        for kind, states in driver_errors.POSTGRESQL.items():
            for state in states:
                for error in _wraps(PostgresqlError(state)):
                    self.assertEqual((state, kind), (state, errors.kind_of(error)))

    def test_what_callers_catch(self) -> None:
        for kind, made in _CLASSES.items():
            error = errors.as_driver_error(pymysql.err.OperationalError(1, 'said'), kind)
            self.assertIs(made, type(errors.of_mapping(error, 'there')))

    def test_a_lost_connection_is_known_by_sqlalchemy(self) -> None:
        lost = sa.exc.DBAPIError('', {}, PostgresqlError('XX000'), connection_invalidated=True)
        self.assertIs(Kind.LOST, errors.kind_of(lost))
        self.assertIs(Kind.LOST, errors.kind_of(db_exc.DBConnectionError(PostgresqlError(''))))

    def test_what_is_no_database_error(self) -> None:
        for error in (AttributeError('x'), struct.error('x'), AssertionError(), KeyError('x')):
            self.assertIs(Kind.UNUSABLE, errors.kind_of(error))
            said = errors.reason(error)
            self.assertIn(type(error).__name__, said)
        for wrong in (UnicodeEncodeError('latin-1', '語', 0, 1, 'x'), OverflowError('x')):
            self.assertIs(Kind.VALUE, errors.kind_of(wrong))

    def test_mistakes_of_a_program_are_none_of_a_server(self) -> None:
        for mistake in (
            ValueError('x'),
            KeyError('x'),
            sa.exc.ArgumentError('x'),
            sa.exc.InvalidRequestError('x'),
        ):
            self.assertNotIsInstance(mistake, errors.DRIVER)

    def test_of_cells(self) -> None:
        missing = pymysql.err.ProgrammingError(1146, 'no table')
        gone = pymysql.err.OperationalError(2013, 'gone')
        self.assertIsInstance(errors.of_cell(missing, 'c'), exception.NotACellDatabase)
        self.assertIsInstance(errors.of_cell(gone, 'c'), exception.CellUnreachable)
        self.assertIsInstance(errors.of_nova(missing), exception.NotANovaDatabase)
        self.assertIsInstance(errors.of_nova(gone), exception.NovaDatabaseUnreachable)


class Copies(base.TestCase):
    """Pools of processes send errors back."""

    def test_what_is_known_goes_with_it(self) -> None:
        for kind in (Kind.LOST, Kind.LOCKED, Kind.UNUSABLE):
            error = errors.as_driver_error(OSError(32, 'broken'), kind, 'look')
            for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
                self.assertEqual(
                    (type(error), kind, 'look', str(error)),
                    (type(other), other.kind, other.hint, str(other)),
                )
                self.assertEqual(errors.reason(error), errors.reason(other))


class Reasons(base.TestCase):
    def test_without_what_may_be_secret(self) -> None:
        for error in (
            PostgresqlError(None, 'refused\nDETAIL:  Failing row contains (1, hush).\n'),
            PostgresqlError(None, 'refused\nCONTEXT: COPY hush\nLINE 1: SELECT hush\n   ^'),
            pymysql.err.ProgrammingError(1064, "refused near 'x = 'hush'' at line 1"),
            pymysql.err.ProgrammingError(1064, "Fehler bei 'x = 'hush'' in Zeile 1"),
            pymysql.err.DataError(1366, "Incorrect value: 'hush\n' for column `x`.`y` at row 1"),
            UnicodeEncodeError('latin-1', 'hush', 0, 1, 'x'),
            OSError('refused at mysql://nova:hush@host'),
            sa.exc.OperationalError('SELECT hush', {'a': 'hush'}, PostgresqlError('x', 'no')),
            errors.as_driver_error(UnicodeDecodeError('utf-8', b'hush', 0, 1, 'hush')),
        ):
            self.assertNotIn('hush', errors.reason(error))
            for made in (errors.of_mapping(error), errors.of_cell(error, 'c')):
                self.assertNotIn('hush', str(made))

    def test_which_right_is_missing(self) -> None:
        for statement, rights in (
            ('SELECT hush', 'takes SELECT'),
            ('SELECT hush FOR UPDATE', 'takes UPDATE and SELECT'),
            ('INSERT INTO hush', 'takes INSERT and SELECT, and USAGE of the sequence'),
            ('UPDATE hush', 'takes UPDATE and SELECT'),
            ('DELETE FROM hush', 'takes DELETE and SELECT'),
        ):
            denied = PostgresqlError('42501', 'permission denied for table x')
            wrapped = sa.exc.DBAPIError(statement, {}, denied)
            direct = errors.of_driver(denied, sqlite.dialect(dbapi=sqlite3), statement)
            for error in (wrapped, errors.as_driver_error(wrapped), direct):
                said = str(errors.of_mapping(error))
                self.assertIn('permission denied for table x', said)
                self.assertIn(rights, said)
                self.assertNotIn('hush', said)
        self.assertNotIn('takes', errors.reason(PostgresqlError('42501', 'denied')))

    def test_in_one_line_of_bounded_length(self) -> None:
        said = errors.reason(pymysql.err.OperationalError(1, 'a\x1b[1m\n\rb' + 'x' * 100000))
        self.assertLess(len(said), 500)
        self.assertTrue(said.isprintable(), said)

    def test_empty(self) -> None:
        self.assertEqual('OperationalError', errors.reason(pymysql.err.OperationalError()))


class Watched(base.TestCase):
    def engine(self, is_ours: bool = False, **options: Any) -> sa.Engine:
        engine = sa.create_engine('sqlite://', **options)
        errors.watch(engine, is_ours=is_ours)
        self.addCleanup(engine.dispose)
        return engine

    def test_what_connecting_raises(self) -> None:
        for raised, kind in (
            (AttributeError('x'), Kind.UNUSABLE),
            (FileNotFoundError(2, 'No such file or directory'), Kind.UNUSABLE),
            (UnicodeEncodeError('latin-1', '語', 0, 1, 'x'), Kind.UNUSABLE),
            (RuntimeError("'cryptography' package is required"), Kind.UNUSABLE),
            (ConnectionResetError(104, 'reset'), Kind.LOST),
        ):

            def creator(raised: Exception = raised) -> Any:
                raise raised

            engine = self.engine(creator=creator)
            error = self.assertRaises(errors.DriverError, errors.connect, engine)
            self.assertIs(kind, error.kind)
            self.assertIs(raised, error.inner_exception)

    def test_a_missing_file_is_named(self) -> None:
        engine = sa.create_engine('mysql+pymysql://u:hush@127.0.0.1:1/x?ssl_ca=/missing/ca.pem')
        errors.watch(engine)
        error = self.assertRaises(errors.DriverError, errors.connect, engine)
        self.assertIn('/missing/ca.pem', errors.reason(error))
        self.assertNotIn('hush', errors.reason(error))

    def test_what_a_statement_raises(self) -> None:
        for raised, kind in (
            (struct.error('unpack requires 4 bytes'), Kind.UNUSABLE),
            (UnicodeDecodeError('utf-8', b'x', 0, 1, 'x'), Kind.UNUSABLE),
            (OverflowError('x'), Kind.VALUE),
            (sa.exc.DisconnectionError('x'), Kind.LOST),
        ):
            engine = self.engine()
            with errors.connect(engine) as connection:
                with mock.patch.object(engine.dialect, 'do_execute', side_effect=raised):
                    error = self.assertRaises(
                        errors.DriverError, connection.exec_driver_sql, 'SELECT 1'
                    )
                self.assertEqual((raised, kind), (error.inner_exception, error.kind))
                # What may still come over it belongs to nobody.
                self.assertEqual(kind is not Kind.VALUE, connection.invalidated)

    def test_others_errors_stay_as_they_are(self) -> None:
        for is_ours, made in ((False, sa.exc.OperationalError), (True, errors.DriverError)):
            with errors.connect(self.engine(is_ours)) as connection:
                error = self.assertRaises(made, connection.exec_driver_sql, 'SELECT')
                self.assertIs(Kind.REFUSED, errors.kind_of(error))
                error = self.assertRaises(
                    sa.exc.OperationalError, connection.exec_driver_sql, 'SELECT * FROM x'
                )
                self.assertIs(Kind.SCHEMA, errors.kind_of(error))

    def test_mistakes_in_a_block_stay_mistakes(self) -> None:
        def work() -> None:
            with errors.connect(self.engine()) as connection:
                connection.exec_driver_sql('SELECT 1')
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, work)
