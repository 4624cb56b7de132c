# SPDX-License-Identifier: Apache-2.0
"""Filling the mapping from a cell's database."""

import contextlib
import threading
from typing import Any

import hypothesis
from hypothesis import strategies as st
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.db import api as db_api
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.tests import samples
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import mapping


class _Case(cells_base.TestCase):
    def map(self, cell: CellMapping | None = None, **options: Any) -> mapping.MapRun:
        return mapping.map_instances(self.context, cell or self.cell, **options)

    def add(self, **values: Any) -> str:
        return nova_cell.add(self.nova, **values)

    def assert_run(self, run: mapping.MapRun, done: bool = True, **counts: int) -> None:
        """A run with these counts, and 0 of what is not named."""
        names = ('created', 'existing', 'hidden', 'conflicts')
        expected = {**dict.fromkeys(names, 0), **counts, 'done': done}
        self.assertEqual(expected, {name: getattr(run, name) for name in expected})


@base.on_both_schemas
class MapInstances(_Case):
    def test_an_instance_is_mapped_with_its_owner(self) -> None:
        uuid = self.add(project_id='projéct ☁', user_id='üser')
        self.assert_run(self.map(), created=1)
        found = InstanceMapping.get_by_instance_uuid(self.context, uuid)
        self.assertEqual(self.cell.uuid, found.cell_uuid)
        self.assertEqual(('projéct ☁', 'üser'), (found.project_id, found.user_id))
        self.assertIs(False, found.queued_for_delete)
        self.assertIsNotNone(found.created_at)

    def test_owners_that_few_character_sets_have_stay_apart(self) -> None:
        owners = {self.add(project_id=name, user_id=name): name for name in samples.NAMES}
        # Nova's tables are utf8mb3 on MariaDB: what these have no place for is a conflict.
        is_narrow = (self.schema, self.kind) == ('nova', 'mariadb')
        owners = {
            uuid: name
            for uuid, name in owners.items()
            if max(name) < '\U00010000' or not is_narrow
        }
        conflicts = len(samples.NAMES) - len(owners)
        self.assert_run(self.map(), created=len(owners), conflicts=conflicts)
        self.assertEqual({uuid: (name, name) for uuid, name in owners.items()}, self.owners())

    def test_all_of_a_large_cell_are_mapped(self) -> None:
        nova_cell.fill(self.nova, 2500, hidden=0.1)
        instances = cells_base.instances_in(self.nova)
        run = self.map()
        self.assert_run(run, created=len(instances), hidden=2500 - len(instances))
        self.assertEqual(dict.fromkeys(instances, self.cell.uuid), self.mapped())

    def test_an_empty_cell(self) -> None:
        self.assert_run(self.map())
        self.assertEqual({}, self.mapped())

    def test_deleted_and_soft_deleted_ones_are_queued_for_delete(self) -> None:
        for values, queued in (
            ({'deleted': 1, 'vm_state': 'deleted'}, True),
            ({'vm_state': 'soft-delete'}, True),
            ({'vm_state': 'error'}, False),
        ):
            uuid = self.add(**values)
            self.map()
            found = InstanceMapping.get_by_instance_uuid(self.context, uuid)
            self.assertIs(queued, found.queued_for_delete, str(values))

    def test_hidden_rows_are_left_out(self) -> None:
        self.add(hidden=True)
        self.assert_run(self.map(), hidden=1)
        self.assertEqual({}, self.mapped())

    def test_the_hidden_half_of_a_move_is_no_conflict(self) -> None:
        other, nova = self.new_cell('other')
        uuid = nova_cell.add(nova)
        self.add(uuid=uuid, hidden=True)
        self.map(other)
        self.assert_run(self.map(), hidden=1)
        self.assertEqual({uuid: other.uuid}, self.mapped())

    def test_an_instance_of_another_cell_is_a_conflict_and_left_as_it_is(self) -> None:
        other = self.make_cell(name='other')
        uuid = self.add(project_id='theirs')
        self.make_mapping(instance_uuid=uuid, cell_uuid=other.uuid, project_id='ours')
        [before] = self.execute(self.mapping_table.select())
        self.assert_run(self.map(), conflicts=1)
        self.assertEqual([before], self.execute(self.mapping_table.select()))

    def test_what_is_mapped_already_is_left_as_it_is(self) -> None:
        uuid = self.add(project_id='theirs', vm_state='soft-delete')
        self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell.uuid, project_id='ours')
        [before] = self.execute(self.mapping_table.select())
        self.assert_run(self.map(), existing=1)
        self.assertEqual([before], self.execute(self.mapping_table.select()))

    def test_an_instance_that_is_mapped_to_no_cell_is_placed(self) -> None:
        uuid = self.add()
        self.make_mapping(instance_uuid=uuid, cell_uuid=None)
        self.assert_run(self.map(), created=1)
        self.assertEqual({uuid: self.cell.uuid}, self.mapped())

    def test_an_instance_without_a_project_is_a_conflict(self) -> None:
        self.add(project_id=None)
        uuid = self.add(user_id=None)
        self.assert_run(self.map(), created=1, conflicts=1)
        self.assertEqual({uuid: self.cell.uuid}, self.mapped())

    def test_a_second_run_changes_nothing(self) -> None:
        nova_cell.fill(self.nova, 30)
        self.map()
        before = self.execute(self.mapping_table.select())
        self.assert_run(self.map(), existing=30)
        self.assertEqual(before, self.execute(self.mapping_table.select()))

    def test_instances_that_appear_behind_what_was_read_are_mapped(self) -> None:
        nova_cell.fill(self.nova, 4)

        def add_one(run: mapping.MapRun) -> None:
            if run.rows == 1:
                self.add()

        self.assert_run(self.map(batch_size=1, on_batch=add_one), created=5)

    def test_a_run_that_fails_leaves_no_thread(self) -> None:
        nova_cell.fill(self.nova, 4)
        before = threading.active_count()

        def fail(run: mapping.MapRun) -> None:
            raise ZeroDivisionError

        # The error and its traceback are kept, as a debugger would.
        error = self.assertRaises(ZeroDivisionError, self.map, batch_size=1, on_batch=fail)
        self.assertIsNotNone(error.__traceback__)
        self.assertEqual(before, threading.active_count())

    def test_gaps_in_the_ids(self) -> None:
        numbers = (3, 4, 1000, 10**6)
        for number in numbers:
            self.add(id=number)
        batches: list[int] = []
        run = self.map(batch_size=2, on_batch=lambda run: batches.append(run.last_id))
        self.assert_run(run, created=4)
        self.assertEqual([4, 10**6], batches)

    def test_each_batch_is_told_with_how_far_the_run_has_come(self) -> None:
        for number in (5, 6, 9):
            self.add(id=number)
        told: list[tuple[int, ...]] = []
        self.map(
            batch_size=2,
            on_batch=lambda run: told.append((run.first_id, run.last_id, run.end_id, run.rows)),
        )
        self.assertEqual([(0, 6, 9, 2), (0, 9, 9, 3)], told)

    def test_a_cell_that_is_removed_meanwhile(self) -> None:
        nova_cell.fill(self.nova, 60)
        removed: list[int] = []

        def remove(run: mapping.MapRun) -> None:
            # The next batches, as many as are under way, may map to it once more.
            while not removed:
                with contextlib.suppress(exception.CellMappingInUse):
                    self.execute(self.mapping_table.delete())
                    self.cell.destroy()
                    removed.append(run.created)

        self.assertRaises(exception.CellMappingNotFound, self.map, batch_size=1, on_batch=remove)
        self.assertEqual(({}, 1), (self.mapped(), len(removed)))


