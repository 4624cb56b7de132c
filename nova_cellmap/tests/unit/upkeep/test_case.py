# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the mapping of an instance, by what the cells have of it."""

import datetime
from typing import Any

import hypothesis
from hypothesis import strategies as st

from nova_cellmap.cells.rows import Instance
from nova_cellmap.cells.rows import InvalidRow
from nova_cellmap.tests import base
from nova_cellmap.upkeep.age import Patience
from nova_cellmap.upkeep.case import Case
from nova_cellmap.upkeep.case import Kind

_UUID = '0123abcd-ef45-6789-abcd-ef0123456789'
_MINUTE = datetime.timedelta(minutes=1)
_DAYS = datetime.timedelta(days=2)


def _row(**values: Any) -> Instance:
    said = {'project_id': 'p', 'user_id': 'u', 'deleted': False, 'hidden': False}
    queued = {'queued_for_delete': bool(values.get('deleted'))}
    return Instance(**{'id': 1, 'uuid': _UUID, **said, **queued, **values})


def _mapping(cell_uuid: str | None = 'a', **values: Any) -> dict[str, Any]:
    said = {'project_id': 'p', 'user_id': 'u', 'queued_for_delete': False}
    return {'id': 1, 'instance_uuid': _UUID, 'cell_uuid': cell_uuid, **said, **values}


def _kinds(case: Case) -> list[Kind]:
    return [problem.kind for problem in case.problems]


_ROWS = st.builds(
    _row,
    project_id=st.sampled_from(('p', 'q', '')),
    user_id=st.sampled_from(('u', 'v', None)),
    deleted=st.booleans(),
)
_MAPPINGS = st.builds(
    _mapping,
    st.sampled_from(('a', 'b', 'c', None)),
    project_id=st.sampled_from(('p', 'q')),
    user_id=st.sampled_from(('u', 'v', None)),
    queued_for_delete=st.sampled_from((True, False, None)),
)


class Laws(base.TestCase):
    @hypothesis.settings(deadline=None)
    @hypothesis.given(_MAPPINGS, st.dictionaries(st.sampled_from('abc'), _ROWS))
    def test_what_is_corrected_has_nothing_left_to_correct(
        self, mapping: dict[str, Any], rows: dict[str, Instance]
    ) -> None:
        case = Case(_UUID, mapping, rows)
        if case.is_repairable:
            corrected = Case(_UUID, {**mapping, **case.correction}, rows)
            self.assertEqual([], corrected.problems)

    @hypothesis.settings(deadline=None)
    @hypothesis.given(st.none() | _MAPPINGS, st.dictionaries(st.sampled_from('abc'), _ROWS))
    def test_each_problem_is_of_the_instance_and_comes_once(
        self, mapping: dict[str, Any] | None, rows: dict[str, Instance]
    ) -> None:
        case = Case(_UUID, mapping, rows)
        kinds = _kinds(case)
        self.assertEqual(len(kinds), len(set(kinds)))
        for problem in case.problems:
            self.assertEqual(_UUID, problem.instance_uuid)
            self.assertIn(problem.cell_uuid, {*rows, case.named})
        # Where it lives twice nobody knows what is right.
        self.assertEqual(len(case.live) > 1, case.has(Kind.DUPLICATE))
        self.assertFalse(case.has(Kind.DUPLICATE) and case.is_repairable)

    @hypothesis.settings(deadline=None)
    @hypothesis.given(st.none() | _MAPPINGS, st.dictionaries(st.sampled_from('abc'), _ROWS))
    def test_what_was_changed_a_moment_ago_is_in_flight(
        self, mapping: dict[str, Any] | None, rows: dict[str, Instance]
    ) -> None:
        patience = Patience(min_age=15 * _MINUTE)
        case = Case(_UUID, mapping, rows, age=_MINUTE, patience=patience)
        self.assertEqual([], case.problems)
        self.assertEqual(bool(case.differences), case.is_in_flight)


