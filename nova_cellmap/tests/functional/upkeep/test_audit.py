# SPDX-License-Identifier: Apache-2.0
"""Comparing the mapping with the cells, and repairing it."""

from collections import Counter
from collections.abc import Iterator
import contextlib
import datetime
from typing import Any
from unittest import mock

import hypothesis
from hypothesis import strategies as st
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.db import api as db_api
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import CellMappingList
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.tests import samples
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import audit
from nova_cellmap.upkeep import mapping
from nova_cellmap.upkeep.case import Kind
from nova_cellmap.upkeep.case import Problem

_DOZEN = 12
# What is never repaired.
_NEVER = (Kind.DUPLICATE, Kind.INVALID_ROW, Kind.STUCK)
_LONG_AGO = datetime.datetime(2026, 1, 1)


class _Case(cells_base.TestCase):
    """A test with two cells, cell1 and cell2."""

    def setUp(self) -> None:
        super().setUp()
        self.cell2, self.nova2 = self.new_cell('cell2')

    def audit(self, **options: Any) -> audit.Audit:
        return audit.Audit(self.context, CellMappingList.get_all(self.context), **options)

    def problems(self, **options: Any) -> list[Problem]:
        return list(self.audit(**options).problems())

    def found(self, **options: Any) -> set[tuple[str, str]]:
        """Instance and kind of each problem."""
        problems = self.problems(**options)
        found = {(problem.instance_uuid, problem.kind.value) for problem in problems}
        self.assertEqual(len(problems), len(found))
        return found

    def add(self, mapped_to: CellMapping | None = None, **values: Any) -> str:
        """An instance in cell1, mapped to a cell or not at all."""
        uuid = nova_cell.add(self.nova, **values)
        if mapped_to is not None:
            self.make_mapping(instance_uuid=uuid, cell_uuid=mapped_to.uuid)
        return uuid

    def change(self, uuid: str, **values: Any) -> None:
        """Another writer changes the mapping of an instance."""
        self.execute(
            self.mapping_table.update()
            .where(self.mapping_table.c.instance_uuid == uuid)
            .values(values)
        )

    def row(self, uuid: str) -> Any:
        return self.execute(
            self.mapping_table.select().where(self.mapping_table.c.instance_uuid == uuid)
        )[0]


