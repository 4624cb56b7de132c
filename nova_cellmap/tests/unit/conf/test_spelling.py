# SPDX-License-Identifier: Apache-2.0
"""A misspelt group or option is an error; what belongs to others is none."""

import logging
import pathlib

import fixtures
import hypothesis
from hypothesis import strategies as st
from oslo_config import cfg

from nova_cellmap import conf
from nova_cellmap.conf import files
from nova_cellmap.conf import spelling
from nova_cellmap.tests import base

_NAMES = st.sampled_from(
    [
        'api_database',
        'connection',
        'slave_connection',
        'max_pool_size',
        'transport_url',
        'read_timeout',
        'max_workers_per_cell',
    ]
)


class _Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'x.conf'

    def read(self, group: str, option: str) -> cfg.ConfigOpts:
        self.path.write_text(f'[{group}]\n{option} = 1\n')
        return conf.new(config_files=[str(self.path)])

    def assert_refused(self, group: str, option: str, right: str) -> None:
        error = self.assertRaises(files.ConfigurationError, self.read, group, option)
        for text in (str(self.path), group, right):
            self.assertIn(text, str(error))


class Files(_Case):
    def test_a_misspelt_group(self) -> None:
        for group, right in (
            ('api_databse', 'api_database'),
            ('apidatabase', 'api_database'),
            ('api-database', 'api_database'),
            ('api_databases', 'api_database'),
            ('API_DATABSE', 'api_database'),
            ('databse', 'database'),
            ('cell', 'cells'),
            ('conducter', 'conductor'),
            ('default', 'DEFAULT'),
        ):
            self.assert_refused(group, 'connection', right)

    def test_a_misspelt_option(self) -> None:
        for group, option, right in (
            ('api_database', 'conection', 'connection'),
            ('api_database', 'Connection', 'connection'),
            ('api_database', 'conection_debug', 'connection_debug'),
            ('api_database', 'max-retries', 'max_retries'),
            ('api_database', 'slave_conection', 'slave_connection'),
            ('API_Database', 'conection', 'connection'),
            ('database', 'connecton', 'connection'),
            ('cells', 'readtimeout', 'read_timeout'),
            ('conductor', 'worker', 'workers'),
            ('DEFAULT', 'transport-url', 'transport_url'),
            ('DEFAULT', 'statepath', 'state_path'),
            ('DEFAULT', 'connection', 'api_database'),
            ('cache', 'enable', 'enabled'),
        ):
            self.assert_refused(group, option, right)

    def test_an_equals_sign_that_is_missing(self) -> None:
        self.path.write_text('[api_database]\nconnection mysql://u:sekret@h/d\n')
        error = self.assertRaises(cfg.Error, conf.new, config_files=[str(self.path)])
        self.assertIn('=', str(error))
        self.assertNotIn('sekret', str(error))

    def test_what_is_right_and_what_is_somebody_elses(self) -> None:
        for group, option in (
            ('api_database', 'max_retries'),
            ('API_DATABASE', 'max_retries'),
            ('api_database', 'sql_max_retries'),
            ('database', 'slave_connection'),
            ('database', 'max_pool_size'),
            ('placement_database', 'connection'),
            ('oslo_messaging_rabbit', 'ssl'),
            ('keystone_authtoken', 'connection'),
            ('DEFAULT', 'my_ip'),
            ('DEFAULT', 'instances_path'),
            ('cache', 'tls_enabled'),
            ('cache', 'memcache_password'),
        ):
            self.read(group, option)

    def test_an_option_of_our_groups_that_is_like_none_is_told_of(self) -> None:
        logger = self.useFixture(fixtures.FakeLogger(level=logging.WARNING))
        self.read('api_database', 'nosuch')
        self.assertIn('[api_database] has no option nosuch', logger.output)


class Environment(_Case):
    def test_a_misspelt_variable(self) -> None:
        right = 'OS_API_DATABASE__CONNECTION'
        for name in (
            'OS_API_DATABASE_CONNECTION',
            'OS_API_DATABASE__CONECTION',
            'OS_API_DATABSE__CONNECTION',
            'OS_APIDATABASE__CONNECTION',
            'os_api_database__connection',
            'OS_DEFAULT_TRANSPORT_URL',
        ):
            with fixtures.EnvironmentVariable(name, 'sqlite://'):
                error = self.assertRaises(files.ConfigurationError, conf.new, config_files=[])
                self.assertIn(name, str(error))
        with fixtures.EnvironmentVariable(right, 'sqlite://'):
            self.assertEqual('sqlite://', conf.new(config_files=[]).api_database.connection)

    def test_variables_of_others(self) -> None:
        for name in ('OS_AUTH_URL', 'OS_PASSWORD', 'OS_', 'OS__', 'OS_X__Y', 'OS_CACERT'):
            with fixtures.EnvironmentVariable(name, 'x'):
                conf.new(config_files=[])


class Nearest(base.TestCase):
    @hypothesis.given(_NAMES, st.integers(min_value=0), st.booleans())
    def test_a_letter_too_few_or_twice_is_found(self, name: str, place: int, twice: bool) -> None:
        place %= len(name)
        wrong = name[:place] + (name[place] * 2 if twice else '') + name[place + 1 :]
        self.assertEqual(name, spelling.nearest(wrong, [name, 'something', 'else']))

    def test_what_is_like_none(self) -> None:
        self.assertIsNone(spelling.nearest('uri', ['connection', 'max_retries']))
        self.assertIsNone(spelling.nearest('x', []))
