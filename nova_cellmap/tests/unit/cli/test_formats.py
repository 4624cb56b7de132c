# SPDX-License-Identifier: Apache-2.0
"""The texts of others in tables, for spreadsheets and for shells."""

import json
import subprocess

import hypothesis
from hypothesis import strategies as st

from nova_cellmap.cli import formats
from nova_cellmap.tests import base

_LINES = ('table', 'value', 'csv', 'shell')


class Formats(base.TestCase):
    def one(self, value: object, format_: str) -> object:
        [shown] = formats.shown([value], format_)
        return shown

    def test_control_characters_are_shown_in_every_format_for_lines(self) -> None:
        for format_ in _LINES:
            shown = str(self.one('a\x1b[2Jb\nc', format_))
            self.assertNotIn('\x1b', shown)
            self.assertNotIn('\n', shown)
            self.assertIn('x1b', shown)

    def test_json_and_yaml_are_exact(self) -> None:
        for format_ in ('json', 'yaml'):
            self.assertEqual('=a\x1b\n', self.one('=a\x1b\n', format_))

    def test_what_is_no_text_stays_as_it_is(self) -> None:
        for format_ in (*_LINES, 'json'):
            for value in (None, True, -1, 1.5):
                self.assertIs(value, self.one(value, format_))

    def test_bytes_are_shown_as_text(self) -> None:
        for format_ in (*_LINES, 'json'):
            self.assertEqual('ab', self.one(b'ab', format_))
        self.assertEqual('a\\xff', self.one(b'a\xff', 'json'))

    def test_a_value_with_parts(self) -> None:
        nested = formats.Nested({'a': ['x\x1b', None]}, ['a: x\x1b', 'a: none'])
        for format_ in ('json', 'yaml'):
            self.assertEqual(nested.value, self.one(nested, format_))
        self.assertEqual('a: x\\x1b\na: none', self.one(nested, 'table'))
        for format_ in ('value', 'csv'):
            self.assertEqual(nested.value, json.loads(str(self.one(nested, format_))))

    def test_a_spreadsheet_gets_no_formula(self) -> None:
        plain = ('=cmd', '+1', '-1', '@x', '＝x', '＋1', '－1', '＠x')
        for text in (*plain, ' =x', '\t=x', '\n=x', '\r@x', '\u3000=x'):
            shown = str(self.one(text, 'csv'))
            self.assertTrue(shown.startswith("'"), repr(text))
        for text in ('x=1', 'a-b', "'x", '', '1', '4c1d0f3e-0000-4000-8000-000000000000'):
            self.assertEqual(text, self.one(text, 'csv'))
        self.assertEqual('=cmd', self.one('=cmd', 'value'))

    @hypothesis.settings(max_examples=50, deadline=None)
    @hypothesis.given(
        st.text(st.sampled_from('$`"\\\'!();&|{}x\n') | st.characters(exclude_characters='\0'))
        | st.sampled_from(['$(id)', '`id`', '\\$(id)', '"; id; "', '${PATH}', '$((1+1))'])
    )
    def test_a_shell_runs_nothing_of_it(self, text: str) -> None:
        # As cliff writes it.
        value = str(self.one(text, 'shell')).replace('"', '\\"')
        script = f'value="{value}"; printf %s "$value"'.encode('utf-8', 'surrogateescape')
        done = subprocess.run(['bash', '-c', script], capture_output=True, check=True)
        self.assertEqual(str(self.one(text, 'table')), done.stdout.decode())