@base.on_both_schemas
class Found(_Case):
    """Each problem alone."""

    def assert_problem(
        self, uuid: str, kind: Kind, cell: CellMapping, detail: str = ''
    ) -> Problem:
        [problem] = self.problems()
        self.assertEqual(
            (uuid, kind, cell.uuid), (problem.instance_uuid, problem.kind, problem.cell_uuid)
        )
        self.assertIn(detail, problem.detail)
        self.assertFalse(problem.repaired)
        return problem

    def test_no_cell_and_no_mapping(self) -> None:
        self.execute(self.cell_table.delete())
        self.assertEqual([], self.problems())

    def test_a_mapping_that_is_true(self) -> None:
        self.add(self.cell)
        deleted = self.add(self.cell, deleted=1)
        soft = self.add(self.cell, vm_state='soft-delete')
        for uuid in (deleted, soft):
            self.change(uuid, queued_for_delete=True)
        self.assertEqual([], self.problems())

    def test_missing(self) -> None:
        self.assert_problem(self.add(), Kind.MISSING, self.cell)

    def test_a_deleted_instance_may_be_missing_too(self) -> None:
        self.assert_problem(self.add(deleted=3), Kind.MISSING, self.cell)

    def test_a_row_without_a_project_is_invalid(self) -> None:
        self.assert_problem(self.add(project_id=None), Kind.INVALID_ROW, self.cell, 'project')

    def test_a_row_without_a_project_that_is_mapped_is_compared_in_all_else(self) -> None:
        self.add(self.cell, project_id=None)
        self.assertEqual([], self.problems())
        uuid = self.add(self.cell2, project_id=None)
        self.assert_problem(uuid, Kind.WRONG_CELL, self.cell, f'mapped to {self.cell2.uuid}')
        self.assertTrue(self.problems(repair=True)[0].repaired)
        found = InstanceMapping.get_by_instance_uuid(self.context, uuid)
        self.assertEqual((self.cell.uuid, 'project'), (found.cell_uuid, found.project_id))

    def test_orphaned(self) -> None:
        gone = self.make_mapping(cell_uuid=self.cell.uuid)
        self.assert_problem(gone.instance_uuid, Kind.ORPHANED, self.cell)

    def test_wrong_cell(self) -> None:
        self.assert_problem(
            self.add(self.cell2), Kind.WRONG_CELL, self.cell, f'mapped to {self.cell2.uuid}'
        )

    def test_no_cell(self) -> None:
        uuid = self.add()
        self.make_mapping(instance_uuid=uuid)
        self.assert_problem(uuid, Kind.NO_CELL, self.cell)

    def test_another_project(self) -> None:
        uuid = self.add(self.cell, project_id='theirs')
        self.assert_problem(uuid, Kind.WRONG_OWNER, self.cell, 'project_id is project')

    def test_another_user(self) -> None:
        uuid = self.add(self.cell, user_id='theirs')
        self.assert_problem(
            uuid, Kind.WRONG_OWNER, self.cell, 'user_id is user, in its cell theirs'
        )

    def test_a_user_that_is_not_known_here(self) -> None:
        uuid = self.add(self.cell)
        self.change(uuid, user_id=None)
        self.assert_problem(uuid, Kind.WRONG_OWNER, self.cell, 'user_id is None')

    def test_a_user_that_the_cell_does_not_know(self) -> None:
        self.add(self.cell, user_id=None)
        self.assertEqual([], self.problems())

    def test_queued_for_delete_and_live(self) -> None:
        uuid = self.add(self.cell)
        self.change(uuid, queued_for_delete=True)
        self.assert_problem(uuid, Kind.STALE_QUEUED_FOR_DELETE, self.cell, 'and not deleted')

    def test_deleted_and_not_queued(self) -> None:
        uuid = self.add(self.cell, vm_state='soft-delete')
        self.assert_problem(uuid, Kind.STALE_QUEUED_FOR_DELETE, self.cell, 'and deleted')

    def test_null_is_not_queued(self) -> None:
        live, deleted = self.add(self.cell), self.add(self.cell, deleted=1)
        for uuid in (live, deleted):
            self.change(uuid, queued_for_delete=None)
        self.assert_problem(deleted, Kind.STALE_QUEUED_FOR_DELETE, self.cell)

    def test_duplicate(self) -> None:
        uuid = self.add(self.cell2)
        nova_cell.add(self.nova2, uuid=uuid)
        self.assert_problem(uuid, Kind.DUPLICATE, self.cell2, self.cell.uuid)

    def test_two_cells_of_one_database(self) -> None:
        uuid = self.add(self.cell)
        # The same, but not in the same words.
        separator = '&' if '?' in self.cell.database_connection else '?'
        more = {'sqlite': 'timeout=9', 'mariadb': 'read_timeout=9', 'postgresql': 'sslmode=prefer'}
        self.cell2.database_connection = (
            f'{self.cell.database_connection}{separator}{more[self.kind]}'
        )
        self.cell2.save()
        problem = self.assert_problem(
            uuid, Kind.DUPLICATE, self.cell, '), which have one database'
        )
        self.assertNotIn('may', problem.detail)

    def test_two_cells_that_may_have_one_database(self) -> None:
        uuid = self.add(self.cell, id=1007)
        nova_cell.add(self.nova2, uuid=uuid, id=1007)
        self.assert_problem(uuid, Kind.DUPLICATE, self.cell, 'row 1007 of each: they may have')
        other = self.add(self.cell, id=1008)
        nova_cell.add(self.nova2, uuid=other, id=1009)
        details = {each.instance_uuid: each.detail for each in self.problems()}
        self.assertNotIn('may', details[other])

    def test_a_duplicate_without_a_mapping_is_that_alone(self) -> None:
        uuid = self.add()
        nova_cell.add(self.nova2, uuid=uuid)
        self.assertEqual({(uuid, 'duplicate')}, self.found())

    def test_several_of_one_instance(self) -> None:
        uuid = self.add(self.cell2, project_id='theirs', deleted=1)
        self.assertEqual(
            {(uuid, kind) for kind in ('wrong_cell', 'wrong_owner', 'stale_queued_for_delete')},
            self.found(),
        )


