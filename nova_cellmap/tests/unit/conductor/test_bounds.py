# SPDX-License-Identifier: Apache-2.0
"""What arguments and contexts may be."""

from typing import Any

import hypothesis
from hypothesis import strategies as st

from nova_cellmap import exception
from nova_cellmap.conductor import bounds
from nova_cellmap.tests import base

_VERSION = 'nova_cellmap_object.version'

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class Arguments(base.TestCase):
    def refused(self, value: Any, page_size: int = 1000) -> str:
        arguments = {'args': [value]}
        error = self.assertRaises(
            (exception.RemoteCallRefused, exception.InvalidInput),
            bounds.check_arguments,
            arguments,
            page_size,
        )
        return str(error)

    def test_usual_ones_pass(self) -> None:
        bounds.check_arguments(
            {'x': ['\u65e5\u672c \U0001f600', 5, -5, 1.5, None, True, 'x' * 4096, {}, [[[]]]]}, 10
        )

    def test_shapes(self) -> None:
        fine = {'objname': 'x', 'objmethod': 'y', 'object_versions': {}, 'args': [], 'kwargs': {}}
        bounds.check_arguments(fine, 1000)
        bounds.check_arguments({**fine, 'args': (1,)}, 1000)
        for name, value in fine.items():
            for odd in (None, True, 0, 1.5, 'x', ['x'], {'x': 1}):
                if type(odd) is type(value):
                    continue
                error = self.assertRaises(
                    exception.RemoteCallRefused, bounds.check_arguments, {**fine, name: odd}, 1000
                )
                self.assertIn(f'{name} is a {type(odd).__name__}, and no ', str(error))

    def test_texts(self) -> None:
        self.assertIn('5000 characters', self.refused('x' * 5000))
        self.assertIn('300 characters', self.refused({'x' * 300: 1}))
        for text in ('\0', 'a\nb', '\x1b[31m', '\x7f', '\x85', '\ud800', 'x\r'):
            self.assertIn('control character', self.refused(text))
            # As it is told without a conductor.
            self.assertRaises(exception.InvalidInput, bounds.check_arguments, {'args': [text]}, 9)
            self.assertIn('control character', self.refused({text: 1}))

    def test_numbers(self) -> None:
        for number in (2**64, -(2**64), 10**4000):
            self.assertIn('64 bits', self.refused(number))

    def test_lists_and_keys(self) -> None:
        error = self.assertRaises(
            exception.PageTooLarge, bounds.check_arguments, {'x': [0] * 1001}, 1000
        )
        self.assertEqual({'limit': 1000}, error.kwargs)
        self.assertIn('100 keys', self.refused({str(number): 1 for number in range(101)}))

    def test_depth(self) -> None:
        value: Any = 'x'
        for _ in range(13):
            value = [value]
        self.assertIn('nested', self.refused(value))

    def test_versions_at_any_depth(self) -> None:
        for version in ('1', '1.', '9' * 20_000, '1.' * 5000, '1.4rc1', 'x', None, 1.4, ['1.4']):
            self.assertIn('version', self.refused({'x': [{_VERSION: version}]}))
        for version in ('1.0', '1.12', '2.0.1', '1234.1234'):
            bounds.check_arguments({'x': [{_VERSION: version}]}, 10)

    @hypothesis.given(_JSON)
    @hypothesis.settings(deadline=None)
    def test_anything_passes_or_is_refused(self, value: Any) -> None:
        try:
            bounds.check_arguments({'x': value}, 5)
        except (
            exception.RemoteCallRefused,
            exception.PageTooLarge,
            exception.InvalidInput,
        ) as error:
            self.assertLess(len(str(error)), 300)


class Context(base.TestCase):
    def test_usual_ones_pass(self) -> None:
        bounds.check_context(
            {
                'user': 'u',
                'roles': ['a', 'b'],
                'is_admin': True,
                'x': None,
                'auth_token': 'x' * 4000,
            }
        )

    def test_what_would_forge_a_line_of_the_log_is_refused(self) -> None:
        values: Any = (
            'x\n2026-01-01 INFO forged',
            '\x1b[2J',
            'x' * 256,
            ['x' * 256],
            ['\n'],
            {'x': 1},
            [[1]],
            ['x'] * 101,
        )
        for value in values:
            self.assertRaises(
                exception.RemoteCallRefused, bounds.check_context, {'request_id': value}
            )
        self.assertRaises(exception.RemoteCallRefused, bounds.check_context, {'a\nb': 1})
