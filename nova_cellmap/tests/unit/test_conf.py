# SPDX-License-Identifier: Apache-2.0
"""The options, and how the library gets them."""

import logging
import pathlib
import subprocess
import sys

import fixtures
from oslo_config import cfg

import nova_cellmap
from nova_cellmap import conf
from nova_cellmap import exception
from nova_cellmap.db import engine
from nova_cellmap.tests import base


class Conf(base.TestCase):
    def test_files_are_read_and_later_ones_win(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        for name, value in (('one', 'sqlite:///1'), ('two', 'sqlite:///2')):
            (folder / name).write_text(f'[api_database]\nconnection = {value}\n')
        made = conf.new(args=[], config_files=[str(folder / 'one'), str(folder / 'two')])
        self.assertEqual('sqlite:///2', made.api_database.connection)

    def test_two_configurations_share_nothing(self) -> None:
        one, two = conf.new(config_files=[]), conf.new(config_files=[])
        for group in ('api_database', 'database'):
            one.set_override('connection', 'sqlite:///one', group=group)
            self.assertNotEqual('sqlite:///one', two[group].connection)

    def test_a_missing_file_is_told_of(self) -> None:
        self.assertRaises(cfg.ConfigFilesNotFoundError, conf.new, config_files=['/no/such/file'])

    def test_options_can_be_registered_on_a_configuration_of_the_callers(self) -> None:
        theirs = cfg.ConfigOpts()
        conf.register_opts(theirs)
        conf.register_opts(theirs)
        theirs([])
        self.assertIsNone(theirs.database.connection)

    def test_urls_are_secret(self) -> None:
        made = conf.new(args=[], config_files=[])
        made.set_override('connection', 'mysql://u:hush@h/d', group='api_database')
        made.set_override('connection', 'mysql://u:hush@h/d', group='database')
        made.set_override('transport_url', 'rabbit://u:hush@h/')
        logger = logging.getLogger('nova_cellmap.test')
        handler = self.useFixture(fixtures.FakeLogger('nova_cellmap.test'))
        made.log_opt_values(logger, logging.INFO)
        self.assertIn('api_database.connection', handler.output)
        self.assertNotIn('hush', handler.output)


class Binding(base.TestCase):
    def test_in_memory_there_is_one_database(self) -> None:
        from nova_cellmap import context
        from nova_cellmap import objects
        from nova_cellmap.db import migration

        made = conf.new(args=[], config_files=[])
        made.set_override('connection', 'sqlite://', group='api_database')
        self.addCleanup(nova_cellmap.configure(made).close)
        migration.db_sync()
        ctxt = context.get_admin_context()
        objects.CellMapping(
            ctxt, transport_url='none:///', database_connection='none:///'
        ).create()
        self.assertEqual(1, len(objects.CellMappingList.get_all(ctxt)))

    def test_before_anything_is_bound_it_says_what_to_do(self) -> None:
        program = (
            'import nova_cellmap\n'
            'from nova_cellmap import exception\n'
            'try:\n'
            '    nova_cellmap.objects.CellMappingList.get_all('
            'nova_cellmap.context.get_admin_context())\n'
            'except exception.NotConfigured as error:\n'
            '    print(error)\n'
        )
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', program], capture_output=True, text=True
        )
        self.assertIn('nova_cellmap.configure(conf)', done.stdout, done.stderr)

    def test_readers_use_a_replica_only_where_it_may_lag(self) -> None:
        for synchronous, expected in ((True, 'primary'), (False, 'replica')):
            made = conf.new(args=[], config_files=[])
            folder = self.useFixture(fixtures.TempDir()).path
            for option, value in (
                ('connection', f'sqlite:///{folder}/primary'),
                ('slave_connection', f'sqlite:///{folder}/replica'),
                ('synchronous_reader', synchronous),
            ):
                made.set_override(option, value, group='api_database')
            self.addCleanup(nova_cellmap.configure(made).close)
            reader = engine.of().manager.reader.get_engine()
            self.assertEqual(f'{folder}/{expected}', reader.url.database)
            self.assertEqual(f'{folder}/primary', engine.of().writer.url.database)

    def test_nothing_else_is_found(self) -> None:
        self.assertRaises(AttributeError, getattr, nova_cellmap, 'nonsense')
        self.assertTrue(issubclass(exception.NotConfigured, exception.CellMapError))
