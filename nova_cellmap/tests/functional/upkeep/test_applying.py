# SPDX-License-Identifier: Apache-2.0
"""Plans of audits, and making what of them still holds."""

import datetime
from typing import Any
from unittest import mock

import hypothesis
from hypothesis import strategies as st
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.db import api as db_api
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.upkeep import changing_base
from nova_cellmap.upkeep import applying
from nova_cellmap.upkeep import empty_cells
from nova_cellmap.upkeep import journal as journals
from nova_cellmap.upkeep import reverting
from nova_cellmap.upkeep.age import Patience
from nova_cellmap.upkeep.applying import Applied
from nova_cellmap.upkeep.change import Change
from nova_cellmap.upkeep.change_files import Fate
from nova_cellmap.upkeep.journal import Journal
from nova_cellmap.upkeep.limits import MostChanges


class _Case(changing_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.folder / 'plan'

    def plan(self, **options: Any) -> list[Change]:
        """Write the plan of an audit, which changes nothing."""
        before = self.now()
        planned: list[Change] = []
        run = self.audit(plan=planned.extend, **{'repair': True, 'purge': True, **options})
        self.assertIsNone(run.refused)
        self.assertEqual([], [problem for problem in self.found if problem.repaired])
        self.assertEqual(before, self.now())
        self.file.write_bytes(b''.join(each.line for each in planned))
        return planned

    def apply(self, **options: Any) -> Applied:
        cells = CellMappingList.get_all(self.context)
        options = {'journal': Journal(self.path), **options}
        return applying.apply(self.context, cells, [self.file], **options)

    def left(self) -> list[str]:
        """What an audit finds."""
        self.audit()
        return self.kinds()


@base.on_both_schemas
class Apply(_Case):
    def test_it_is_as_if_the_audit_had_made_it(self) -> None:
        self.break_()
        [wrong] = self.add(1, project_id='theirs', queued_for_delete=True)
        before = self.now()
        planned = self.plan(batch_size=2, most_changes=MostChanges(1))
        self.assertEqual(9, len(planned))
        self.assertEqual(
            {'missing': 3, 'no_cell': 2, 'orphaned': 3},
            {
                kind: sum(each.problems == (kind,) for each in planned)
                for kind in ('missing', 'no_cell', 'orphaned')
            },
        )
        [of_wrong] = [each for each in planned if each.instance_uuid == wrong]
        self.assertEqual({'wrong_owner', 'stale_queued_for_delete'}, {*of_wrong.problems})
        self.assertEqual(before[wrong], of_wrong.before)
        self.assertIn('project_id is theirs', of_wrong.why)
        self.assertEqual(Applied(total=9, looked_at=9, made=9), self.apply())
        self.assertEqual(['duplicate'], self.left())
        self.assertEqual(
            {each.instance_uuid: (each.before, each.after) for each in planned},
            {
                entry.change.instance_uuid: (entry.change.before, entry.change.after)
                for entry in self.entries()
                if entry.fate is Fate.MADE
            },
        )
        # What is made holds no more.
        self.assertEqual(Applied(total=9, looked_at=9, left=9), self.apply())
        reverting.revert(self.context, self.path)
        self.assertEqual(before, self.now())

    def test_what_a_plan_is_of(self) -> None:
        self.break_()
        self.assertEqual({('orphaned',)}, {each.problems for each in self.plan(repair=False)})
        self.assertEqual(5, len(self.plan(purge=False)))

    def test_what_others_have_changed_meanwhile_is_left(self) -> None:
        [repaired, moved] = self.add(2, project_id='theirs')
        [stays] = self.add(1, project_id='theirs')
        self.plan()
        values = self.values(project_id='project', user_id='user')
        for uuid, others in (
            (repaired, values),
            (moved, {**values, 'project_id': 'others'}),
        ):
            seen = db_api.instance_mapping_get_by_instance_uuid(self.context, uuid)
            db_api.instance_mapping_update_bulk(self.context, [(seen, others)])
        self.assertEqual(Applied(total=3, looked_at=3, made=1, left=2), self.apply())
        self.assertEqual('others', self.now()[moved]['project_id'])
        self.assertEqual('project', self.now()[stays]['project_id'])

    def test_what_the_cells_say_otherwise_now_is_left(self) -> None:
        orphan = self.map()
        [uuid] = self.add(1, queued_for_delete=True)
        self.plan()
        nova_cell.add(self.nova, uuid=orphan)
        with self.nova.begin() as connection:
            is_it = nova_cell.instances.c.uuid == uuid
            connection.execute(
                sa.update(nova_cell.instances).where(is_it).values(vm_state='soft-delete')
            )
        before = self.now()
        self.assertEqual(2, self.apply().left)
        self.assertEqual(before, self.now())

    def test_what_is_in_flight_is_left(self) -> None:
        self.add(2, project_id='theirs')
        self.plan()
        patience = Patience(datetime.timedelta(minutes=15))
        self.assertEqual(2, self.apply(patience=patience).left)
        self.assertEqual(2, self.apply().made)

    def test_no_more_than_are_allowed(self) -> None:
        self.break_()
        self.plan()
        before = self.now()
        error = self.assertRaises(
            exception.ChangesRefused, self.apply, most_changes=MostChanges(7)
        )
        self.assertIn('8 mappings would be changed (3 missing, 2 no_cell, 3', str(error))
        self.assertEqual((before, []), (self.now(), self.entries()))
        self.assertEqual(8, self.apply(most_changes=MostChanges(8)).made)

    def test_a_cell_that_is_empty_now(self) -> None:
        nova_cell.add(self.other_nova)
        uuids = [self.map(cell_uuid=self.other.uuid) for _ in range(empty_cells.FEW + 1)]
        self.plan()
        cells_base.empty(self.other_nova)
        self.assertRaises(exception.PurgeRefused, self.apply)
        self.assertEqual({*uuids}, self.now().keys())

    def test_a_cell_that_cannot_be_read(self) -> None:
        self.map()
        self.plan()
        lost = self.make_cell(name='lost', database_connection='sqlite:////nosuch/x.sqlite')
        applied = self.apply()
        self.assertEqual((1, [lost.uuid]), (applied.left, [*applied.errors]))

    def test_a_wrong_line_is_seen_before_anything_is_done(self) -> None:
        self.break_()
        planned = self.plan()
        before = self.now()
        for line in (b'{}\n', planned[0].line[:-10]):
            self.file.write_bytes(b''.join(each.line for each in planned) + line)
            error = self.assertRaises(exception.InvalidChangeFile, self.apply)
            self.assertIn('line 9', str(error))
        self.assertEqual(before, self.now())

    def test_a_journal_is_a_plan_too(self) -> None:
        """The mapping was restored from a backup."""
        self.break_()
        self.audit(repair=True, journal=self.journal)
        now = self.now()
        reverting.revert(self.context, self.path)
        self.file.write_bytes(self.path.read_bytes())
        self.apply()
        self.assertEqual(now, self.now())

    def test_the_journals_before_it_too(self) -> None:
        self.patch(journals, '_MOST_BYTES', 100)
        [first, second] = self.add(2, project_id='theirs')
        before = self.now()
        for uuid in (first, second):
            self.audit(repair=True, instances=[uuid], journal=Journal(self.path))
        now = self.now()
        files = journals.files(self.path)
        self.assertEqual(2, len(files))
        cells = CellMappingList.get_all(self.context)
        for _ in range(2):
            reverting.revert(self.context, self.path)
            self.assertEqual(before, self.now())
            self.assertEqual(2, applying.apply(self.context, cells, files).made)
            self.assertEqual(now, self.now())


class BytesSqlite(_Case):
    def test_what_says_the_same_is_no_change(self) -> None:
        """A line of it nobody could read, nor the journal."""
        [uuid] = self.add(1, project_id='project', user_id='user')
        table = self.mapping_table
        as_bytes = sa.cast(table.c.project_id, sa.LargeBinary)
        self.execute(table.update().values(project_id=sa.type_coerce(as_bytes, sa.String)))
        self.assertEqual([], self.plan())
        self.audit(repair=True, journal=self.journal)
        self.assertEqual([], self.entries())


@base.on_both_schemas
class OfAudits(_Case):
    def test_what_an_audit_changes_is_in_the_journal(self) -> None:
        self.break_()
        before = self.now()
        self.audit(repair=True, purge=True, journal=self.journal, batch_size=2)
        self.assertEqual({Fate.MADE}, {entry.fate for entry in self.entries()})
        self.assertEqual(8, self.journal.changes)
        reverting.revert(self.context, self.path)
        self.assertEqual(before, self.now())

    def test_what_others_were_first_with(self) -> None:
        [uuid] = self.add(1, project_id='theirs')
        real = db_api.instance_mapping_update_bulk

        def others_first(context: Any, changes: Any) -> Any:
            db_api.instance_mapping_update(context, uuid, {'project_id': 'others'})
            return real(context, changes)

        with mock.patch.object(db_api, 'instance_mapping_update_bulk', others_first):
            self.audit(repair=True, journal=self.journal)
        self.assertEqual([Fate.NOT_MADE], [entry.fate for entry in self.entries()])

    def test_the_place_of_a_plan_is_its_own(self) -> None:
        self.add(6, project_id='theirs')
        no_time = datetime.timedelta()
        run = self.audit(repair=True, plan=lambda _: None, most_time=no_time, batch_size=2)
        self.assertIsNotNone(run.stopped_at)
        self.assertEqual('', self.audit(repair=True, most_time=no_time, batch_size=2).began_after)
        again = self.audit(repair=True, plan=lambda _: None, most_time=no_time, batch_size=2)
        self.assertEqual(run.stopped_at, again.began_after)


class LawSqlite(_Case):
    """To apply and to revert is nothing, whatever is wrong."""

    @hypothesis.settings(max_examples=15)
    @hypothesis.given(
        st.lists(
            st.fixed_dictionaries(
                {
                    'is_there': st.booleans(),
                    'in_cell': st.sampled_from((None, 0, 1)),
                    'project_id': st.sampled_from(('project', 'p')),
                    'queued_for_delete': st.booleans(),
                }
            ),
            max_size=6,
        ),
        st.sets(st.integers(0, 5)),
    )
    def test_nothing_is_left_of_it(self, rows: list[Any], theirs: set[int]) -> None:
        self.path.unlink(missing_ok=True)
        cells = self.cell.uuid, self.other.uuid
        uuids = []
        for row in rows:
            uuid = nova_cell.add(self.nova) if row['is_there'] else base.new_uuid()
            uuids.append(uuid)
            place = row['in_cell']
            if place is not None or not row['is_there']:
                values = {name: row[name] for name in ('project_id', 'queued_for_delete')}
                cell_uuid = None if place is None else cells[place]
                new = {'instance_uuid': uuid, 'cell_uuid': cell_uuid, 'user_id': 'user', **values}
                db_api.instance_mapping_create(self.context, new)
        expected = self.now()
        planned = self.plan()
        self.assertEqual(len(planned), self.apply().made)
        for place in theirs:
            uuid = uuids[place] if place < len(uuids) else ''
            if uuid in self.now():
                db_api.instance_mapping_update(self.context, uuid, {'project_id': 'theirs'})
                expected[uuid] = self.now()[uuid]
        self.path.touch()
        reverting.revert(self.context, self.path, journal=Journal(self.path))
        self.assertEqual(expected, self.now())
        db_api.instance_mapping_destroy_bulk(self.context, self.now())
        cells_base.empty(self.nova)
