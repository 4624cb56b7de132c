# SPDX-License-Identifier: Apache-2.0
"""What an audit looks at, how much it may change, and how long it may take."""

from collections.abc import Iterator
import datetime
import pathlib
from typing import Any
from unittest import mock

import fixtures

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.db import resume_files
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import audit
from nova_cellmap.upkeep import changes
from nova_cellmap.upkeep.limits import MostChanges

_NO_TIME = datetime.timedelta()


class _Case(cells_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.conf.set_override('state_path', self.useFixture(fixtures.TempDir()).path)

    def audit(self, **options: Any) -> audit.Audit:
        """An audit that has come to its end."""
        run = audit.Audit(self.context, CellMappingList.get_all(self.context), **options)
        self.found = list(run.problems())
        return run

    def kinds(self) -> list[str]:
        return sorted(problem.kind.value for problem in self.found)

    def add(self, count: int, **mapped: Any) -> list[str]:
        """Instances of the cell; each has a mapping if anything is said of it."""
        uuids = [nova_cell.add(self.nova) for _ in range(count)]
        for uuid in uuids if mapped else ():
            self.make_mapping(**{'instance_uuid': uuid, 'cell_uuid': self.cell.uuid, **mapped})
        return uuids

    def break_(self) -> None:
        """Have 9 wrong ones, of 7 mappings: 3 missing, 2 in no cell, 3 orphaned, a duplicate."""
        self.add(3)
        self.add(2, cell_uuid=None)
        for _ in range(3):
            self.make_mapping(cell_uuid=self.cell.uuid)
        [uuid] = self.add(1, queued_for_delete=False)
        _, nova = self.new_cell('cell2')
        nova_cell.add(nova, uuid=uuid)


@base.on_both_schemas
class Changes(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.break_()
        self.before = self.mapped()
        self.all = ['duplicate', *['missing'] * 3, *['no_cell'] * 2, *['orphaned'] * 3]

    def assert_refused(self, number: int, kinds: str, most: int, **options: Any) -> None:
        run = self.audit(**options)
        assert run.refused is not None
        self.assertEqual({'number': number, 'kinds': kinds, 'most': most}, run.refused.kwargs)
        self.assertIn(f'--max-changes {number}.', str(run.refused))
        # What there is, is told all the same.
        self.assertEqual(self.all, self.kinds())
        self.assertEqual([], [problem for problem in self.found if problem.repaired])
        self.assertEqual(9, sum(report.left for report in run.reports.values()))
        self.assertEqual(self.before, self.mapped())

    def test_where_it_would_be_more_nothing_is_changed(self) -> None:
        kinds = '3 missing, 2 no_cell'
        self.assert_refused(5, kinds, 4, repair=True, most_changes=MostChanges(4))
        self.assert_refused(3, '3 orphaned', 2, purge=True, most_changes=MostChanges(2))
        self.assert_refused(
            8, f'{kinds}, 3 orphaned', 7, repair=True, purge=True, most_changes=MostChanges(7)
        )

    def test_a_part_of_the_mapping(self) -> None:
        self.assertEqual(6, len(self.before))
        most = MostChanges(percent=50)
        self.assert_refused(5, '3 missing, 2 no_cell', 3, repair=True, most_changes=most)
        run = self.audit(repair=True, most_changes=MostChanges(percent=84))
        self.assertIsNone(run.refused)
        self.assertEqual(5, sum(problem.repaired for problem in self.found))

    def test_as_many_as_are_allowed(self) -> None:
        run = self.audit(repair=True, purge=True, most_changes=MostChanges(8), batch_size=2)
        self.assertIsNone(run.refused)
        self.assertEqual(self.all, self.kinds())
        self.assertEqual(8, sum(problem.repaired for problem in self.found))
        self.assertEqual(1, sum(report.left for report in run.reports.values()))
        self.audit()
        self.assertEqual(['duplicate'], self.kinds())

    def test_one_that_is_wrong_in_several_ways_is_one_change(self) -> None:
        self.add(1, cell_uuid=None, project_id='theirs', queued_for_delete=True)
        self.assertIsNone(self.audit(repair=True, most_changes=MostChanges(6)).refused)
        self.assertEqual(8, sum(problem.repaired for problem in self.found))

    def test_who_only_looks_is_not_limited(self) -> None:
        self.assertIsNone(self.audit(most_changes=MostChanges()).refused)
        self.assertEqual(self.all, self.kinds())

    def test_what_is_over_meanwhile_is_not_told(self) -> None:
        """It is looked at again before it is changed."""
        real, calls = changes.Changes.batches, []

        def others_first(noted: changes.Changes, size: int) -> Iterator[list[str]]:
            calls.append(1)
            if len(calls) == 1:
                list(self.of_others().problems())
            return real(noted, size)

        with mock.patch.object(changes.Changes, 'batches', others_first):
            self.audit(repair=True)
        self.assertEqual(2, len(calls))
        self.assertEqual(['duplicate', *['orphaned'] * 3], self.kinds())

    def of_others(self) -> audit.Audit:
        return audit.Audit(self.context, CellMappingList.get_all(self.context), repair=True)


class SpoolSqlite(_Case):
    def test_a_million_instances_take_no_memory(self) -> None:
        self.patch(changes, '_IN_MEMORY', 100)
        uuids = self.add(50)
        self.audit(repair=True, batch_size=7)
        self.assertEqual(set(uuids), set(self.mapped()))
        self.assertEqual({True}, {problem.repaired for problem in self.found})


@base.on_both_schemas
class Time(_Case):
    """With no time at all, each run looks at a batch."""

    def test_each_run_goes_on_where_the_one_before_was(self) -> None:
        uuids = sorted(self.add(5))
        ends = []
        for _ in range(5):
            run = self.audit(repair=True, batch_size=2, most_time=_NO_TIME)
            ends.append((run.began_after, run.stopped_at))
            if run.stopped_at is None:
                break
        self.assertEqual(
            [('', uuids[1]), (uuids[1], uuids[3]), (uuids[3], uuids[4]), (uuids[4], None)], ends
        )
        self.assertEqual(set(uuids), set(self.mapped()))
        # And then again from the beginning.
        run = self.audit(repair=True, batch_size=10, most_time=_NO_TIME)
        self.assertEqual('', run.began_after)

    def test_what_is_left_is_the_same_as_in_one_run(self) -> None:
        self.break_()
        self.audit()
        expected = {problem.instance_uuid for problem in self.found}
        met: list[str] = []
        for _ in range(2 * len(expected)):
            run = self.audit(batch_size=2, most_time=_NO_TIME)
            met += [problem.instance_uuid for problem in self.found]
            if run.stopped_at is None:
                break
        self.assertEqual(sorted(expected), sorted(met))

    def test_with_enough_time_it_comes_to_its_end(self) -> None:
        self.add(5)
        run = self.audit(batch_size=2, most_time=datetime.timedelta(hours=1))
        self.assertIsNone(run.stopped_at)
        self.assertEqual(5, len(self.found))

    def test_one_that_does_more_begins_at_the_first(self) -> None:
        self.add(5)
        self.assertIsNotNone(self.audit(batch_size=2, most_time=_NO_TIME).stopped_at)
        for options in ({'repair': True}, {'only': self.cell}, {'project_id': 'project'}):
            run = self.audit(batch_size=2, most_time=_NO_TIME, **options)
            self.assertEqual('', run.began_after, str(options))

    def test_one_without_a_limit_begins_at_the_first(self) -> None:
        self.add(5)
        self.audit(batch_size=2, most_time=_NO_TIME)
        self.audit()
        self.assertEqual(5, len(self.found))

    def test_a_mapping_that_is_spelled_otherwise_is_no_place(self) -> None:
        odd = {'instance_uuid': '0 is none', 'cell_uuid': self.cell.uuid, 'project_id': 'p'}
        self.execute(self.mapping_table.insert().values(odd))
        uuids = sorted(self.add(3))
        run = self.audit(batch_size=1, most_time=_NO_TIME)
        self.assertEqual(uuids[0], run.stopped_at)

    def test_what_is_noted_and_is_no_place(self) -> None:
        self.add(3)
        run = self.audit(batch_size=1, most_time=_NO_TIME)
        self.assertIsNotNone(run.stopped_at)
        [file] = pathlib.Path(self.conf.state_path, resume_files.FOLDER).iterdir()
        for text in ('', '{"last_uuid": "x"}', '[]', '{}', '{"last_uuid": 7}'):
            file.write_text(text)
            run = self.audit(batch_size=1, most_time=_NO_TIME)
            self.assertEqual('', run.began_after, text)

    def test_what_was_refused_is_looked_at_again(self) -> None:
        self.add(5)
        options = {'repair': True, 'batch_size': 2, 'most_time': _NO_TIME}
        self.assertIsNotNone(self.audit(most_changes=MostChanges(1), **options).refused)
        run = self.audit(most_changes=MostChanges(2), **options)
        self.assertEqual(('', None), (run.began_after, run.refused))
        self.assertEqual(2, len(self.mapped()))


@base.on_both_schemas
class Selected(_Case):
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
        ]
        taken = nova_cell.add(self.nova, project_id='theirs')
        self.make_mapping(instance_uuid=taken, cell_uuid=self.cell.uuid)
        others = self.add(1) + self.add(1, cell_uuid=self.cell2.uuid)
        self.make_mapping(cell_uuid=self.cell.uuid)
        run = self.audit(project_id='theirs', repair=True, purge=True, batch_size=2)
        self.assertEqual(sorted([*theirs, taken]), self.uuids())
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


class EmptySqlite(_Case):
    def test_an_empty_cell_is_refused_before_all_else(self) -> None:
        other, _ = self.new_cell('cell2')
        for _ in range(101):
            self.make_mapping(cell_uuid=other.uuid)
        with self.assertRaises(exception.PurgeRefused):
            self.audit(purge=True, most_changes=MostChanges(1))
