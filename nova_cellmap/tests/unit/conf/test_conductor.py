# SPDX-License-Identifier: Apache-2.0
"""The ``[conductor]`` group."""

import socket

from nova_cellmap import conf
from nova_cellmap.conf import conductor
from nova_cellmap.tests import base


class Conductor(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.conf = conf.new(args=[], config_files=[])

    def test_by_default_clients_get_no_urls_and_change_no_cells(self) -> None:
        self.assertEqual(conductor.WITHOUT_URLS, self.conf.conductor.cells)
        self.assertIs(False, self.conf.conductor.cells_writable)

    def test_by_default_it_answers_no_monitoring(self) -> None:
        self.assertIsNone(self.conf.conductor.health)

    def test_cells_are_one_of_three(self) -> None:
        for value in (conductor.FULL, conductor.WITHOUT_URLS, conductor.NONE):
            self.conf.set_override('cells', value, group='conductor')
        self.assertRaises(ValueError, self.conf.set_override, 'cells', 'some', group='conductor')

    def test_numbers_are_positive(self) -> None:
        for name in ('workers', 'page_size'):
            self.assertRaises(ValueError, self.conf.set_override, name, 0, group='conductor')
        self.conf.set_override('graceful_shutdown_timeout', 0, group='conductor')

    def test_the_name_of_the_machine_is_in_no_sample(self) -> None:
        self.assertEqual(socket.gethostname(), self.conf.conductor.host)
        [host] = [opt for opt in conductor.OPTS if opt.dest == 'host']
        self.assertEqual('<the name of the machine>', host.sample_default)