class Problems(base.TestCase):
    def test_what_is_wrong(self) -> None:
        here = {'a': _row()}
        for mapping, rows, kinds in (
            (_mapping(), here, []),
            (None, {}, []),
            (_mapping(None), {}, []),
            (None, here, [Kind.MISSING]),
            (_mapping(), {}, [Kind.ORPHANED]),
            (_mapping('b'), here, [Kind.WRONG_CELL]),
            (_mapping(None), here, [Kind.NO_CELL]),
            (_mapping(user_id=None), here, [Kind.WRONG_OWNER]),
            (_mapping(queued_for_delete=True), here, [Kind.STALE_QUEUED_FOR_DELETE]),
            (_mapping(), {'a': _row(), 'b': _row(deleted=True)}, []),
            (_mapping(), {'a': _row(), 'b': _row()}, [Kind.DUPLICATE]),
            (_mapping('a\udce9'), here, [Kind.INVALID_ROW]),
        ):
            self.assertEqual(kinds, _kinds(Case(_UUID, mapping, rows)), f'{mapping} {rows}')

    def test_what_its_cell_does_not_know_is_no_difference(self) -> None:
        rows = {'a': _row(project_id='', user_id=None)}
        self.assertEqual([], _kinds(Case(_UUID, _mapping(), rows)))

    def test_it_may_be_in_a_cell_that_could_not_be_read(self) -> None:
        self.assertEqual([], _kinds(Case(_UUID, _mapping('b'), {'a': _row()}, unread=['b'])))
        self.assertEqual([], _kinds(Case(_UUID, _mapping('a'), {}, unread=['b'])))

    def test_a_row_that_cannot_be_read_hides_all_else(self) -> None:
        invalid = {'b': [InvalidRow(7, _UUID, _UUID, 'it is odd')]}
        [problem] = Case(_UUID, _mapping('b'), {'a': _row()}, invalid=invalid).problems
        self.assertEqual((Kind.INVALID_ROW, 'b'), (problem.kind, problem.cell_uuid))
        self.assertEqual('row 7: it is odd', problem.detail)

    def test_a_person_is_told_what_a_cell_is_called(self) -> None:
        [problem] = Case(_UUID, _mapping('b'), {'a': _row()}, identity=str.upper).problems
        self.assertEqual('mapped to B', problem.detail)

    def test_the_cell_that_it_is_in(self) -> None:
        gone, live = _row(deleted=True), _row()
        for named, rows, home in (
            ('a', {'a': gone, 'b': live}, 'b'),
            ('b', {'a': gone, 'b': gone}, 'b'),
            ('c', {'b': gone, 'a': gone}, 'a'),
            ('c', {}, 'c'),
        ):
            self.assertEqual(home, Case(_UUID, _mapping(named), rows).home)

    def test_the_projects_that_are_named(self) -> None:
        rows = {'a': _row(project_id='q'), 'b': _row(project_id='')}
        self.assertEqual({'p', 'q'}, Case(_UUID, _mapping(), rows).projects)
        self.assertEqual(set(), Case(_UUID, None, {}).projects)


class InFlight(base.TestCase):
    """What Nova is at work on."""

    def cases(self, **values: Any) -> list[Case]:
        building = {'is_building': True, **values}
        moved = {'a': _row(), 'b': _row()}
        deleting = {'a': _row(task_state='deleting')}
        return [
            Case(_UUID, None, {'a': _row()}, **building),
            Case(_UUID, _mapping(None), {'a': _row()}, **building),
            Case(_UUID, _mapping(None), {'a': _row(task_state='scheduling')}, **values),
            Case(_UUID, _mapping(queued_for_delete=True), deleting, **values),
            Case(_UUID, _mapping(), moved, move='finished', **values),
        ]

    def test_it_is_no_problem(self) -> None:
        for case in self.cases():
            self.assertEqual([], case.problems)
            self.assertTrue(case.is_in_flight and case.differences)
            self.assertFalse(case.is_repairable)

    def test_for_too_long_it_is_stuck_and_not_repaired(self) -> None:
        for case in self.cases(age=_DAYS):
            self.assertEqual([Kind.STUCK], _kinds(case))
            self.assertIn('nothing has changed for 2 days', case.problems[0].detail)
            self.assertFalse(case.is_in_flight or case.is_repairable)

    def test_what_nova_writes_is_not_corrected_beside_another_problem(self) -> None:
        mapping = _mapping(queued_for_delete=True, project_id='q')
        case = Case(_UUID, mapping, {'a': _row(task_state='deleting')})
        self.assertEqual([Kind.WRONG_OWNER], _kinds(case))
        self.assertTrue(case.is_in_flight)
        self.assertEqual({'cell_uuid': 'a', 'project_id': 'p', 'user_id': 'u'}, case.correction)