@base.on_both_schemas
class Resume(_Case):
    """A run that was stopped is gone on from."""

    def setUp(self) -> None:
        super().setUp()
        for number in range(1, 8):
            self.add(id=number * 10, hidden=number == 2)

    def test_it_goes_on_exactly_behind(self) -> None:
        self.assert_run(self.map(max_count=3), done=False, created=2, hidden=1)
        self.assertEqual(30, self.progress()['last_instance_id'])
        run = self.map(max_count=3)
        self.assert_run(run, done=False, created=3)
        self.assertEqual((30, 60), (run.first_id, run.last_id))
        self.assert_run(self.map(max_count=3), created=1)

    def test_batches_of_any_size_keep_to_the_count(self) -> None:
        self.assert_run(self.map(max_count=5, batch_size=2), done=False, created=4, hidden=1)
        self.assertEqual(50, self.progress()['last_instance_id'])

    def test_a_count_of_exactly_what_there_is_comes_to_the_end(self) -> None:
        self.assert_run(self.map(max_count=7), created=6, hidden=1)
        self.assertIsNone(self.progress())

    def test_reset_begins_anew(self) -> None:
        self.map(max_count=3)
        run = self.map(reset=True)
        self.assertEqual(0, run.first_id)
        self.assert_run(run, created=4, existing=2, hidden=1)

    def test_the_end_leaves_no_resume_point(self) -> None:
        self.map(max_count=3)
        self.assertTrue(self.map().done)
        self.assertIsNone(self.progress())
        self.assert_run(self.map(), existing=6, hidden=1)

    def test_a_cell_that_has_another_database_since_is_mapped_from_its_first_instance(
        self,
    ) -> None:
        self.map(max_count=3)
        self.nova = self.new_nova()
        nova_cell.fill(self.nova, 6, seed=1)
        self.cell.database_connection = cells_base.url_of(self.nova)
        self.cell.save()
        self.assert_run(self.map(), created=6)

    def test_a_database_with_fewer_rows_than_were_read_is_another_one(self) -> None:
        self.map(max_count=3)
        # In the same place, as after a restore.
        cells_base.empty(self.nova)
        self.add(id=2)
        self.assert_run(self.map(), created=1)

    def test_the_conflicts_of_the_stopped_runs_count_in_the_last(self) -> None:
        other = self.make_cell(name='other')
        self.add(id=1, project_id=None)
        uuid = self.add(id=2)
        self.make_mapping(instance_uuid=uuid, cell_uuid=other.uuid)
        self.assert_run(self.map(max_count=1), done=False, conflicts=1)
        self.assert_run(self.map(max_count=1), done=False, conflicts=2)
        self.assert_run(self.map(), created=6, hidden=1, conflicts=2)
        self.assert_run(self.map(reset=True), existing=6, hidden=1, conflicts=2)

    def test_a_cell_that_is_lost_in_the_midst_can_be_gone_on_with(self) -> None:
        def rename(old: str, new: str) -> None:
            with self.nova.begin() as connection:
                connection.exec_driver_sql(f'ALTER TABLE {old} RENAME TO {new}')

        def lose(run: mapping.MapRun) -> None:
            if run.rows == 2:
                rename('instances', 'lost')
                found.callback(rename, 'lost', 'instances')

        with contextlib.ExitStack() as found:
            self.assertRaises(exception.CellUnreachable, self.map, batch_size=2, on_batch=lose)
        self.assertLess(self.progress()['last_instance_id'], 70)
        self.assertTrue(self.map().done)
        self.assertEqual(6, len(self.mapped()))

    def test_cells_do_not_share_a_resume_point(self) -> None:
        other, nova = self.new_cell('other')
        nova_cell.fill(nova, 3)
        self.map(max_count=3)
        self.assert_run(self.map(other), created=3)
        self.assertEqual(30, self.progress()['last_instance_id'])


