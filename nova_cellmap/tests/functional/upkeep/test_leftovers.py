# SPDX-License-Identifier: Apache-2.0
"""What Nova has left behind in its API database."""

import datetime
from typing import Any

from oslo_utils import timeutils
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import leftovers
from nova_cellmap.upkeep.age import Patience

_LONG_AGO = datetime.datetime(2026, 1, 1)
_NEEDED: dict[str, dict[str, Any]] = {
    'build_requests': {'project_id': 'project'},
    'request_specs': {'spec': '{}'},
    'instance_group_member': {'group_id': 7},
}


class _Case(cells_base.TestCase):
    schema = 'nova'

    def setUp(self) -> None:
        super().setUp()
        self.insert('instance_groups', id=7, uuid=base.new_uuid(), name='group')

    def insert(self, table: str, **values: Any) -> None:
        row = {'created_at': _LONG_AGO, **_NEEDED.get(table, {}), **values}
        self.execute(sa.table(table, *map(sa.column, row)).insert().values(row))

    def has(self, uuid: str, *tables: str, **values: Any) -> str:
        """Have these tables have a row of an instance."""
        for table in tables:
            self.insert(table, instance_uuid=uuid, **values)
        return uuid

    def map(self, uuid: str, **values: Any) -> str:
        """Have an instance be mapped, long ago."""
        self.make_mapping(instance_uuid=uuid)
        table = self.mapping_table
        said = {'cell_uuid': self.cell.uuid, 'created_at': _LONG_AGO, **values}
        self.execute(table.update().where(table.c.instance_uuid == uuid).values(said))
        return uuid

    def add(self, **values: Any) -> str:
        """An instance that is mapped rightly."""
        return self.map(nova_cell.add(self.nova), **values)

    def audit(self, **options: Any) -> leftovers.LeftoverAudit:
        """An audit that has come to its end."""
        cells = CellMappingList.get_all(self.context)
        run = leftovers.LeftoverAudit(self.context, cells, **options)
        self.problems = list(run.problems())
        return run

    def found(self) -> set[tuple[str, str]]:
        found = {(problem.instance_uuid, problem.kind.value) for problem in self.problems}
        self.assertEqual(len(self.problems), len(found))
        return found


_ROWS = ('request_specs', 'instance_group_member')
_KINDS = ('request_spec_left', 'group_member_left')


@base.on_each_database
class Rows(_Case):
    def test_of_instances_that_are_there_none_is_left(self) -> None:
        self.has(self.add(), *_ROWS)
        # In a cell, and not mapped, or mapped and in no cell: that is for the other audit.
        self.has(nova_cell.add(self.nova), *_ROWS)
        self.has(nova_cell.add(self.nova, hidden=True, deleted=7), *_ROWS)
        self.has(self.map(base.new_uuid()), *_ROWS)
        self.has(base.new_uuid(), *_ROWS, 'build_requests')
        run = self.audit()
        self.assertEqual({'build_request_left'}, {kind for _, kind in self.found()})
        # Five of each, a build request, and two mappings.
        self.assertEqual(13, run.rows)

    def test_what_the_archive_would_have_removed(self) -> None:
        uuid, mapped = base.new_uuid(), self.add()
        self.has(uuid, *_ROWS)
        self.has(mapped, *_ROWS)
        self.audit()
        self.assertEqual({(uuid, kind) for kind in _KINDS}, self.found())

    def test_what_was_written_a_moment_ago_is_in_flight(self) -> None:
        self.has(base.new_uuid(), *_ROWS, created_at=timeutils.utcnow())
        run = self.audit(patience=Patience(datetime.timedelta(minutes=15)))
        self.assertEqual((set(), 2), (self.found(), run.in_flight))

    def test_a_cell_that_cannot_be_read_may_have_the_instance(self) -> None:
        self.has(base.new_uuid(), *_ROWS)
        lost = self.make_cell(name='lost')
        run = self.audit()
        self.assertEqual((set(), [lost.uuid]), (self.found(), list(run.errors)))

    def test_what_is_no_uuid_is_told(self) -> None:
        self.has('a\x1b', *_ROWS)
        self.audit()
        self.assertEqual({('a\x1b', kind) for kind in _KINDS}, self.found())
        self.assertIn('x1b, is no uuid', self.problems[0].detail)

    def test_many_in_pages(self) -> None:
        there = [self.add() for _ in range(3)]
        gone = [base.new_uuid() for _ in range(1100)]
        row = {'created_at': _LONG_AGO, 'spec': '{}'}
        rows = [{**row, 'instance_uuid': uuid} for uuid in [*gone, *there]]
        self.execute(sa.table('request_specs', *map(sa.column, rows[0])).insert().values(rows))
        self.audit(batch_size=100)
        self.assertEqual({(uuid, 'request_spec_left') for uuid in gone}, self.found())


