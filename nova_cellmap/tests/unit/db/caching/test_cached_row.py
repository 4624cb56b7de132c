# SPDX-License-Identifier: Apache-2.0
"""Tests of the rows that memcached keeps, and of what is none."""

import datetime
import json
from typing import Any

import hypothesis
from hypothesis import strategies as st

from nova_cellmap.db.caching import cached_row
from nova_cellmap.db.schemas import own
from nova_cellmap.tests import base as tests_base

_UUID = 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee'
_CELL = '11111111-2222-4333-8444-555555555555'
_COLUMNS = [column.name for column in own.instance_mapping.columns]
_TIMES = st.none() | st.datetimes(min_value=datetime.datetime(1000, 1, 1))
_TEXTS = st.text(st.characters(exclude_characters='\0', codec='utf-8'), max_size=255)
_ROW: cached_row.Row = {
    'created_at': datetime.datetime(2024, 1, 2, 3, 4, 5),
    'updated_at': None,
    'id': 7,
    'instance_uuid': _UUID,
    'cell_uuid': _CELL,
    'project_id': 'project',
    'queued_for_delete': False,
    'user_id': 'user',
}
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def _item(**changes: Any) -> bytes:
    values = {**json.loads(json.dumps(_ROW, default=str)), 'created_at': None, **changes}
    return b'1' + json.dumps([values[name] for name in _COLUMNS]).encode()


class Rows(tests_base.TestCase):
    @hypothesis.given(
        st.fixed_dictionaries(
            {
                'created_at': _TIMES,
                'updated_at': _TIMES,
                'id': st.integers(1, 2**63 - 1),
                'instance_uuid': st.just(_UUID),
                'cell_uuid': st.none() | st.uuids().map(str),
                'project_id': _TEXTS,
                'queued_for_delete': st.sampled_from([True, False, 0, 1, None]),
                'user_id': st.none() | _TEXTS,
            }
        )
    )
    def test_a_row_comes_back_as_it_was(self, row: cached_row.Row) -> None:
        self.assertEqual(row, cached_row.unpacked(cached_row.packed(row), _UUID))

    def test_the_longest_row_is_kept(self) -> None:
        row = {**_ROW, 'project_id': '\U0001f600' * 255, 'user_id': '\U0001f600' * 255}
        self.assertEqual(row, cached_row.unpacked(cached_row.packed(row), _UUID))


class NoRows(tests_base.TestCase):
    def assert_none(self, item: bytes) -> None:
        self.assertIsNone(cached_row.unpacked(item, _UUID))

    def test_what_the_others_are_made_of_is_a_row(self) -> None:
        self.assertIsNotNone(cached_row.unpacked(_item(), _UUID))
        self.assertIsNone(cached_row.unpacked(_item(), _CELL))

    def test_values_of_other_types(self) -> None:
        odd = [[], {}, 1.5, -1, 0, 2, True, 'x', '', '\ud800', '\0', 'x' * 256, 2**63, '1', None]
        right: dict[str, list[Any]] = {
            'id': [2],
            'instance_uuid': [],
            'cell_uuid': [None],
            'project_id': ['x', '', '1'],
            'user_id': ['x', '', '1', None],
            'queued_for_delete': [0, True, None],
            'created_at': [None],
            'updated_at': [None],
        }
        for name, values in right.items():
            for value in odd:
                found = cached_row.unpacked(_item(**{name: value}), _UUID)
                is_right = any(
                    value is each or (value == each and type(value) is type(each))
                    for each in values
                )
                self.assertEqual(is_right, found is not None, f'{name}: {value!r}')

    def test_odd_uuids_and_times(self) -> None:
        for uuid in (
            _CELL.upper().replace('1', 'A'),
            _CELL.replace('-', ''),
            f'{_CELL}\n',
            f'{{{_CELL}}}',
        ):
            self.assert_none(_item(cell_uuid=uuid))
        for time in (
            '2024-01-01',
            '2024-01-01 00:00:00',
            '2024-01-01T00:00:00Z',
            '2024-01-01T00:00:00+01:00',
            '2024-13-01T00:00:00',
            '20240101T000000',
            '0' * 100,
        ):
            self.assert_none(_item(created_at=time))

    def test_what_is_no_json_of_a_row(self) -> None:
        good = _item()
        for item in (
            b'',
            b'1',
            b'2' + good[1:],
            b'T' + good[1:],
            good + b'x',
            good[:-1],
            b'1' + b'[' * 4000 + b']' * 4000,
            b'1' + b'[' * 8000,
            b'1{}',
            b'1null',
            b'1[NaN,Infinity]',
            b'1' + b'9' * 5000,
            good.replace(b'7,', b'NaN,'),
            good.replace(b'7,', b'7.0,'),
            good.replace(b'7,', b'1e400,'),
            good.replace(b'7,', b'9' * 5000 + b','),
            good.replace(b'"project"', b'"\xff"'),
            good.replace(b'"project"', b'{"a": 1, "a": 2}'),
            good[:-1] + b', 1]',
            b'1\xff\xfe\xfd',
            good + b' ' * cached_row.LONGEST,
        ):
            self.assert_none(item)

    @hypothesis.given(st.lists(_JSON, min_size=8, max_size=8) | _JSON)
    def test_any_json(self, value: Any) -> None:
        self.assert_none(b'1' + json.dumps(value).encode())

    @hypothesis.given(st.binary())
    def test_any_bytes(self, value: bytes) -> None:
        self.assert_none(value)
        self.assert_none(b'1' + value)