@base.on_both_schemas
class NoProblem(_Case):
    def test_a_mapping_without_a_cell_whose_instance_is_in_none(self) -> None:
        self.make_mapping()
        self.assertEqual([], self.problems())

    def test_the_hidden_half_of_a_move(self) -> None:
        uuid = self.add(self.cell)
        nova_cell.add(self.nova2, uuid=uuid, hidden=True)
        nova_cell.add(self.nova2, hidden=True)
        self.assertEqual([], self.problems())

    def test_the_half_that_is_deleted(self) -> None:
        uuid = self.add(self.cell)
        nova_cell.add(self.nova2, uuid=uuid, deleted=1)
        self.assertEqual([], self.problems())

    def test_deleted_in_both_and_mapped_to_one(self) -> None:
        for cell in (self.cell, self.cell2):
            uuid = self.add(cell, deleted=1)
            nova_cell.add(self.nova2, uuid=uuid, deleted=1)
            self.change(uuid, queued_for_delete=True)
        self.assertEqual([], self.problems())

    def test_only_its_hidden_half_is_left(self) -> None:
        uuid = self.add(self.cell, hidden=True)
        self.assertEqual({(uuid, 'orphaned')}, self.found())


@base.on_both_schemas
class Owners(_Case):
    def test_those_that_few_character_sets_have_are_kept_exactly(self) -> None:
        expected, left, owners = set(), set(), {}
        for name in samples.NAMES:
            missing = self.add(project_id=name, user_id=name)
            damaged = self.add(self.cell, project_id=name, user_id=name)
            self.change(damaged, project_id='?', user_id='??')
            problems = {(missing, 'missing'), (damaged, 'wrong_owner')}
            expected |= problems
            # Nova's tables are utf8mb3 on MariaDB: what these have no place for is left.
            if (self.schema, self.kind) == ('nova', 'mariadb') and max(name) > '\uffff':
                left |= problems
                owners[damaged] = ('?', '??')
            else:
                owners.update(dict.fromkeys((missing, damaged), (name, name)))
        self.assertEqual(expected, self.found(repair=True))
        self.assertEqual(owners, self.owners())
        self.assertEqual(left, self.found())


