# SPDX-License-Identifier: Apache-2.0
"""A change, and its line."""

import datetime
import json
from typing import Any

import hypothesis
from hypothesis import strategies as st

from nova_cellmap.tests import base
from nova_cellmap.upkeep import change
from nova_cellmap.upkeep.change import Change
from nova_cellmap.upkeep.change import Outcome

_UUID = '74f0b3a6-c576-4930-a749-35624f38b6bc'
_WHEN = datetime.datetime(2026, 1, 30, 22, 5, 1)
# The texts of all characters take their time at first.
_LAW = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
# Whatever may be in a database; half of a pair stands for a byte that is no text.
_TEXTS = st.text(st.characters(exclude_categories=()), max_size=8)
_MAPPINGS = st.none() | st.fixed_dictionaries(
    {
        'cell_uuid': st.none() | _TEXTS,
        'project_id': st.none() | _TEXTS,
        'user_id': st.none() | _TEXTS,
        'queued_for_delete': st.none() | st.booleans(),
    }
)
_TIMES = st.datetimes(
    min_value=datetime.datetime(1, 1, 3), max_value=datetime.datetime(9999, 12, 29)
)
_CHANGES = st.builds(
    Change,
    _TEXTS,
    st.lists(_TEXTS).map(tuple),
    _MAPPINGS,
    _MAPPINGS,
    _TIMES.map(lambda time: time.replace(microsecond=0)),
    st.text(),
).filter(lambda each: each.before != each.after)


class Lines(base.TestCase):
    @_LAW
    @hypothesis.given(_CHANGES)
    def test_what_is_written_is_read(self, one: Change) -> None:
        self.assertEqual(one, change.read(one.line))
        self.assertEqual([one.line], one.line.splitlines(keepends=True))

    @_LAW
    @hypothesis.given(st.integers(1), st.dictionaries(_TEXTS, st.text()))
    def test_outcomes(self, number: int, not_made: dict[str, str]) -> None:
        outcome = Outcome(number, not_made)
        self.assertEqual(outcome, change.read(outcome.line))

    def test_a_line_as_it_is_documented(self) -> None:
        values = {'cell_uuid': 'c', 'project_id': 'p', 'user_id': None, 'queued_for_delete': False}
        one = Change(_UUID, ('no_cell',), {**values, 'cell_uuid': None}, values, _WHEN, 'why')
        self.assertEqual(
            {
                'instance_uuid': _UUID,
                'problems': ['no_cell'],
                'before': {**values, 'cell_uuid': None},
                'after': values,
                'when': '2026-01-30T22:05:01Z',
                'why': 'why',
            },
            json.loads(one.line),
        )

    def test_a_time_of_another_zone(self) -> None:
        for when in ('2026-01-31T00:05:01+02:00', '2026-01-30T22:05:01'):
            found = change.read(json.dumps(self.told(when=when)).encode())
            assert isinstance(found, Change)
            self.assertEqual(_WHEN, found.when)

    def told(self, **others: Any) -> dict[str, Any]:
        told = {'instance_uuid': _UUID, 'problems': ['orphaned'], 'before': self.values()}
        return {**told, 'after': None, 'when': '2026-01-30T22:05:01Z', 'why': '', **others}

    def values(self, **others: Any) -> dict[str, Any]:
        values = {'cell_uuid': 'c', 'project_id': 'p', 'user_id': 'u', 'queued_for_delete': True}
        return {**values, **others}

    def test_what_is_no_change(self) -> None:
        self.assertIsInstance(change.read(json.dumps(self.told()).encode()), Change)
        short, less = self.told(), self.values()
        del short['why'], less['user_id']
        for told, said in (
            (short, 'lacks why'),
            (self.told(more=1), "has what is unknown here: 'more'"),
            (self.told(instance_uuid=7), 'instance_uuid'),
            (self.told(instance_uuid=None), 'instance_uuid'),
            (self.told(problems='orphaned'), 'problems'),
            (self.told(problems=[None]), 'problems'),
            (self.told(why=None), 'why'),
            (self.told(when='yesterday'), 'when'),
            (self.told(when=7), 'when'),
            (self.told(before=None), 'the same'),
            (self.told(before=[]), 'before'),
            (self.told(before=less), 'before lacks user_id'),
            (self.told(after=self.values(id=1)), 'after has what is unknown'),
            (self.told(after=self.values(queued_for_delete=1)), 'wrong queued_for_delete'),
            (self.told(after=self.values(cell_uuid=1)), 'wrong cell_uuid'),
            ([], 'no JSON object'),
            ({'outcome': {'changes': 0, 'not_made': {}}}, 'number'),
            ({'outcome': {'changes': 1, 'not_made': []}}, 'not_made'),
            ({'outcome': {'changes': 1}}, 'lacks not_made'),
            ({'outcome': None}, 'outcome'),
            ({'outcome': {'changes': 1, 'not_made': {}}, 'when': 1}, "'when'"),
        ):
            error = self.assertRaises(ValueError, change.read, json.dumps(told).encode())
            self.assertIn(said, str(error))
        for line in (b'', b'{', b'\xff', b'[' * 100_000, b'{"instance_uuid": NaN}'):
            self.assertRaises(ValueError, change.read, line)


class Opposite(base.TestCase):
    def test_it_is_one_that_takes_back(self) -> None:
        values = {'cell_uuid': 'c', 'project_id': 'p', 'user_id': 'u', 'queued_for_delete': True}
        one = Change(_UUID, ('orphaned',), values, None, _WHEN, 'why')
        other = one.opposite
        self.assertEqual((None, values), (other.before, other.after))
        self.assertGreater(other.when, _WHEN)
        self.assertEqual((False, True), (one.is_taken_back, other.is_taken_back))


class Values(base.TestCase):
    def test_those_of_a_row_as_it_is_stored(self) -> None:
        row = {'id': 1, 'cell_uuid': b'c', 'project_id': 'p', 'user_id': None}
        for stored, told in ((1, True), (0, False), (None, None), (True, True)):
            self.assertEqual(
                {'cell_uuid': 'c', 'project_id': 'p', 'user_id': None, 'queued_for_delete': told},
                change.values_of({**row, 'queued_for_delete': stored}),
            )
