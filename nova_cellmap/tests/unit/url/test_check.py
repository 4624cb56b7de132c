# SPDX-License-Identifier: Apache-2.0
"""A URL that a library could not use is refused, without its password."""

import traceback
from unittest import mock

import fixtures
import hypothesis
from hypothesis import strategies as st

from nova_cellmap import url
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests.unit.url import texts


class Check(tests_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.FakeLogger())

    def assert_invalid(self, expected: str, check: str, raw: str) -> None:
        try:
            getattr(url, check)(raw)
        except url.InvalidURL as error:
            self.assertIsInstance(error, ValueError)
            self.assertIn(expected, str(error))
            self.assertIn(f': {url.mask(raw)}: ', str(error))
            self.assertIsNone(error.__context__)
            # Not the lines of this file.
            shown = ''.join(traceback.format_exception(error, limit=0))
            self.assertNotIn('s3cret', shown)
        else:
            self.fail(f'{check} accepts {raw}')

    def test_none_is_no_url_to_be_used(self) -> None:
        for raw in ('none:///', 'none://', 'NONE:///'):
            url.check_database(raw)
            url.check_transport(raw)

    def test_good_databases(self) -> None:
        for raw in (
            'sqlite://',
            'sqlite:////var/lib/x.sqlite',
            'mysql+pymysql://nova:s3cret@db:3306/x?charset=utf8',
            'mysql+pymysql://nova:a/b#c?d@[::1]:3306/x',
        ):
            url.check_database(raw)

    def test_bad_databases(self) -> None:
        for raw in ('', 'mysql', 'u:s3cret@h/x', 'mysql+pymysql://u:p@h:s3cret/x', '://s3cret'):
            self.assert_invalid('mysql+pymysql://user:password@', 'check_database', raw)
            self.assert_invalid('cannot be parsed', 'check_database', raw)
        self.assert_invalid('%40', 'check_database', 'mysql+pymysql://u:p@s3cret@h/x')

    def test_unknown_dialects_and_drivers(self) -> None:
        for name in ('mysq', 'mysql+pymysq', 'mysql+types', 'mysql+a+b', 'rabbit'):
            self.assert_invalid(f'driver {name}.', 'check_database', f'{name}://u:s3cret@h/x')

    def test_driver_that_is_not_installed(self) -> None:
        for name, module, package in (
            ('mysql', 'MySQLdb', 'mysqlclient'),
            ('mysql+pymysql', 'pymysql', 'PyMySQL'),
            ('postgresql+psycopg2', 'psycopg2', 'psycopg2-binary'),
            ('mssql+pyodbc', 'pyodbc', 'pyodbc'),
        ):
            with mock.patch.dict('sys.modules', {module: None}):
                raw = f'{name}://u:s3cret@h/x'
                self.assert_invalid(f'package {package},', 'check_database', raw)

    def test_postgresql_alone_means_the_driver_that_is_installed(self) -> None:
        # To SQLAlchemy 2.1 it means psycopg, to 2.0 psycopg2.
        with mock.patch.dict('sys.modules', {'psycopg': None}):
            parsed = url.parse_database('postgresql://u:s3cret@h/x')
            self.assertEqual('postgresql+psycopg2', parsed.drivername)
            self.assertEqual('s3cret', parsed.password)
        with mock.patch.dict('sys.modules', {'psycopg': None, 'psycopg2': None}):
            raw = 'postgresql://u:s3cret@h/x'
            self.assert_invalid('package psycopg2-binary,', 'check_database', raw)

    def test_good_transports(self) -> None:
        for raw in (
            'rabbit://',
            texts.RABBIT,
            'fake:///',
            'kafka://[::1]:9092',
            'rabbit://u:%2F@h//',
        ):
            url.check_transport(raw)

    def test_bad_transports(self) -> None:
        for raw in ('', 'rabbit', 'rabbit:', 'u:s3cret@h', '://u:s3cret@h'):
            self.assert_invalid('scheme and ://', 'check_transport', raw)
        for raw in ('rabbit://u:s3cret#x@h', 'rabbit://u:p@h:s3cret', 'rabbit://u:s3cret@[::1'):
            self.assert_invalid('rabbit://user:password@', 'check_transport', raw)
            self.assert_invalid('cannot be parsed', 'check_transport', raw)

    @hypothesis.given(st.one_of(st.text(), texts.URLS))
    @texts.LAW
    def test_nothing_but_invalid_url_is_raised(self, raw: str) -> None:
        for check in (url.check_database, url.check_transport):
            try:
                check(raw)
            except url.InvalidURL as error:
                self.assertIsNone(error.__context__)