class _Cloud(_Case):
    """A cloud of a few hundred instances, with a dozen of every problem."""

    def setUp(self) -> None:
        super().setUp()
        self.cell3, self.nova3 = self.new_cell('cell3')
        novas = {
            self.cell.uuid: self.nova,
            self.cell2.uuid: self.nova2,
            self.cell3.uuid: self.nova3,
        }
        for seed, (cell, nova) in enumerate(
            ((self.cell, self.nova), (self.cell2, self.nova2), (self.cell3, self.nova3))
        ):
            nova_cell.fill(nova, 150, seed=seed, hidden=0.05)
            mapping.map_instances(self.context, cell)
        self.novas = novas
        # Those that are live, so that each of the faults is one.
        rows = self.execute(
            sa.select(self.mapping_table.c.instance_uuid, self.mapping_table.c.cell_uuid)
            .where(self.mapping_table.c.queued_for_delete.is_(False))
            .order_by(self.mapping_table.c.instance_uuid)
        )
        self.healthy: Iterator[Any] = iter(rows)

    def break_(self, kind: Kind) -> set[tuple[str, str]]:
        """Put a dozen faults in."""
        return {(getattr(self, f'make_{kind.value}')(), kind.value) for _ in range(_DOZEN)}

    def make_missing(self) -> str:
        row = next(self.healthy)
        self.execute(
            self.mapping_table.delete().where(
                self.mapping_table.c.instance_uuid == row.instance_uuid
            )
        )
        return str(row.instance_uuid)

    def make_orphaned(self) -> str:
        row = next(self.healthy)
        table = nova_cell.instances
        with self.novas[row.cell_uuid].begin() as connection:
            connection.execute(table.delete().where(table.c.uuid == row.instance_uuid))
        return str(row.instance_uuid)

    def make_wrong_cell(self) -> str:
        row = next(self.healthy)
        other = next(uuid for uuid in self.novas if uuid != row.cell_uuid)
        self.change(row.instance_uuid, cell_uuid=other)
        return str(row.instance_uuid)

    def make_no_cell(self) -> str:
        return self._changed(cell_uuid=None)

    def make_wrong_owner(self) -> str:
        return self._changed(project_id='somebody', user_id='else')

    def make_stale_queued_for_delete(self) -> str:
        return self._changed(queued_for_delete=True)

    def make_duplicate(self) -> str:
        row = next(self.healthy)
        other = next(uuid for uuid in self.novas if uuid != row.cell_uuid)
        nova_cell.add(self.novas[other], uuid=row.instance_uuid)
        return str(row.instance_uuid)

    def make_invalid_row(self) -> str:
        row = next(self.healthy)
        table = nova_cell.instances
        with self.novas[row.cell_uuid].begin() as connection:
            invalid = table.update().values(project_id='a\x1bb')
            connection.execute(invalid.where(table.c.uuid == row.instance_uuid))
        return str(row.instance_uuid)

    def make_stuck(self) -> str:
        row = next(self.healthy)
        table = nova_cell.instances
        with self.novas[row.cell_uuid].begin() as connection:
            deleting = table.update().values(task_state='deleting')
            connection.execute(deleting.where(table.c.uuid == row.instance_uuid))
        self.change(
            row.instance_uuid, queued_for_delete=True, created_at=_LONG_AGO, updated_at=None
        )
        return str(row.instance_uuid)

    def _changed(self, **values: Any) -> str:
        uuid = next(self.healthy).instance_uuid
        self.change(uuid, **values)
        return str(uuid)


@base.on_both_schemas
class Cloud(_Cloud):
    def test_a_cloud_as_it_was_mapped_has_no_problem(self) -> None:
        run = self.audit()
        self.assertEqual([], list(run.problems()))
        self.assertEqual({}, run.errors)
        counted = Counter(
            row.cell_uuid for row in self.execute(sa.select(self.mapping_table.c.cell_uuid))
        )
        self.assertEqual(counted, {uuid: each.mappings for uuid, each in run.reports.items()})
        self.assertEqual(sum(counted.values()), run.instances)

    def test_exactly_the_faults_are_found_and_repaired(self) -> None:
        faults = {kind: self.break_(kind) for kind in Kind}
        expected = set().union(*faults.values())
        for batch_size in (7, 1000):
            self.assertEqual(expected, self.found(batch_size=batch_size))
        before = self.execute(self.mapping_table.select().order_by(self.mapping_table.c.id))

        run = self.audit(repair=True, batch_size=50)
        repaired = {
            (problem.instance_uuid, problem.kind.value)
            for problem in run.problems()
            if problem.repaired
        }
        never = set().union(*(faults[kind] for kind in _NEVER))
        left = faults[Kind.ORPHANED] | never
        self.assertEqual(expected - left, repaired)
        self.assertEqual(4 * _DOZEN, sum(report.left for report in run.reports.values()))
        self.assertEqual(left, self.found())
        self.assertEqual(left, self.found(repair=True))

        [*purged] = self.audit(purge=True).problems()
        self.assertEqual(_DOZEN, sum(problem.repaired for problem in purged))
        self.assertEqual(never, self.found())
        # What had no fault is as it was.
        faulty = {uuid for uuid, _ in expected}
        after = {row.instance_uuid: row for row in self.execute(self.mapping_table.select())}
        for row in before:
            if row.instance_uuid not in faulty:
                self.assertEqual(row, after[row.instance_uuid])

    def test_all_is_repaired_at_once(self) -> None:
        for kind in Kind:
            if kind not in _NEVER:
                self.break_(kind)
        self.assertTrue(
            all(problem.repaired for problem in self.problems(repair=True, purge=True))
        )
        self.assertEqual(set(), self.found())

    def test_of_one_cell(self) -> None:
        faults = set().union(*(self.break_(kind) for kind in Kind))
        of_each = [self.found(only=cell) for cell in (self.cell, self.cell2, self.cell3)]
        self.assertEqual(faults, set().union(*of_each))
        before = self.execute(self.mapping_table.select())
        run = self.audit(only=self.cell)
        mine = list(run.problems())
        self.assertEqual([self.cell.uuid], list(run.reports))
        self.assertEqual(len(mine), run.reports[self.cell.uuid].left)
        for problem in mine:
            row = [row for row in before if row.instance_uuid == problem.instance_uuid]
            concerned = {problem.cell_uuid, *(each.cell_uuid for each in row)}
            if problem.kind != Kind.DUPLICATE:
                self.assertIn(self.cell.uuid, concerned)


