# SPDX-License-Identifier: Apache-2.0
"""What a row of a cell's ``instances`` says, checked."""

import datetime
import decimal
from typing import Any

import hypothesis
from hypothesis import strategies as st

from nova_cellmap import uuids
from nova_cellmap.cells import rows
from nova_cellmap.tests import base

_UUID = '74f0b3a6-c576-4930-a749-35624f38b6bc'
_GOOD: dict[str, Any] = {
    'id': 7,
    'uuid': _UUID,
    'project_id': 'project',
    'user_id': 'user',
    'deleted': 0,
    'vm_state': 'active',
    'hidden': False,
}
_anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.text(),
    st.binary(),
    st.datetimes(),
    st.text(st.characters(categories=('Cs', 'Cc'))),
    st.sampled_from((_UUID, _UUID.upper(), 'project', 1, 0)),
)


def _parsed(**values: Any) -> Any:
    return rows.parse([*{**_GOOD, **values}.values()])


class Parse(base.TestCase):
    def test_a_row(self) -> None:
        self.assertEqual(
            rows.Instance(7, _UUID, 'project', 'user', False, False, False), _parsed()
        )

    @hypothesis.given(st.tuples(*[_anything] * 7))
    def test_a_row_of_anything_is_one_or_is_said_to_be_none(self, values: tuple[Any, ...]) -> None:
        found = rows.parse(values)
        if isinstance(found, rows.InvalidRow):
            self.assertTrue(found.reason)
            self.assertTrue(str(found).isprintable(), repr(str(found)))
            self.assertLess(len(str(found)), 1500)
        elif found is not None:
            self.assertGreater(found.id, 0)
            self.assertTrue(uuids.FORM.fullmatch(found.uuid))
            for name in (found.project_id, found.user_id or ''):
                name.encode()
                self.assertLessEqual(len(name), 255)
                self.assertNotIn('\x1b', name)

    def test_flags_of_every_type(self) -> None:
        for no in (None, 0, False, decimal.Decimal(0), b'\0'):
            self.assertEqual((False, False), _parsed(deleted=no, hidden=no)[4:7:2])
        for yes in (1, 7, True, decimal.Decimal(1), b'\1'):
            self.assertEqual((True, True), _parsed(deleted=yes, hidden=yes)[4:7:2])
        for odd in ('yes', '0', 1.5, datetime.datetime(2026, 1, 1)):
            self.assertIn('deleted', _parsed(deleted=odd).reason)
            self.assertIn('hidden', _parsed(hidden=odd).reason)

    def test_what_nova_leaves_is_no_instance(self) -> None:
        for values in (
            {'uuid': rows.NO_UUID},
            {'uuid': '0' * 32},
            {'project_id': rows.NO_UUID},
            {'project_id': 'INSTANCE_MIGRATION_MARKER'},
        ):
            self.assertIsNone(_parsed(**values))

    def test_names_in_every_script_are_good(self) -> None:
        for name in ('中国', 'prójéct ☁', '🙂', 'a\u00a0b', 'a\u2028b', 'x' * 255):
            self.assertIsInstance(_parsed(project_id=name, user_id=name), rows.Instance)

    def test_what_is_shown_is_printable_and_short(self) -> None:
        self.assertEqual('NULL', rows.shown(None))
        self.assertEqual('a\\x1b[31m\\n', rows.shown('a\x1b[31m\n'))
        self.assertEqual('\\udcff', rows.shown(b'\xff'))
        self.assertLess(len(rows.shown('\x1b' * 10**6)), 500)

    def test_times(self) -> None:
        noon = datetime.datetime(2026, 1, 1, 12)
        value: Any
        for value in (noon, '2026-01-01 12:00:00', '2026-01-01T13:00:00+01:00'):
            self.assertEqual(noon, rows.time_of(value))
        for value in (None, '0000-00-00 00:00:00', '0044-03-15 BC', 5, 'x', b''):
            self.assertIsNone(rows.time_of(value))
