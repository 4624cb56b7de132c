# SPDX-License-Identifier: Apache-2.0
"""The ``[api_database]`` group."""

from oslo_config import cfg
from oslo_db import options as oslo_db_options

from nova_cellmap import conf
from nova_cellmap.conf import api_database
from nova_cellmap.tests import base


class ApiDatabase(base.TestCase):
    def test_with_nothing_set_it_is_a_sqlite_file_in_the_state_path(self) -> None:
        made = conf.new(args=[], config_files=[])
        self.assertEqual('sqlite:///./nova_cellmap.sqlite', made.api_database.connection)
        made.set_override('state_path', '/var/lib/nova_cellmap')
        self.assertEqual(
            'sqlite:////var/lib/nova_cellmap/nova_cellmap.sqlite', made.api_database.connection
        )

    def test_the_options_of_oslo_db_are_not_changed_for_others(self) -> None:
        shared = {opt.name: opt for opt in oslo_db_options.database_opts}
        self.assertIsNone(shared['connection'].default)
        self.assertEqual(10, shared['max_retries'].default)

    def test_it_has_every_option_of_oslo_db(self) -> None:
        made = conf.new(args=[], config_files=[])
        for opt in oslo_db_options.database_opts:
            self.assertIn(opt.dest, made.api_database)

    def test_a_database_that_is_down_is_an_error_at_once(self) -> None:
        made = conf.new(args=[], config_files=[])
        self.assertEqual(0, made.api_database.max_retries)
        self.assertEqual(5, made.api_database.db_max_retries)

    def test_times_are_positive_and_schemas_are_those_there_are(self) -> None:
        made = conf.new(args=[], config_files=[])
        for name in ('connect_timeout', 'read_timeout', 'call_timeout'):
            self.assertGreater(made.api_database[name], 0)
            self.assertRaises(ValueError, made.set_override, name, 0, group='api_database')
        self.assertEqual('auto', made.api_database.schema)
        for schema in ('own', 'nova'):
            made.set_override('schema', schema, group='api_database')
        self.assertRaises(ValueError, made.set_override, 'schema', 'x', group='api_database')

    def test_registering_twice_does_no_harm(self) -> None:
        theirs = cfg.ConfigOpts()
        api_database.register_opts(theirs)
        api_database.register_opts(theirs)
        self.assertEqual({api_database.GROUP: api_database.OPTS}, api_database.list_opts())
