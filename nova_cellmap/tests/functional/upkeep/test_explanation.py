# SPDX-License-Identifier: Apache-2.0
"""Everything about one instance at a glance."""

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.cells.traces import Traces
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import explanation
from nova_cellmap.upkeep.explanation import Explanation
from nova_cellmap.upkeep.explanation import State


class _Case(cells_base.TestCase):
    def explain(self, uuid: str) -> Explanation:
        before = self.mapped()
        found = explanation.explain(self.context, uuid)
        self.assertEqual(before, self.mapped())
        return found

    def in_cell(self, found: Explanation, cell: CellMapping | None = None) -> Traces:
        wanted = (cell or self.cell).uuid
        [traces] = [each for each in found.cells if each.cell.uuid == wanted]
        return traces

    def kinds(self, found: Explanation) -> list[str]:
        return [problem.kind.value for problem in found.problems]


@base.on_both_schemas
class Verdicts(_Case):
    def test_a_correct_one(self) -> None:
        uuid = nova_cell.add(self.nova, host='compute1')
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid)
        found = self.explain(uuid.upper())
        self.assertEqual((State.CORRECT, [], None), (found.state, found.problems, found.repair))
        assert found.mapping is not None
        self.assertEqual(self.cell.uuid, found.mapping['cell_uuid'])
        [row] = self.in_cell(found).instances
        self.assertEqual((uuid, 'active', 'compute1'), (row['uuid'], row['vm_state'], row['host']))
        self.assertEqual((False, False), (row['hidden'], row['deleted']))

    def test_each_problem_has_the_command_that_repairs_it(self) -> None:
        other, nova = self.new_cell('cell2')
        missing, wrong, twice = (nova_cell.add(self.nova) for _ in range(3))
        nova_cell.add(nova, uuid=twice)
        odd = nova_cell.add(self.nova, project_id='p\x1b')
        self.make_mapping(instance_uuid=wrong, cell_uuid=other.uuid)
        self.make_mapping(instance_uuid=twice, cell_uuid=self.cell.uuid)
        orphaned = self.make_mapping(cell_uuid=self.cell.uuid).instance_uuid
        for uuid, kind, words in (
            (missing, 'missing', ['audit', '--instance', missing, '--repair']),
            (wrong, 'wrong_cell', ['audit', '--instance', wrong, '--repair']),
            (orphaned, 'orphaned', ['audit', '--instance', orphaned, '--purge']),
            (twice, 'duplicate', ['resolve_duplicate', twice, '--keep', 'CELL']),
            (odd, 'invalid_row', []),
        ):
            found = self.explain(uuid)
            self.assertEqual((State.PROBLEMS, [kind]), (found.state, self.kinds(found)))
            self.assertEqual(words, (found.repair or [])[1:])

    def test_one_that_nova_is_at_work_on(self) -> None:
        uuid = nova_cell.add(self.nova, task_state='deleting')
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid, queued_for_delete=True)
        found = self.explain(uuid)
        self.assertEqual((State.IN_FLIGHT, [], None), (found.state, found.problems, found.repair))

    def test_what_nobody_knows(self) -> None:
        found = self.explain(base.new_uuid())
        self.assertEqual((State.NOWHERE, None), (found.state, found.mapping))
        self.assertRaises(exception.InvalidInput, self.explain, '1234')

    def test_one_that_is_mapped_to_no_cell(self) -> None:
        found = self.explain(self.make_mapping().instance_uuid)
        self.assertEqual((State.CORRECT, []), (found.state, found.problems))


@base.on_both_schemas
class Cells(_Case):
    def test_a_cell_that_does_not_answer(self) -> None:
        lost = self.make_cell(name='lost', database_connection='sqlite:////nosuch/x.sqlite')
        uuid = nova_cell.add(self.nova)
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid)
        found = self.explain(uuid)
        self.assertFalse(found.are_all_cells_read)
        self.assertIn('lost', str(self.in_cell(found, lost).error))
        self.assertEqual(1, len(self.in_cell(found).instances))
        self.assertEqual(State.CORRECT, found.state)
        there = self.make_mapping(cell_uuid=lost.uuid).instance_uuid
        self.assertEqual(State.UNKNOWN, self.explain(there).state)
        self.assertEqual(State.UNKNOWN, self.explain(base.new_uuid()).state)

    def test_no_cell_at_all(self) -> None:
        self.cell.destroy()
        self.assertEqual(State.NOWHERE, self.explain(base.new_uuid()).state)


@base.on_both_schemas
class NovasTables(_Case):
    def test_what_they_have_is_told_beside_the_mapping(self) -> None:
        uuid = self.make_mapping().instance_uuid
        nova = self.explain(uuid).nova
        if self.schema == 'own':
            self.assertIsNone(nova)
        else:
            names = ('build_request', 'request_spec', 'server_group')
            self.assertEqual(dict.fromkeys(names), nova)