@base.on_both_schemas
class Laws(_Case):
    """Whatever there is, what is found is what a look at all of it finds."""

    @hypothesis.settings(max_examples=25)
    @hypothesis.given(
        st.lists(
            st.tuples(
                # In which cells: not at all, deleted, live, hidden.
                st.sampled_from((None, 'deleted', 'live', 'hidden')),
                st.sampled_from((None, 'deleted', 'live', 'hidden')),
                # Mapped: not at all, to no cell, to cell1, to cell2.
                st.sampled_from((None, 0, 1, 2)),
                st.booleans(),
            ),
            max_size=12,
        ),
        st.integers(1, 5),
    )
    def test_repair_and_purge_leave_only_duplicates(
        self, instances: list[Any], batch_size: int
    ) -> None:
        cells_base.empty(self.nova)
        cells_base.empty(self.nova2)
        self.execute(self.mapping_table.delete())
        duplicates = set()
        for *states, mapped, queued in instances:
            uuid = base.new_uuid()
            for nova, state in zip((self.nova, self.nova2), states, strict=True):
                if state is not None:
                    deleted, hidden = int(state == 'deleted'), state == 'hidden'
                    nova_cell.add(nova, uuid=uuid, deleted=deleted, hidden=hidden)
            if mapped is not None:
                cell = (None, self.cell.uuid, self.cell2.uuid)[mapped]
                self.make_mapping(instance_uuid=uuid, cell_uuid=cell, queued_for_delete=queued)
            if states == ['live', 'live']:
                duplicates.add((uuid, 'duplicate'))
        found = self.found(batch_size=batch_size)
        self.assertEqual(found, self.found())
        self.problems(repair=True, purge=True, batch_size=batch_size)
        self.assertEqual(duplicates, self.found(batch_size=batch_size))


