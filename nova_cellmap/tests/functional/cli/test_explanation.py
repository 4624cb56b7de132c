# SPDX-License-Identifier: Apache-2.0
"""explain."""

import datetime
import shlex

from nova_cellmap import nova_cell
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cli import base

_LONG_AGO = datetime.datetime(2020, 1, 1)


@functional_base.on_both_schemas
class Explain(base.TestCase):
    command = ('cell_v2', 'explain')

    def test_a_problem_and_the_command_that_repairs_it(self) -> None:
        uuid = nova_cell.add(self.nova, host='compute1', display_name='a\x1bb')
        other, _ = self.new_cell('cell2')
        self.make_mapping(instance_uuid=uuid, cell_uuid=other.uuid)
        said = self.assert_succeeds(*self.command, uuid, '-f', 'json').json
        self.assertEqual(('in_flight', None), (said['verdict'], said['repair']))
        self.execute(self.mapping_table.update().values(created_at=_LONG_AGO))
        said = self.assert_succeeds(*self.command, uuid, '-f', 'json').json
        self.assertEqual(uuid, said['instance_uuid'])
        self.assertEqual(('cell2', False), tuple(said['mapping'][name] for name in _OF_MAPPING))
        self.assertEqual(['cell1', 'cell2'], [cell['cell_name'] for cell in said['cells']])
        [row] = said['cells'][0]['instances']
        self.assertEqual(('compute1', 'active'), (row['host'], row['vm_state']))
        self.assertEqual([], said['cells'][1]['instances'])
        self.assertEqual('problems', said['verdict'])
        self.assertEqual(['wrong_cell'], [problem['problem'] for problem in said['problems']])
        program, *words = shlex.split(said['repair'])
        self.assertEqual('nova-cellmap-manage', program)
        # It is this deployment's, and it does repair it.
        self.assertEqual(['--config-file', str(self.config_file)], words[:2])
        self.assert_succeeds(*words[2:])
        self.assertEqual({uuid: self.cell.uuid}, self.mapped())

        table = self.assert_succeeds(*self.command, uuid).out
        for text in ('host compute1', 'cell_name: cell1', r'a\x1bb', 'correct'):
            self.assertIn(text, table)
        value = self.assert_succeeds(*self.command, uuid, '-f', 'value', '-c', 'verdict').out
        self.assertEqual('correct\n', value)

    def test_a_cell_that_does_not_answer(self) -> None:
        self.make_cell(name='lost', database_connection='sqlite:////nosuch/x.sqlite')
        uuid = nova_cell.add(self.nova)
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid)
        outcome = self.assert_ends(5, self.call(*self.command, uuid, '-f', 'json'))
        errors = [cell['error'] for cell in outcome.json['cells']]
        self.assertIsNone(errors[0])
        self.assertIn('no file', errors[1])
        self.assertEqual(1, len(outcome.json['cells'][0]['instances']))

    def test_what_nobody_knows(self) -> None:
        outcome = self.call(*self.command, functional_base.new_uuid(), '-f', 'json')
        self.assertEqual('nowhere', self.assert_ends(1, outcome).json['verdict'])
        self.assertIn('no such instance', outcome.err)
        self.assert_fails(64, *self.command, '1234')


_OF_MAPPING = ('cell_name', 'queued_for_delete')
