# SPDX-License-Identifier: Apache-2.0
"""What Nova is at work on: the audit counts it, and leaves it alone."""

import datetime
from typing import Any
from unittest import mock

from oslo_utils import timeutils
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.cells import migrations
from nova_cellmap.db import api as db_api
from nova_cellmap.objects import CellMappingList
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import age
from nova_cellmap.upkeep import audit
from nova_cellmap.upkeep import mapping

_LONG_AGO = datetime.datetime(2026, 1, 1)


class _Case(cells_base.TestCase):
    patience = age.Patience()

    def audit(self) -> tuple[list[str], int]:
        """The kinds of problems that are found, and how many instances are in flight."""
        cells = CellMappingList.get_all(self.context)
        run = audit.Audit(self.context, cells, repair=True, purge=True, patience=self.patience)
        kinds = [problem.kind.value for problem in run.problems()]
        return kinds, sum(report.in_flight for report in run.reports.values())

    def add(self, mapped: dict[str, Any], **values: Any) -> InstanceMapping:
        """An instance of the cell that has a mapping."""
        uuid = nova_cell.add(self.nova, **values)
        return self.make_mapping(instance_uuid=uuid, **mapped)

    def age(self, mapping: InstanceMapping, **values: Any) -> None:
        """Have a mapping be an old one, or as *values* say."""
        table = self.mapping_table
        written = {'created_at': _LONG_AGO, 'updated_at': None, **values}
        self.execute(
            table.update().where(table.c.instance_uuid == mapping.instance_uuid).values(written)
        )

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

    def test_what_is_for_too_long_is_stuck_and_never_repaired(self) -> None:
        queued = {'cell_uuid': self.cell.uuid, 'queued_for_delete': True}
        mapping = self.add({**queued, 'project_id': 'another'}, task_state='deleting')
        self.age(mapping)
        self.assertEqual((['wrong_owner', 'stuck'], 0), self.audit())
        self.assert_same(mapping)
        # A repair of something else is a change.
        self.assertEqual(([], 1), self.audit())
        self.age(mapping)
        [stuck] = audit.Audit(
            self.context, CellMappingList.get_all(self.context), repair=True
        ).problems()
        self.assertFalse(stuck.repaired)
        self.assertRegex(stuck.detail, r'task_state is deleting: nothing has changed for \d+ days')

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

    def request(self, uuid: str, created_at: datetime.datetime | None = None) -> None:
        """Have Nova be building an instance."""
        names = 'instance_uuid', 'project_id', 'created_at'
        table = sa.table('build_requests', *map(sa.column, names))
        row = {'instance_uuid': uuid, 'project_id': 'project', 'created_at': created_at}
        self.execute(table.insert().values(row))

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

    def test_one_that_is_being_scheduled_needs_no_request(self) -> None:
        made = self.add({}, task_state='scheduling')
        self.assertEqual(([], 1), self.audit())
        self.assert_same(made)

    def test_what_is_built_for_too_long_is_stuck(self) -> None:
        made = self.add({})
        self.request(made.instance_uuid, created_at=_LONG_AGO)
        self.age(made)
        self.assertEqual((['stuck'], 0), self.audit())
        self.assert_same(made)


@base.on_both_schemas
class Moves(_Case):
    """Nova shows an instance in the one cell before it hides it in the other."""

    def move(self, status: str | None, **values: Any) -> InstanceMapping:
        """An instance that is shown in two cells, and a migration of it in the second."""
        mapping = self.add({'cell_uuid': self.cell.uuid})
        _, nova = self.new_cell('cell2')
        nova_cell.add(nova, uuid=mapping.instance_uuid)
        row = {'instance_uuid': mapping.instance_uuid, 'status': status, 'deleted': 0}
        with nova.begin() as connection:
            connection.execute(nova_cell.migrations.insert(), {**row, **values})
        return mapping

    def test_one_that_is_under_way_is_left_alone(self) -> None:
        moved = self.move('finished', cross_cell_move=True)
        self.assertEqual(([], 1), self.audit())
        self.assert_same(moved)

    def test_one_that_is_over_is_none(self) -> None:
        self.move('confirmed', cross_cell_move=True)
        self.assertEqual((['duplicate'], 0), self.audit())

    def test_nor_is_one_that_failed(self) -> None:
        self.move('error', cross_cell_move=True)
        self.assertEqual((['duplicate'], 0), self.audit())

    def test_nor_is_one_within_a_cell(self) -> None:
        self.move('migrating', cross_cell_move=False)
        self.assertEqual((['duplicate'], 0), self.audit())

    def test_nor_is_one_that_is_deleted(self) -> None:
        self.move('migrating', cross_cell_move=True, deleted=1)
        self.assertEqual((['duplicate'], 0), self.audit())

    def test_where_it_cannot_be_told_there_is_none(self) -> None:
        self.move('finished', cross_cell_move=True)
        run = audit.Audit(self.context, CellMappingList.get_all(self.context))
        refused = exception.CellUnreachable(cell='cell2', reason='SELECT is not granted')
        with mock.patch.object(migrations.Migrations, 'moves_of', side_effect=refused):
            self.assertEqual(['duplicate'], [problem.kind.value for problem in run.problems()])
        self.assertEqual({}, run.errors)

    def test_one_for_too_long_is_stuck(self) -> None:
        self.age(self.move('reverting', cross_cell_move=True))
        [problem] = audit.Audit(self.context, CellMappingList.get_all(self.context)).problems()
        self.assertEqual('stuck', problem.kind.value)
        self.assertIn('its migration from cell to cell is reverting: nothing', problem.detail)