@base.on_both_schemas
class Unread(_Case):
    """A cell that cannot be read."""

    def setUp(self) -> None:
        super().setUp()
        self.dead = self.make_cell(
            name='dead', database_connection='mysql+pymysql://u:sekret@127.0.0.1:1/nova'
        )

    def test_nothing_is_orphaned(self) -> None:
        self.make_mapping(cell_uuid=self.cell.uuid)
        self.make_mapping(cell_uuid=self.dead.uuid)
        run = self.audit(purge=True)
        self.assertEqual([], list(run.problems()))
        self.assertEqual([self.dead.uuid], list(run.errors))
        self.assertIn('cell', str(run.errors[self.dead.uuid]))
        self.assertNotIn('sekret', str(run.errors[self.dead.uuid]))
        self.assertEqual(2, len(self.mapped()))

    def test_the_rest_is_found_and_repaired(self) -> None:
        expected = {(self.add(), 'missing'), (self.add(self.cell2), 'wrong_cell')}
        self.assertEqual(expected, self.found(repair=True))
        self.execute(self.mapping_table.delete())
        self.assertEqual({self.cell.uuid}, {problem.cell_uuid for problem in self.problems()})

    def test_what_is_mapped_to_it_may_be_there(self) -> None:
        self.add(self.dead)
        self.assertEqual(set(), self.found(repair=True))
        self.assertEqual({self.dead.uuid}, set(self.mapped().values()))

    def test_another_cell_than_the_one_that_is_looked_at(self) -> None:
        self.make_mapping(cell_uuid=self.cell.uuid)
        run = self.audit(only=self.cell, purge=True)
        self.assertEqual([], list(run.problems()))
        self.assertEqual([self.dead.uuid], list(run.errors))
        self.assertEqual(1, len(self.mapped()))

    def test_a_cell_without_a_database(self) -> None:
        none = self.make_cell(name='none')
        run = self.audit()
        self.assertEqual([], list(run.problems()))
        self.assertEqual({self.dead.uuid, none.uuid}, set(run.errors))

    def test_a_database_that_is_no_cell(self) -> None:
        other = self.make_cell(
            name='other', database_connection=cells_base.url_of(self.new_database())
        )
        run = self.audit()
        self.assertEqual([], list(run.problems()))
        self.assertIsInstance(run.errors[other.uuid], exception.NotACellDatabase)

    def test_a_cell_that_is_lost_in_the_midst(self) -> None:
        CellMapping.get_by_name(self.context, 'dead').destroy()
        for _ in range(30):
            self.add(self.cell)
        run = self.audit(batch_size=2, purge=True)
        pages = 0

        def lose(part: float) -> None:
            nonlocal pages
            pages += 1
            if pages == 3:
                with self.nova.begin() as connection:
                    connection.execute(sa.text('ALTER TABLE instances RENAME TO away'))

        self.addCleanup(self._bring_back)
        self.assertEqual([], list(run.problems(lose)))
        self.assertEqual([self.cell.uuid], list(run.errors))
        self.assertEqual(30, len(self.mapped()))

    def _bring_back(self) -> None:
        with self.nova.begin() as connection, contextlib.suppress(sa.exc.DBAPIError):
            connection.execute(sa.text('ALTER TABLE away RENAME TO instances'))