@base.on_both_schemas
class Shapes(_Case):
    """Tables of other releases than today's."""

    def needed(self) -> dict[str, Any]:
        """The columns that mapping needs, by name."""
        columns: dict[str, Any] = {'id': sa.Column('id', sa.Integer, primary_key=True)}
        for name in ('uuid', 'project_id', 'user_id', 'vm_state'):
            columns[name] = sa.Column(name, sa.String(255))
        return columns | {'deleted': sa.Column('deleted', sa.Integer)}

    def cell_of(self, *columns: Any) -> CellMapping:
        """A cell whose ``instances`` have these columns."""
        self.nova = self.new_database(*columns)
        return self.make_cell(name='odd', database_connection=cells_base.url_of(self.nova))

    def insert(self, **values: Any) -> str:
        row = {'uuid': base.new_uuid(), 'project_id': 'p', 'user_id': 'u', **values}
        table = sa.table('instances', *map(sa.column, row))
        with self.nova.begin() as connection:
            connection.execute(table.insert().values(row))
        return str(row['uuid'])

    def queued(self, uuid: str) -> bool:
        return InstanceMapping.get_by_instance_uuid(self.context, uuid).queued_for_delete

    def test_a_table_without_hidden(self) -> None:
        cell = self.cell_of(*self.needed().values())
        live, gone = self.insert(deleted=0), self.insert(deleted=2)
        self.assert_run(self.map(cell), created=2)
        self.assertEqual((False, True), (self.queued(live), self.queued(gone)))

    def test_null_is_neither_hidden_nor_deleted(self) -> None:
        uuid = self.add(hidden=None, deleted=None, vm_state=None, user_id=None)
        self.assert_run(self.map(), created=1)
        self.assertFalse(self.queued(uuid))

    def test_columns_of_other_types(self) -> None:
        columns = self.needed() | {
            'id': sa.Column('id', sa.BigInteger, primary_key=True, autoincrement=False),
            'uuid': sa.Column('uuid', sa.CHAR(36)),
            'project_id': sa.Column('project_id', sa.Text),
            'deleted': sa.Column('deleted', sa.BigInteger),
            'hidden': sa.Column('hidden', sa.SmallInteger),
        }
        cell = self.cell_of(*columns.values())
        live = self.insert(id=2**31, deleted=0, hidden=0)
        gone = self.insert(id=2**62, deleted=2**62, hidden=0)
        self.insert(id=2**62 + 1, deleted=0, hidden=1)
        self.assert_run(self.map(cell, max_count=1), done=False, created=1)
        self.assert_run(self.map(cell, max_count=1), done=False, created=1)
        self.assert_run(self.map(cell), hidden=1)
        self.assertEqual((False, True), (self.queued(live), self.queued(gone)))

    def test_a_database_without_instances_is_refused(self) -> None:
        error = self.assertRaises(exception.NotACellDatabase, self.map, self.cell_of())
        self.assertIn('no table instances', str(error))

    def test_instances_without_a_column_that_is_needed_are_refused(self) -> None:
        columns = self.needed()
        del columns['project_id'], columns['vm_state']
        cell = self.cell_of(*columns.values())
        error = self.assertRaises(exception.NotACellDatabase, self.map, cell)
        self.assertIn('lacks project_id, vm_state', str(error))
        self.assertIn(cell.identity, str(error))


