# SPDX-License-Identifier: Apache-2.0
"""How much an audit may change."""

from collections.abc import Iterator
from typing import Any
from unittest import mock

from nova_cellmap import exception
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.upkeep import base as upkeep_base
from nova_cellmap.upkeep import audit
from nova_cellmap.upkeep import changes
from nova_cellmap.upkeep.limits import MostChanges


@base.on_both_schemas
class Changes(upkeep_base.TestCase):
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


class EmptySqlite(upkeep_base.TestCase):
    def test_an_empty_cell_is_refused_before_all_else(self) -> None:
        other, _ = self.new_cell('cell2')
        for _ in range(101):
            self.make_mapping(cell_uuid=other.uuid)
        few = MostChanges(1)
        self.assertRaises(exception.PurgeRefused, self.audit, purge=True, most_changes=few)