@base.on_each_database
class BuildRequests(_Case):
    def test_of_an_instance_that_is_mapped(self) -> None:
        uuid = self.has(self.add(), 'build_requests')
        self.audit()
        self.assertEqual({(uuid, 'build_request_left')}, self.found())
        self.assertEqual(self.cell.uuid, self.problems[0].cell_uuid)

    def test_of_one_that_nova_has_mapped_just_now(self) -> None:
        uuid = nova_cell.add(self.nova, task_state='scheduling')
        self.has(self.map(uuid), 'build_requests')
        self.audit()
        self.assertEqual(set(), self.found())

    def test_of_one_that_is_being_built(self) -> None:
        uuid = self.has(base.new_uuid(), 'build_requests')
        self.map(uuid, cell_uuid=None)
        self.audit(patience=Patience(stuck_after=datetime.timedelta(days=9999)))
        self.assertEqual(set(), self.found())
        self.audit()
        self.assertEqual({(uuid, 'build_request_left')}, self.found())
        self.assertRegex(self.problems[0].detail, r'nobody has gone on with it for \d+ days')

    def test_without_a_mapping(self) -> None:
        uuid = self.has(base.new_uuid(), 'build_requests')
        self.audit()
        self.assertEqual({(uuid, 'build_request_left')}, self.found())


@base.on_each_database
class Unmigrated(_Case):
    def test_what_makes_nova_count_in_all_cells(self) -> None:
        nobodys = self.add(user_id=None)
        unknown = self.add(queued_for_delete=None)
        both = self.add(user_id=None, queued_for_delete=None)
        self.add(user_id=None, queued_for_delete=True)
        self.add()
        self.audit(batch_size=2)
        self.assertEqual({(uuid, 'unmigrated') for uuid in (nobodys, unknown, both)}, self.found())
        details = {problem.instance_uuid: problem.detail for problem in self.problems}
        self.assertEqual('user_id is NULL', details[nobodys])
        self.assertEqual('user_id and queued_for_delete are NULL', details[both])
        self.assertEqual({self.cell.uuid}, {problem.cell_uuid for problem in self.problems})

    def test_where_nobody_can_tell_what_they_should_be(self) -> None:
        orphaned = self.map(base.new_uuid(), user_id=None)
        nowhere = self.map(base.new_uuid(), user_id=None, cell_uuid=None)
        self.audit()
        details = {problem.instance_uuid: problem.detail for problem in self.problems}
        self.assertIn('its cell does not have it', details[orphaned])
        self.assertIn('mapped to no cell', details[nowhere])

    def test_one_that_is_young_is_in_flight(self) -> None:
        self.add(user_id=None, updated_at=timeutils.utcnow())
        run = self.audit(patience=Patience(datetime.timedelta(minutes=15)))
        self.assertEqual((set(), 1), (self.found(), run.in_flight))


class OwnTables(cells_base.TestCase):
    def test_they_have_none(self) -> None:
        run = leftovers.LeftoverAudit(self.context, [])
        self.assertRaises(exception.NotNovasTables, list, run.problems())