@base.on_both_schemas
class Races(_Case):
    """Others build, move and delete meanwhile; they win."""

    def while_looking(
        self, happens: Any, at: str = 'instance_mapping_get_by_instance_uuids'
    ) -> Any:
        """Have something happen the first time that a function of the layer is called."""
        real, calls = getattr(db_api, at), []

        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(1)
            if len(calls) == 1:
                happens()
            return real(*args, **kwargs)

        return mock.patch.object(db_api, at, side_effect=call)

    def test_a_build_that_ends_meanwhile(self) -> None:
        uuid = self.add()
        self.make_mapping(instance_uuid=uuid)
        with self.while_looking(lambda: self.change(uuid, cell_uuid=self.cell.uuid)):
            self.assertEqual([], self.problems(repair=True))

    def test_a_mapping_that_is_made_meanwhile(self) -> None:
        uuid = self.add()
        with self.while_looking(
            lambda: self.make_mapping(instance_uuid=uuid, cell_uuid=self.cell2.uuid),
            at='instance_mapping_create_bulk',
        ):
            [problem] = self.problems(repair=True)
        # It is told of next time, and was not overwritten.
        self.assertEqual(self.cell2.uuid, self.row(uuid).cell_uuid)
        self.assertEqual({(uuid, 'wrong_cell')}, self.found())

    def test_a_mapping_that_is_moved_meanwhile(self) -> None:
        uuid = self.add(self.cell2)
        cell3, _ = self.new_cell('cell3')
        with self.while_looking(
            lambda: self.change(uuid, cell_uuid=cell3.uuid), at='instance_mapping_update_bulk'
        ):
            [problem] = self.problems(repair=True)
        self.assertFalse(problem.repaired)
        self.assertEqual(cell3.uuid, self.row(uuid).cell_uuid)

    def test_an_owner_that_changes_meanwhile(self) -> None:
        uuid = self.add(self.cell, project_id='theirs')
        with self.while_looking(
            lambda: self.change(uuid, project_id='new'), at='instance_mapping_update_bulk'
        ):
            [problem] = self.problems(repair=True)
        self.assertFalse(problem.repaired)
        self.assertEqual('new', self.row(uuid).project_id)

    def test_an_orphan_that_is_moved_meanwhile(self) -> None:
        uuid = self.make_mapping(cell_uuid=self.cell.uuid).instance_uuid

        def move() -> None:
            nova_cell.add(self.nova2, uuid=uuid)
            self.change(uuid, cell_uuid=self.cell2.uuid)

        with self.while_looking(move, at='instance_mapping_destroy_seen'):
            self.problems(purge=True)
        self.assertEqual({uuid: self.cell2.uuid}, self.mapped())
        self.assertEqual([], self.problems())

    def test_an_instance_that_appears_in_a_new_cell(self) -> None:
        """Neither it nor its cell was there when the run began."""
        uuid = self.make_mapping(cell_uuid=self.cell.uuid).instance_uuid
        run = self.audit(purge=True)
        _, nova = self.new_cell('new')
        nova_cell.add(nova, uuid=uuid)
        self.assertEqual([Kind.WRONG_CELL], [problem.kind for problem in run.problems()])
        self.assertIn(uuid, self.mapped())

    def test_a_cell_whose_url_changes_meanwhile(self) -> None:
        uuid = self.make_mapping(cell_uuid=self.cell.uuid).instance_uuid
        run = self.audit(purge=True)
        nova = self.new_nova()
        nova_cell.add(nova, uuid=uuid)
        self.cell.database_connection = cells_base.url_of(nova)
        self.cell.save()
        self.assertEqual([], list(run.problems()))
        self.assertEqual([self.cell.uuid], list(run.errors))
        self.assertIn(uuid, self.mapped())

    def test_a_cell_that_is_removed_meanwhile(self) -> None:
        cell3, nova3 = self.new_cell('cell3')
        uuid = nova_cell.add(nova3)
        run = self.audit(repair=True)
        cell3.destroy()
        [problem] = run.problems()
        self.assertEqual((uuid, Kind.MISSING), (problem.instance_uuid, problem.kind))
        self.assertFalse(problem.repaired)

    def test_an_instance_that_moves_between_two_looks(self) -> None:
        """Shown in neither cell at the moment at which each was read."""
        uuid = self.add(self.cell, hidden=True)
        nova_cell.add(self.nova2, uuid=uuid, hidden=True)
        table = nova_cell.instances
        looks = 0

        def flip() -> None:
            nonlocal looks
            looks += 1
            if looks == 3:
                with self.nova2.begin() as connection:
                    connection.execute(table.update().values(hidden=False))

        real = db_api.instance_mapping_get_by_instance_uuids

        def look(*args: Any) -> Any:
            flip()
            return real(*args)

        with mock.patch.object(db_api, 'instance_mapping_get_by_instance_uuids', side_effect=look):
            self.assertEqual([Kind.WRONG_CELL], [each.kind for each in self.problems(purge=True)])
        self.assertIn(uuid, self.mapped())

    def test_a_mapping_that_never_stands_still_is_left_alone(self) -> None:
        uuid = self.add(self.cell2)
        users = iter(range(100))
        real = db_api.instance_mapping_get_by_instance_uuids

        def look(*args: Any) -> Any:
            self.change(uuid, user_id=f'user {next(users)}')
            return real(*args)

        with mock.patch.object(db_api, 'instance_mapping_get_by_instance_uuids', side_effect=look):
            self.assertEqual([], self.problems(repair=True))
        self.assertEqual(self.cell2.uuid, self.row(uuid).cell_uuid)

    def test_two_at_once(self) -> None:
        for _ in range(5):
            self.add()
            self.add(self.cell2)
        first, second = self.audit(repair=True).problems(), self.audit(repair=True).problems()
        kinds = Counter(problem.kind for run in (first, second) for problem in run)
        self.assertEqual({Kind.MISSING: 5, Kind.WRONG_CELL: 5}, kinds)
        self.assertEqual([], self.problems())
        found = InstanceMapping.get_by_instance_uuid(self.context, next(iter(self.mapped())))
        self.assertEqual(self.cell.uuid, found.cell_uuid)
