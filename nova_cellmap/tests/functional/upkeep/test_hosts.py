# SPDX-License-Identifier: Apache-2.0
"""Which hosts Nova has mapped wrongly."""

from typing import Any
from unittest import mock

from oslo_utils import timeutils

from nova_cellmap import exception
from nova_cellmap.cells import database
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.upkeep import hosts_base
from nova_cellmap.upkeep import hosts


@base.on_each_database
class Finding(hosts_base.TestCase):
    def test_where_all_is_well(self) -> None:
        for number in range(3):
            self.add(self.one_nova, f'one{number}', nodes=number)
            self.map(f'one{number}', self.one)
        run = self.audit()
        self.assertEqual({}, self.kinds())
        reports = {uuid: (each.instances, each.mappings) for uuid, each in run.reports.items()}
        self.assertEqual({self.one.uuid: (3, 3), self.other.uuid: (0, 0)}, reports)
        self.assertEqual((3, {}), (run.instances, run.errors))

    def test_each_kind(self) -> None:
        self.add(self.one_nova, 'unmapped', nodes=2)
        self.map('stale', self.one)
        self.add(self.one_nova, 'wrong')
        self.map('wrong', self.other)
        for nova in (self.one_nova, self.other_nova):
            self.add(nova, 'twice')
        self.map('twice', self.other)
        run = self.audit()
        self.assertEqual(
            {
                'unmapped': 'unmapped',
                'stale': 'stale',
                'wrong': 'wrong_cell',
                'twice': 'in_two_cells',
            },
            self.kinds(),
        )
        details = {problem.host: (problem.cell_uuid, problem.detail) for problem in self.found}
        self.assertEqual(
            (self.one.uuid, 'it has a compute service and 2 compute nodes'), details['unmapped']
        )
        self.assertEqual((self.one.uuid, 'no cell has the host'), details['stale'])
        self.assertEqual((self.one.uuid, f'mapped to {self.other.identity}'), details['wrong'])
        self.assertEqual(self.other.uuid, details['twice'][0])
        self.assertRegex(details['twice'][1], r'one.*, last up 20.*other.*; mapped to .*other')
        self.assertEqual([3, 1], [report.left for report in run.reports.values()])

    def test_what_is_deleted_or_no_compute_service_is_no_host(self) -> None:
        self.add(self.one_nova, 'gone', nodes=0, deleted=7)
        self.add(self.one_nova, 'scheduler', nodes=0, binary='nova-scheduler')
        self.map('gone', self.one)
        self.audit()
        self.assertEqual({'gone': 'stale'}, self.kinds())

    def test_a_node_without_a_service_is_a_host(self) -> None:
        self.add(self.one_nova, 'node', deleted=7)
        self.audit()
        [problem] = self.found
        self.assertEqual('it has no compute service and 1 compute node', problem.detail)

    def test_upper_and_lower_case_are_the_same(self) -> None:
        self.add(self.one_nova, 'Compute1')
        self.map('compute1', self.one)
        self.audit()
        self.assertEqual({}, self.kinds())

    def test_what_came_a_moment_ago_is_in_flight(self) -> None:
        self.add(self.one_nova, 'new', nodes=0, created_at=timeutils.utcnow())
        self.map('left', self.one, updated_at=timeutils.utcnow())
        # A service that says all the time that it is up.
        self.add(self.one_nova, 'old', updated_at=timeutils.utcnow())
        run = self.audit(patience=hosts_base.PATIENT)
        self.assertEqual({'old': 'unmapped'}, self.kinds())
        self.assertEqual(2, run.reports[self.one.uuid].in_flight)
        self.audit()
        self.assertEqual({'old', 'new', 'left'}, set(self.kinds()))

    def test_one_cell(self) -> None:
        self.add(self.one_nova, 'one')
        self.add(self.other_nova, 'other')
        self.add(self.other_nova, 'wrong')
        self.map('wrong', self.one)
        run = self.audit(only=self.one)
        self.assertEqual({'one': 'unmapped', 'wrong': 'wrong_cell'}, self.kinds())
        self.assertEqual([self.one.uuid], list(run.reports))
        self.assertEqual(2, run.reports[self.one.uuid].left)

    def test_many(self) -> None:
        with self.one_nova.begin() as connection:
            row = {'binary': 'nova-compute', 'created_at': hosts_base.LONG_AGO, 'deleted': 0}
            rows = [{**row, 'host': f'host{number}'} for number in range(2500)]
            connection.execute(hosts_base.SERVICES.insert(), rows)
        run = self.audit()
        self.assertEqual((2500, 2500), (len(self.kinds()), run.instances))


@base.on_each_database
class Doubts(hosts_base.TestCase):
    """What cannot be told for sure is said."""

    def break_other(self) -> None:
        with self.other_nova.begin() as connection:
            hosts_base.NODES.drop(connection)

    def test_a_cell_that_cannot_be_read(self) -> None:
        self.add(self.one_nova, 'unmapped')
        self.add(self.one_nova, 'perhaps')
        self.map('perhaps', self.other)
        self.map('stale', self.one)
        self.break_other()
        run = self.audit()
        self.assertEqual({'unmapped': 'unmapped'}, self.kinds())
        self.assertIn('not all cells could be read', self.found[0].detail)
        self.assertEqual([self.other.uuid], list(run.errors))
        self.assertIn('compute_nodes', str(run.errors[self.other.uuid]))

    def test_a_cell_that_has_instances_on_a_host_which_it_has_not(self) -> None:
        self.add(self.one_nova, 'wrong')
        for host in ('wrong', 'stale', 'empty'):
            self.map(host, self.other)
            self.add_instance(self.other_nova, host, deleted=int(host == 'empty'))
        self.add(self.other_nova, 'there')
        self.map('there', self.other)
        self.audit()
        details = {problem.host: problem.detail for problem in self.found}
        self.assertIn(f'{self.other.identity} has instances on it', details['wrong'])
        self.assertIn(f'{self.other.identity} has instances on it', details['stale'])
        self.assertEqual('no cell has the host', details['empty'])

    def test_a_cell_without_hosts(self) -> None:
        self.map('stale', self.one)
        self.audit()
        self.assertIn(f'{self.one.identity} has no host at all', self.found[0].detail)


class Races(hosts_base.TestCase):
    def test_what_others_map_meanwhile_is_in_good_hands(self) -> None:
        self.add(self.one_nova, 'new')
        run = hosts.HostAudit(self.context, CellMappingList.get_all(self.context))
        connect = database.connect

        def map_and_connect(cell: CellMapping) -> Any:
            if cell.uuid == self.one.uuid:
                self.map('new', self.one)
            return connect(cell)

        with mock.patch.object(database, 'connect', map_and_connect):
            self.assertEqual([], list(run.problems()))


class OwnTables(base.TestCase):
    def test_they_have_no_hosts(self) -> None:
        run = hosts.HostAudit(self.context, [])
        self.assertRaises(exception.NotNovasTables, list, run.problems())
