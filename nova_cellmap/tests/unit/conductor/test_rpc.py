# SPDX-License-Identifier: Apache-2.0
"""What the two sides of the conductor agree on."""

from nova_cellmap import conf
from nova_cellmap import exception
from nova_cellmap.conductor import rpc
from nova_cellmap.tests import base


class Target(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.conf = conf.new(args=[], config_files=[])
        self.conf.set_override('topic', 'our-topic', group='conductor')

    def test_a_client_calls_what_a_server_listens_to(self) -> None:
        called, listening = rpc.target(self.conf), rpc.target(self.conf, server='a.b-c')
        self.assertEqual(('our-topic', called.exchange), (listening.topic, listening.exchange))
        self.assertEqual((rpc.NAMESPACE, rpc.VERSION), (called.namespace, called.version))
        self.assertEqual('a.b-c', listening.server)
        # The namespace and the version are those of what it calls.
        self.assertEqual((None, None), (listening.namespace, listening.version))

    def test_each_worker_has_a_name(self) -> None:
        name = 'x' * 100
        for worker in (0, 99):
            listening = rpc.target(self.conf, server=name, worker=worker)
            self.assertEqual(rpc.worker_name(name, worker), listening.server)
            self.assertEqual(f'{name}:{worker}', listening.server)

    def test_names_that_a_queue_cannot_have(self) -> None:
        for name in ('', '*', '#', 'a b', 'x' * 101):
            error = self.assertRaises(exception.InvalidOption, rpc.target, self.conf, server=name)
            self.assertIn('[conductor] host', str(error))
            self.conf.set_override('topic', name, group='conductor')
            error = self.assertRaises(exception.InvalidOption, rpc.target, self.conf)
            self.assertIn('[conductor] topic', str(error))
            self.conf.set_override('topic', 'our-topic', group='conductor')
