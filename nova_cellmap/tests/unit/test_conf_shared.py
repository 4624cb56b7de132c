# SPDX-License-Identifier: Apache-2.0
"""The options on a service's own configuration, which has options of the same names."""

from collections.abc import Callable
import pathlib

import fixtures
import oslo_cache
from oslo_config import cfg
from oslo_db import options as oslo_db_options
import oslo_messaging

import nova_cellmap
from nova_cellmap import conf
from nova_cellmap import context
from nova_cellmap import exception
from nova_cellmap import objects
from nova_cellmap.conf import base as base_conf
from nova_cellmap.db import engine
from nova_cellmap.db import migration
from nova_cellmap.tests import base


def oslo_dbs_own(conf: cfg.ConfigOpts) -> None:
    """As most services have them."""
    oslo_db_options.set_defaults(conf, connection='sqlite:///service', max_pool_size=77)


def as_nova_has_them(conf: cfg.ConfigOpts) -> None:
    """Without one of oslo.db's, and with others of the names of ours."""
    kept = [opt for opt in oslo_db_options.database_opts if opt.name != 'db_max_retries']
    conf.register_group(cfg.OptGroup('api_database', title="Nova's"))
    conf.register_opts(kept, group='api_database')
    conf.register_opts(kept, group='database')
    conf.register_opt(cfg.IntOpt('workers', help='As many as there are CPUs.'), group='conductor')
    conf.register_opt(cfg.StrOpt('state_path', default='/var/lib/nova'))


def of_the_other_libraries(conf: cfg.ConfigOpts) -> None:
    oslo_cache.configure(conf)
    oslo_messaging.set_transport_defaults('service')
    oslo_messaging.TransportURL(conf)


SERVICES: tuple[Callable[[cfg.ConfigOpts], None], ...] = (
    oslo_dbs_own,
    as_nova_has_them,
    of_the_other_libraries,
)


class Shared(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # oslo.messaging's option objects are the process'.
        self.addCleanup(oslo_messaging.set_transport_defaults, 'openstack')
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.file = self.folder / 'service.conf'
        self.file.write_text(
            f'[api_database]\nconnection = sqlite:///{self.folder}/mapping\nmax_pool_size = 3\n'
        )

    def orders(self) -> list[cfg.ConfigOpts]:
        """Configurations of each service, who has registered its options before or after."""
        made = []
        for service in SERVICES:
            for steps in ((service, conf.register_opts), (conf.register_opts, service)):
                both = cfg.ConfigOpts()
                for step in (*steps, *steps):
                    step(both)
                both(['--config-file', str(self.file)], project='service')
                made.append(both)
        return made

    def test_in_either_order(self) -> None:
        for both in self.orders():
            self.assertEqual(3, both.api_database.max_pool_size)
            self.assertIn('max_open_cells', both.cells)
            self.assertIn('topic', both.conductor)
            self.assertIn('enabled', both.cache)

    def test_the_mapping_works_with_it(self) -> None:
        for both in self.orders():
            self.addCleanup(nova_cellmap.configure(both).close)
            migration.db_sync()
            self.assertEqual(
                [], list(objects.CellMappingList.get_all(context.get_admin_context()))
            )

    def test_what_is_missing_is_added_when_it_is_bound(self) -> None:
        for service in SERVICES:
            theirs = cfg.ConfigOpts()
            service(theirs)
            theirs(['--config-file', str(self.file)], project='service')
            self.addCleanup(nova_cellmap.configure(theirs).close)
            self.assertEqual(f'{self.folder}/mapping', engine.of().writer.url.database)

    def test_whoever_was_first_has_set_the_default(self) -> None:
        theirs = cfg.ConfigOpts()
        as_nova_has_them(theirs)
        conf.register_opts(theirs)
        theirs([])
        self.assertEqual('/var/lib/nova', theirs.state_path)
        self.assertIsNone(theirs.api_database.connection)
        self.assertIn('db_max_retries', theirs.api_database)
        # Nobody named a database: none is made in a folder of some kind.
        error = self.assertRaises(exception.InvalidURL, nova_cellmap.configure, theirs)
        self.assertIn('[api_database] connection', str(error))

    def test_defaults_that_the_service_sets_later(self) -> None:
        both = cfg.ConfigOpts()
        conf.register_opts(both)
        oslo_dbs_own(both)
        both([])
        self.assertEqual('sqlite:///service', both.database.connection)
        self.assertEqual(77, both.database.max_pool_size)

    def test_an_option_of_another_type_is_refused_by_its_name(self) -> None:
        theirs = cfg.ConfigOpts()
        theirs.register_opt(cfg.ListOpt('topic'), group='conductor')
        error = self.assertRaises(exception.InvalidOption, conf.register_opts, theirs)
        self.assertIn('[conductor] topic', str(error))
        ours = cfg.ConfigOpts()
        conf.register_opts(ours)
        self.assertRaises(
            cfg.DuplicateOptError, ours.register_opt, cfg.ListOpt('topic'), group='conductor'
        )

    def test_the_services_message_queue_keeps_its_default(self) -> None:
        both = cfg.ConfigOpts()
        conf.register_opts(both)
        both([])
        self.assertEqual('rabbit://', both.transport_url)
        # But that is no queue that cells could be told of.
        self.assertIsNone(base_conf.transport_url(both))
        self.file.write_text('[DEFAULT]\ntransport_url = rabbit://mq/\n')
        both(['--config-file', str(self.file)])
        self.assertEqual('rabbit://mq/', base_conf.transport_url(both))