class _Row:
    """What may be in a cell, and how it is mapped before."""

    strategy = st.fixed_dictionaries(
        {
            'project_id': st.sampled_from(('p', 'q', None)),
            'deleted': st.sampled_from((0, 0, 1, None)),
            'vm_state': st.sampled_from(('active', 'soft-delete', None)),
            'hidden': st.sampled_from((False, False, True, None)),
        }
    )
    existing = st.sampled_from(('no mapping', 'no mapping', 'here', 'elsewhere', 'nowhere'))


@base.on_both_schemas
class AnyCell(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.other = self.make_cell(name='other')

    @hypothesis.settings(max_examples=10, deadline=None)
    @hypothesis.given(
        st.lists(st.tuples(_Row.strategy, _Row.existing), max_size=12),
        st.lists(st.tuples(st.integers(1, 5), st.integers(1, 4)), max_size=5),
    )
    def test_any_runs_map_as_they_promise(
        self, rows: list[tuple[dict[str, Any], str]], runs: list[tuple[int, int]]
    ) -> None:
        self.execute(self.mapping_table.delete())
        db_api.map_progress_clear(self.context, self.cell.uuid)
        cells_base.empty(self.nova)
        cells = {'here': self.cell.uuid, 'elsewhere': self.other.uuid, 'nowhere': None}
        expected: dict[str, str | None] = {}
        conflicts = 0
        for values, existing in rows:
            uuid = self.add(**values)
            if existing in cells:
                self.make_mapping(instance_uuid=uuid, cell_uuid=cells[existing])
                expected[uuid] = cells[existing]
            if values['hidden']:
                continue
            if values['project_id'] is None or existing == 'elsewhere':
                conflicts += 1
            else:
                expected[uuid] = self.cell.uuid

        for max_count, batch_size in runs:
            if self.map(max_count=max_count, batch_size=batch_size).done:
                break
        last = self.map(reset=False)

        self.assertEqual(expected, self.mapped())
        self.assertTrue(last.done)
        self.assertEqual(conflicts, last.conflicts)
        self.assertIsNone(self.progress())
