# SPDX-License-Identifier: Apache-2.0
"""Tests of what of others' text is stored, and how it is shown."""

import unicodedata

import hypothesis
from hypothesis import strategies as st

from nova_cellmap import text
from nova_cellmap.tests import base as tests_base

_TEXTS = st.text(st.characters())


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


class Escaped(tests_base.TestCase):
    def test_what_is_odd_is_shown_by_its_number(self) -> None:
        for some_text, shown in (
            ('\x1b[31m', r'\x1b[31m'),
            ('a\nb\r\tc', r'a\x0ab\x0d\x09c'),
            ('\x7f\x85\x9b', r'\x7f\x85\x9b'),
            ('\u202egpj\u2066', r'\u202egpj\u2066'),
            ('\u2028\u2029\ufeff\u200b', r'\u2028\u2029\ufeff\u200b'),
            ('\udcff', r'\udcff'),
            ('\U000e0041', r'\U000e0041'),
        ):
            self.assertEqual(shown, text.escaped(some_text))

    def test_other_text_stays_as_it_is(self) -> None:
        for some_text in (
            '',
            'cell1',
            'één ☁',
            '日本',
            '[red]x[/red]',
            'a\\b',
            '\U0001f469\u200d\U0001f467',
        ):
            self.assertEqual(some_text, text.escaped(some_text))

    @hypothesis.given(_TEXTS)
    def test_it_has_no_control_characters_and_twice_is_the_same(self, any_text: str) -> None:
        shown = text.escaped(any_text)
        self.assertEqual(set(), {unicodedata.category(each) for each in shown} & {'Cc', 'Cs'})
        self.assertLessEqual(len(shown.splitlines()), 1)
        self.assertEqual(shown, text.escaped(shown))

    @hypothesis.given(_TEXTS)
    def test_lines_keep_their_ends_and_tabs(self, any_text: str) -> None:
        shown = text.escaped_lines(any_text)
        for character in '\n\t':
            self.assertEqual(any_text.count(character), shown.count(character))
        self.assertEqual(text.escaped(any_text), text.escaped(shown))


class Line(tests_base.TestCase):
    def test_what_is_too_long_is_cut_and_counted(self) -> None:
        self.assertEqual('abc', text.line('abc', 3))
        self.assertEqual('abc... (4 characters)', text.line('abcd', 3))

    @hypothesis.given(_TEXTS)
    def test_it_is_printable(self, any_text: str) -> None:
        shown = text.line(any_text, 50)
        self.assertTrue(shown.isprintable())
        if any_text.isprintable() and len(any_text) <= 50:
            self.assertEqual(any_text, shown)


class Kinds(tests_base.TestCase):
    @hypothesis.given(_TEXTS)
    def test_a_control_character(self, any_text: str) -> None:
        self.assertEqual('Cc' in map(unicodedata.category, any_text), text.has_control(any_text))

    @hypothesis.given(_TEXTS)
    def test_half_of_a_pair_cannot_be_encoded(self, any_text: str) -> None:
        self.assertEqual(_can_be_encoded(any_text), text.is_encodable(any_text))


def _can_be_encoded(any_text: str) -> bool:
    try:
        any_text.encode()
    except UnicodeEncodeError:
        return False
    return True
