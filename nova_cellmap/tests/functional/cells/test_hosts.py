# SPDX-License-Identifier: Apache-2.0
"""Which compute hosts a cell has."""

import datetime

from nova_cellmap import exception
from nova_cellmap.cells import database
from nova_cellmap.cells import hosts
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.upkeep import hosts_base


@base.on_each_database
class Hosts(hosts_base.TestCase):
    def all(self) -> dict[str, hosts.Host]:
        with database.connect(self.one) as reader:
            return hosts.Hosts(reader, self.one).all()

    def test_what_is_known_of_each(self) -> None:
        seen = datetime.datetime(2026, 2, 3, 4, 5, 6)
        self.add(self.one_nova, 'Ironic', nodes=3, last_seen_up=seen)
        self.add(self.one_nova, 'other', binary='nova-scheduler', nodes=0)
        self.assertEqual(
            {'ironic': hosts.Host('Ironic', 1, 3, hosts_base.LONG_AGO, seen)}, self.all()
        )

    def test_a_name_that_is_none_is_passed_over(self) -> None:
        self.add(self.one_nova, '')
        self.add(self.one_nova, 'a\x1b')
        with self.one_nova.begin() as connection:
            connection.execute(hosts_base.NODES.insert().values(deleted=0))
        self.assertEqual({}, self.all())

    def test_another_database(self) -> None:
        with self.one_nova.begin() as connection:
            hosts_base.SERVICES.drop(connection)
        error = self.assertRaises(exception.NotACellDatabase, self.all)
        self.assertIn('services', str(error))

    def test_which_have_instances(self) -> None:
        self.add_instance(self.one_nova, 'a')
        self.add_instance(self.one_nova, 'b', deleted=3)
        names = ['a', 'b', *(f'host{number}' for number in range(600))]
        with database.connect(self.one) as reader:
            self.assertEqual({'a'}, hosts.with_instances(reader, self.one, names))
