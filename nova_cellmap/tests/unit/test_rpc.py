# SPDX-License-Identifier: Apache-2.0
"""Connections to message queues, before anything is connected."""

import pathlib
from typing import Any

from amqp import exceptions as amqp  # type: ignore[import-untyped]
import fixtures
from oslo_concurrency import lockutils
from oslo_config import cfg
import oslo_messaging

from nova_cellmap import conf
from nova_cellmap import exception
from nova_cellmap import rpc
from nova_cellmap.tests import base

_URL = 'rabbit://nova:sekret@mq.example.org:5672/'


class _Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.conf = conf.new(args=[], config_files=[])


class Transport(_Case):
    def refused(self, url: str | None, **options: Any) -> str:
        error = self.assertRaises(exception.InvalidURL, rpc.transport, self.conf, url, **options)
        self.assertNotIn('sekret', str(error))
        return str(error)

    def test_nothing_is_connected_yet(self) -> None:
        transport = rpc.transport(self.conf, _URL)
        self.addCleanup(transport.cleanup)
        self.assertIsInstance(transport, oslo_messaging.Transport)

    def test_a_queue_has_to_be_named(self) -> None:
        self.assertIn('[DEFAULT] transport_url is not set', self.refused(None))
        self.assertIn('of cell east is not set', self.refused(None, whose='that of cell east'))

    def test_what_is_no_url_is_refused_without_its_password(self) -> None:
        for url in ('nonsense', 'nosuch://u:sekret@h/', 'rabbit://u:p@h:sekret/'):
            self.assertIn('that of cell east', self.refused(url, whose='that of cell east'))


class Options(_Case):
    def refused(self, **options: Any) -> str:
        rpc.register_opts(self.conf)
        for name, value in options.items():
            self.conf.set_override(name, value, group='oslo_messaging_rabbit')
        error = self.assertRaises(exception.InvalidOption, rpc.transport, self.conf, _URL)
        return str(error)

    def test_files_have_to_be_there(self) -> None:
        self.assertIn('/no/such.pem', self.refused(ssl=True, ssl_ca_file='/no/such.pem'))

    def test_files_are_not_looked_at_without_tls(self) -> None:
        rpc.register_opts(self.conf)
        self.conf.set_override('ssl_ca_file', '/no/such.pem', group='oslo_messaging_rabbit')
        rpc.transport(self.conf, _URL).cleanup()

    def test_streams_need_a_bound_and_quorum_queues(self) -> None:
        self.assertIn('rabbit_qos_prefetch_count', self.refused(rabbit_stream_fanout=True))
        self.assertIn('rabbit_transient_quorum_queue', self.refused(rabbit_qos_prefetch_count=5))

    def test_the_queue_manager_needs_a_folder_for_locks(self) -> None:
        self.assertIn('lock_path', self.refused(use_queue_manager=True))
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.conf.set_override('lock_path', str(folder), group='oslo_concurrency')
        rpc.transport(self.conf, _URL).cleanup()

    def test_a_folder_for_locks_is_no_other_configurations(self) -> None:
        folder = self.useFixture(fixtures.TempDir()).path
        rpc.register_opts(self.conf)
        self.conf.set_override('use_queue_manager', True, group='oslo_messaging_rabbit')
        self.conf.set_override('lock_path', folder, group='oslo_concurrency')
        rpc.transport(self.conf, _URL).cleanup()
        self.assertEqual(folder, lockutils.get_lock_path(cfg.CONF))
        self.assertNotEqual(folder, lockutils.get_lock_path(cfg.ConfigOpts()))

    def test_registering_twice_does_no_harm(self) -> None:
        rpc.register_opts(self.conf)
        rpc.register_opts(self.conf)
        # oslo.messaging has them on the process' configuration alone.
        self.assertIn('metrics_enabled', self.conf.oslo_messaging_metrics)


class Refusal(base.TestCase):
    def test_what_will_not_pass_is_one_also_as_a_cause(self) -> None:
        cause = amqp.AccessRefused('ACCESS_REFUSED - login was refused')
        for error in (cause, self.caused(oslo_messaging.MessageDeliveryFailure('x'), cause)):
            found = rpc.refusal(error, _URL)
            assert found is not None
            self.assertIn('login was refused', str(found))
            self.assertIn('rabbit://nova:***@mq.example.org', str(found))

    def test_what_may_pass_is_none(self) -> None:
        for error in (
            OSError('connection refused'),
            amqp.ConnectionForced('CONNECTION_FORCED'),
            self.caused(oslo_messaging.MessageDeliveryFailure('x'), OSError('reset')),
        ):
            self.assertIsNone(rpc.refusal(error, _URL))

    def caused(self, error: Exception, cause: Exception) -> Exception:
        error.__cause__ = cause
        return error
