# SPDX-License-Identifier: Apache-2.0
"""No text of others moves the cursor, ends a line or turns the direction."""

import io
import logging
import unicodedata

import hypothesis
from hypothesis import strategies as st

from nova_cellmap import escape
from nova_cellmap.tests import base

_TEXTS = st.text(st.characters())


class Escaped(base.TestCase):
    def test_what_is_odd_is_shown_by_its_number(self) -> None:
        for text, shown in (
            ('\x1b[31m', r'\x1b[31m'),
            ('a\nb\r\tc', r'a\x0ab\x0d\x09c'),
            ('\x7f\x85\x9b', r'\x7f\x85\x9b'),
            ('\u202egpj\u2066', r'\u202egpj\u2066'),
            ('\u2028\u2029\ufeff\u200b', r'\u2028\u2029\ufeff\u200b'),
            ('\udcff', r'\udcff'),
            ('\U000e0041', r'\U000e0041'),
        ):
            self.assertEqual(shown, escape.escaped(text))

    def test_other_text_stays_as_it_is(self) -> None:
        for text in (
            '',
            'cell1',
            'één ☁',
            '日本',
            '[red]x[/red]',
            'a\\b',
            '\U0001f469\u200d\U0001f467',
        ):
            self.assertEqual(text, escape.escaped(text))

    @hypothesis.given(_TEXTS)
    def test_it_has_no_control_characters_and_is_the_same_when_done_twice(self, text: str) -> None:
        shown = escape.escaped(text)
        self.assertEqual(set(), {unicodedata.category(each) for each in shown} & {'Cc', 'Cs'})
        self.assertLessEqual(len(shown.splitlines()), 1)
        self.assertEqual(shown, escape.escaped(shown))

    @hypothesis.given(_TEXTS)
    def test_lines_keep_their_ends_and_tabs(self, text: str) -> None:
        shown = escape.escaped_lines(text)
        for character in '\n\t':
            self.assertEqual(text.count(character), shown.count(character))
        self.assertEqual(escape.escaped(text), escape.escaped(shown))


class Logs(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.stream = io.StringIO()
        handler = logging.StreamHandler(self.stream)
        root = logging.getLogger()
        root.addHandler(handler)
        self.addCleanup(root.removeHandler, handler)
        escape.escape_logs()
        escape.escape_logs()
        self.log = logging.getLogger('nova_cellmap.test')

    def test_a_message_is_one_line(self) -> None:
        self.log.warning('no cell %s', 'x\n2026-01-01 INFO forged \x1b[2J')
        self.assertEqual('no cell x\\x0a2026-01-01 INFO forged \\x1b[2J\n', self.stream.getvalue())

    def test_a_traceback_keeps_its_lines(self) -> None:
        try:
            raise ValueError('\x1b[2J')
        except ValueError:
            self.log.exception('failed')
        text = self.stream.getvalue()
        self.assertIn('Traceback (most recent call last):\n', text)
        self.assertIn('ValueError: \\x1b[2J', text)
        self.assertNotIn('\x1b', text)

    def test_a_call_that_is_wrong_is_left_to_the_handler(self) -> None:
        record = logging.LogRecord('x', logging.INFO, 'x', 1, '%d', ('x',), None)
        self.assertTrue(escape.LogFilter().filter(record))