@base.on_both_schemas
class Ages(_Case):
    """What was changed a moment ago is looked at another time."""

    patience = age.Patience(datetime.timedelta(minutes=15))

    def now(self) -> datetime.datetime:
        """The time by the clock of the server, which may be another than that of the tests."""
        return db_api.utc_time_get(self.context)

    def wrong(self, **values: Any) -> InstanceMapping:
        """One that is mapped wrongly, for long: of another project than its cell says."""
        mapping = self.add({'cell_uuid': self.cell.uuid, 'project_id': 'another'}, **values)
        self.age(mapping)
        return mapping

    def test_what_was_changed_long_ago_is_repaired(self) -> None:
        self.wrong(updated_at=self.now() - datetime.timedelta(minutes=16))
        self.assertEqual((['wrong_owner'], 0), self.audit())
        self.assertEqual(([], 0), self.audit())

    def test_an_instance_that_was_changed_later_is_left_alone(self) -> None:
        left = self.wrong(updated_at=self.now() - datetime.timedelta(minutes=14))
        self.assertEqual(([], 1), self.audit())
        now = InstanceMapping.get_by_instance_uuid(self.context, left.instance_uuid)
        self.assertEqual('another', now.project_id)

    def test_so_is_one_that_was_made_later(self) -> None:
        self.wrong(created_at=self.now())
        self.assertEqual(([], 1), self.audit())

    def test_so_is_a_mapping_that_was_changed_later(self) -> None:
        mapping = self.wrong()
        self.age(mapping, updated_at=self.now())
        self.assertEqual(([], 1), self.audit())

    def test_so_is_one_that_no_cell_has(self) -> None:
        gone = self.make_mapping(cell_uuid=self.cell.uuid)
        self.assertEqual(([], 1), self.audit())
        self.age(gone)
        self.assertEqual((['orphaned'], 0), self.audit())

    def test_the_hidden_half_of_a_move_counts(self) -> None:
        mapping = self.wrong()
        _, nova = self.new_cell('cell2')
        nova_cell.add(nova, uuid=mapping.instance_uuid, hidden=True, updated_at=self.now())
        self.assertEqual(([], 1), self.audit())

    def test_a_clock_that_is_ahead(self) -> None:
        self.wrong(updated_at=self.now() + datetime.timedelta(hours=1))
        self.assertEqual(([], 1), self.audit())

    def test_a_time_that_is_none(self) -> None:
        self.wrong(updated_at=self.now() + datetime.timedelta(days=400))
        self.wrong(created_at=None)
        self.assertEqual((['wrong_owner'] * 2, 0), self.audit())

    def test_an_invalid_row_is_told_at_once(self) -> None:
        nova_cell.add(self.nova, project_id='p\x1b', created_at=self.now())
        self.assertEqual((['invalid_row'], 0), self.audit())

    def test_what_this_machine_takes_for_the_time_does_not_matter(self) -> None:
        self.wrong(updated_at=self.now())
        clock = timeutils.utcnow() + datetime.timedelta(days=2)
        with mock.patch.object(timeutils, 'utcnow', return_value=clock):
            self.assertEqual(([], 1), self.audit())

    def test_a_repair_that_was_not_made_is_not_told_as_made(self) -> None:
        """Somebody else has changed the mapping meanwhile, and it is young then."""
        mapping = self.wrong()
        real = db_api.instance_mapping_update_bulk

        def others_first(*args: Any) -> list[str]:
            self.age(mapping, updated_at=self.now(), project_id='third')
            return real(*args)

        run = audit.Audit(
            self.context,
            CellMappingList.get_all(self.context),
            repair=True,
            patience=self.patience,
        )
        with mock.patch.object(db_api, 'instance_mapping_update_bulk', side_effect=others_first):
            self.assertEqual([False], [problem.repaired for problem in run.problems()])
