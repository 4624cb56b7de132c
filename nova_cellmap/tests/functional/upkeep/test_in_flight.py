# SPDX-License-Identifier: Apache-2.0
"""What Nova is at work on: the audit counts it, and leaves it alone."""

from typing import Any

import sqlalchemy as sa

from nova_cellmap import nova_cell
from nova_cellmap.objects import CellMappingList
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import audit
from nova_cellmap.upkeep import mapping


class _Case(cells_base.TestCase):
    def audit(self) -> tuple[list[str], int]:
        """The kinds of problems that are found, and how many instances are in flight."""
        cells = CellMappingList.get_all(self.context)
        run = audit.Audit(self.context, cells, repair=True, purge=True)
        kinds = [problem.kind.value for problem in run.problems()]
        return kinds, sum(report.in_flight for report in run.reports.values())

    def add(self, mapped: dict[str, Any], **values: Any) -> InstanceMapping:
        """An instance of the cell that has a mapping."""
        uuid = nova_cell.add(self.nova, **values)
        return self.make_mapping(instance_uuid=uuid, **mapped)

    def assert_same(self, mapping: InstanceMapping) -> None:
        now = InstanceMapping.get_by_instance_uuid(self.context, mapping.instance_uuid)
        self.assertEqual(mapping.cell_uuid, now.cell_uuid)
        self.assertEqual(bool(mapping.queued_for_delete), bool(now.queued_for_delete))


@base.on_both_schemas
class Deletes(_Case):
    """Nova asks for a deletion first, and writes that the instance is queued then."""

    def test_one_that_is_being_deleted_or_restored_is_left_alone(self) -> None:
        here = {'cell_uuid': self.cell.uuid}
        mappings = [
            self.add({**here, 'queued_for_delete': True}, task_state='deleting'),
            self.add({**here, 'queued_for_delete': True}, task_state='soft-deleting'),
            self.add(here, vm_state='soft-delete', task_state='restoring'),
        ]
        self.assertEqual(([], 3), self.audit())
        for each in mappings:
            self.assert_same(each)

    def test_what_is_written_already_is_no_difference(self) -> None:
        self.add({'cell_uuid': self.cell.uuid}, task_state='deleting')
        self.assertEqual(([], 0), self.audit())

    def test_a_deleted_one_is_not_at_work(self) -> None:
        self.add({'cell_uuid': self.cell.uuid}, task_state='deleting', deleted=7)
        self.assertEqual((['stale_queued_for_delete'], 0), self.audit())

    def test_nor_is_one_that_is_rebuilt(self) -> None:
        queued = {'cell_uuid': self.cell.uuid, 'queued_for_delete': True}
        self.add(queued, task_state='rebuilding')
        self.assertEqual((['stale_queued_for_delete'], 0), self.audit())

    def test_another_problem_of_it_is_repaired(self) -> None:
        queued = {'cell_uuid': self.cell.uuid, 'queued_for_delete': True}
        others = self.add({**queued, 'project_id': 'another'}, task_state='deleting')
        self.assertEqual((['wrong_owner'], 1), self.audit())
        self.assert_same(others)
        now = InstanceMapping.get_by_instance_uuid(self.context, others.instance_uuid)
        self.assertEqual('project', now.project_id)


@base.on_each_database
class Builds(_Case):
    """Nova maps what it builds, and removes its build request then."""

    schema = 'nova'

    def request(self, uuid: str) -> None:
        """Have Nova be building an instance."""
        table = sa.table('build_requests', *map(sa.column, ('instance_uuid', 'project_id')))
        self.execute(table.insert().values(instance_uuid=uuid, project_id='project'))

    def test_one_with_a_build_request_is_left_alone(self) -> None:
        building = self.add({})
        self.request(building.instance_uuid)
        self.assertEqual(([], 1), self.audit())
        self.assert_same(building)

    def test_map_instances_leaves_it_alone_too(self) -> None:
        building, unmapped = self.add({}), self.add({})
        self.request(building.instance_uuid)
        run = mapping.map_instances(self.context, self.cell)
        self.assertEqual((1, 1, 0), (run.created, run.existing, run.conflicts))
        self.assert_same(building)
        now = InstanceMapping.get_by_instance_uuid(self.context, unmapped.instance_uuid)
        self.assertEqual(self.cell.uuid, now.cell_uuid)

    def test_so_is_one_without_a_mapping(self) -> None:
        self.request(nova_cell.add(self.nova))
        self.assertEqual(([], 1), self.audit())
        self.assertEqual({}, self.mapped())

    def test_without_one_it_is_mapped(self) -> None:
        made = self.add({})
        self.assertEqual((['no_cell'], 0), self.audit())
        self.assertEqual({made.instance_uuid: self.cell.uuid}, self.mapped())

    def test_one_in_no_cell_is_no_difference(self) -> None:
        self.request(self.make_mapping().instance_uuid)
        self.assertEqual(([], 0), self.audit())

    def test_one_that_is_mapped_is_not_built(self) -> None:
        other, _ = self.new_cell('cell2')
        made = self.add({'cell_uuid': other.uuid})
        self.request(made.instance_uuid)
        self.assertEqual((['wrong_cell'], 0), self.audit())
