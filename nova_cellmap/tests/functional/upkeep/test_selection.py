# SPDX-License-Identifier: Apache-2.0
"""Audits that look at some instances alone."""

from nova_cellmap import nova_cell
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.upkeep import base as upkeep_base


@base.on_both_schemas
class Selected(upkeep_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cell2, self.nova2 = self.new_cell('cell2')

    def uuids(self) -> list[str]:
        return sorted(problem.instance_uuid for problem in self.found)

    def test_some_instances_alone(self) -> None:
        missing, no_cell, _ = self.add(1) + self.add(2, cell_uuid=None)
        gone = self.make_mapping(cell_uuid=self.cell.uuid).instance_uuid
        run = self.audit(instances=[missing, no_cell, gone], repair=True, purge=True)
        self.assertEqual(sorted([missing, no_cell, gone]), self.uuids())
        self.assertEqual((3, []), (run.instances, run.unknown))
        self.audit()
        self.assertEqual(['no_cell'], self.kinds())

    def test_one_that_nobody_knows(self) -> None:
        [known], unknown = self.add(1, cell_uuid=self.cell.uuid), base.new_uuid()
        self.assertEqual([unknown], self.audit(instances=[known, unknown]).unknown)
        self.assertEqual([], self.found)

    def test_where_a_cell_is_not_read_it_may_be_there(self) -> None:
        self.make_cell(name='none')
        run = self.audit(instances=[base.new_uuid()])
        self.assertEqual(([], 1), (run.unknown, len(run.errors)))

    def test_the_instances_of_a_project(self) -> None:
        theirs = [
            nova_cell.add(self.nova, project_id='theirs'),
            nova_cell.add(self.nova2, project_id='theirs'),
            self.make_mapping(project_id='theirs', cell_uuid=self.cell.uuid).instance_uuid,
            # Of which one side alone says so.
            *self.add(1, project_id='theirs'),
            *self.add(1, project_id='theirs', cell_uuid=None),
        ]
        taken = nova_cell.add(self.nova, project_id='theirs')
        self.make_mapping(instance_uuid=taken, cell_uuid=self.cell.uuid)
        others = self.add(1) + self.add(1, cell_uuid=self.cell2.uuid)
        self.make_mapping(cell_uuid=self.cell.uuid)
        run = self.audit(project_id='theirs', repair=True, purge=True, batch_size=2)
        self.assertEqual({*theirs, taken}, {*self.uuids()})
        self.assertEqual({True}, {problem.repaired for problem in self.found})
        self.assertEqual(3, run.instances)
        self.audit(project_id='theirs')
        self.assertEqual([], self.found)
        self.audit()
        self.assertEqual(3, len(self.found))
        self.assertLess(set(others), set(self.uuids()))

    def test_rows_of_other_projects_that_are_spelled_otherwise(self) -> None:
        mine, other = base.new_uuid(), base.new_uuid()
        nova_cell.add(self.nova, uuid=mine.upper(), project_id='theirs')
        nova_cell.add(self.nova, uuid=other.upper())
        self.audit(project_id='theirs')
        self.assertEqual([mine], self.uuids())
