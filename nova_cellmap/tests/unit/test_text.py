# SPDX-License-Identifier: Apache-2.0
"""Tests of what of others' text is stored, and how it is shown."""

import unicodedata

import hypothesis
from hypothesis import strategies as st

from nova_cellmap import text
from nova_cellmap.tests import base as tests_base


class OddCharacter(tests_base.TestCase):
    def test_text_of_every_language_is_good(self) -> None:
        for good in (
            '',
            'a b',
            '日本',
            'مشروع',
            '👨\u200d👩\u200d👧',
            'a\u00a0b',
            '\u3000',
            '[red]',
            '=cmd()',
        ):
            self.assertIsNone(text.odd_character(good), good)

    def test_what_changes_what_is_shown(self) -> None:
        for odd, shown in {
            'a\x1b[31mb': r'\x1b',
            'a\nb': r'\n',
            '\0': r'\x00',
            '\x7f': r'\x7f',
            '\x85': r'\x85',
            '\x9b2J': r'\x9b',
            '\u2028': r'\u2028',
            '\u202eabc': r'\u202e',
            '\u2066': r'\u2066',
            '\ud800': r'\ud800',
        }.items():
            self.assertEqual(shown, text.odd_character(odd))

    @hypothesis.given(st.text(st.characters()))
    def test_is_one_that_is_there(self, any_text: str) -> None:
        found = text.odd_character(any_text)
        controls = [each for each in any_text if unicodedata.category(each) in ('Cc', 'Cs')]
        if found is None:
            self.assertEqual([], controls)
        else:
            self.assertIn(found, [ascii(each)[1:-1] for each in any_text])


class Shown(tests_base.TestCase):
    @hypothesis.given(
        st.one_of(
            st.text(), st.integers(), st.floats(), st.none(), st.binary(), st.lists(st.text())
        )
    )
    @hypothesis.example('x' * 10_000_000)
    @hypothesis.example([[[['\x1b']]]])
    def test_is_short_and_plain(self, value: object) -> None:
        shown = text.shown(value)
        self.assertTrue(shown.isascii() and shown.isprintable())
        self.assertLess(len(shown), 1200)

    def test_a_number_that_python_does_not_print(self) -> None:
        self.assertEqual('int', text.shown(10**100_000))
