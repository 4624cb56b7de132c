# SPDX-License-Identifier: Apache-2.0
"""The audits of hosts and of leftovers, on Nova's own tables."""

import json

import sqlalchemy as sa

from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cli import base
from nova_cellmap.tests.functional.upkeep import hosts_base


class Hosts(base.TestCase, hosts_base.TestCase):
    def test_a_row_for_each_host_and_a_summary(self) -> None:
        self.add(self.one_nova, 'compute1')
        self.map('compute2', self.other)
        file = self.folder / 'summary.json'
        command = 'cell_v2', 'audit', '--hosts', '--summary', str(file)
        outcome = self.assert_ends(1, self.call(*command, '-f', 'json'))
        self.assertEqual(
            [
                {
                    'host': 'compute1',
                    'problem': 'unmapped',
                    'cell_uuid': self.one.uuid,
                    'detail': 'it has a compute service and 1 compute node',
                },
                {
                    'host': 'compute2',
                    'problem': 'stale',
                    'cell_uuid': self.other.uuid,
                    'detail': f'no cell has the host; {self.other.identity} has no host at all',
                },
            ],
            outcome.json,
        )
        self.assertRegex(outcome.err, r'one +1 +1 +0 +1')
        self.assertIn('2 problems left (1 host in', outcome.err)
        summary = json.loads(file.read_text())
        self.assertEqual((1, 2, 1), (summary['hosts'], summary['problems'], summary['mappings']))
        self.assertEqual({'unmapped': 1}, summary['cells'][0]['problems'])
        self.map('compute1', self.one)
        self.execute(sa.text("DELETE FROM host_mappings WHERE host = 'compute2'"))
        self.assertIn('The mapping is correct', self.assert_succeeds(*command).err)

    def test_a_cell_that_cannot_be_read(self) -> None:
        self.make_cell(name='lost')
        outcome = self.assert_ends(2, self.call('cell_v2', 'audit', '--hosts'))
        self.assertIn('Not all cells could be read', outcome.err)

    def test_options_of_instances_are_refused(self) -> None:
        for option in (('--project', 'p'), ('--max-duration', '1h'), ('--leftovers',)):
            told = self.assert_fails(64, 'cell_v2', 'audit', '--hosts', *option)
            self.assertIn(option[0], told)
        self.assert_fails(64, 'cell_v2', 'audit', '--hosts', '-c', 'instance_uuid')


class Leftovers(base.TestCase):
    schema = 'nova'
    command = 'cell_v2', 'audit', '--leftovers'

    def test_a_row_for_each_and_a_summary(self) -> None:
        uuid = functional_base.new_uuid()
        insert = sa.text("INSERT INTO request_specs (instance_uuid, spec) VALUES (:uuid, '{}')")
        self.execute(insert.bindparams(uuid=uuid))
        file = self.folder / 'summary.json'
        command = (*self.command, '--summary', str(file))
        outcome = self.assert_ends(1, self.call(*command, '-f', 'json'))
        self.assertEqual(
            [
                {
                    'instance_uuid': uuid,
                    'problem': 'request_spec_left',
                    'cell_uuid': '',
                    'detail': 'no cell has the instance, and it has no mapping',
                }
            ],
            outcome.json,
        )
        self.assertIn('1 left (1 rows in', outcome.err)
        summary = json.loads(file.read_text())
        self.assertEqual({'request_spec_left': 1}, summary['by_kind'])
        self.execute(sa.text('DELETE FROM request_specs'))
        self.assertIn('Nothing is left (0 rows', self.assert_succeeds(*command).err)

    def test_a_cell_that_cannot_be_read(self) -> None:
        lost = self.make_cell(name='lost')
        insert = "INSERT INTO request_specs (instance_uuid, spec) VALUES ('{}', 'x')"
        self.execute(sa.text(insert.format(functional_base.new_uuid())))
        outcome = self.assert_ends(2, self.call(*self.command))
        self.assertIn(lost.identity, outcome.err)

    def test_options_of_instances_are_refused(self) -> None:
        for option in (('--project', 'p'), ('--cell', 'cell1'), ('--max-duration', '1h')):
            self.assertIn(option[0], self.assert_fails(64, *self.command, *option))


class OwnTables(base.TestCase):
    def test_they_have_neither(self) -> None:
        for option in ('--hosts', '--leftovers'):
            self.assertIn('nova.conf', self.assert_fails(64, 'cell_v2', 'audit', option))
