# SPDX-License-Identifier: Apache-2.0
"""What the methods' arguments have to be."""

from collections.abc import Callable
from typing import Any
import uuid

from nova_cellmap import exception
from nova_cellmap.objects import arguments
from nova_cellmap.tests import base

_UUID = '7d1e8c9a-0f3b-4c5d-8e6f-1a2b3c4d5e6f'


class TestArguments(base.TestCase):
    def refused(self, check: Callable[[str, Any], Any], value: Any) -> str:
        error = self.assertRaises(exception.InvalidInput, check, 'name', value)
        self.assertIn('name', str(error))
        return str(error)

    def test_text(self) -> None:
        self.assertEqual('', arguments.text('name', ''))
        for wrong in (None, 5, b'x', ['x'], object()):
            self.refused(arguments.text, wrong)
        self.assertIsNone(arguments.optional_text('name', None))
        self.refused(arguments.optional_text, 5)

    def test_a_uuid_is_spelled_as_the_tables_do(self) -> None:
        for spelled in (_UUID, _UUID.upper(), f'{{{_UUID}}}', uuid.UUID(_UUID)):
            self.assertEqual(_UUID, arguments.uuid('name', spelled))
            self.assertEqual(_UUID, arguments.optional_uuid('name', spelled))

    def test_text_that_is_no_uuid_stays_as_it_is(self) -> None:
        self.assertEqual('no uuid', arguments.uuid('name', 'no uuid'))

    def test_what_is_no_text_is_no_uuid(self) -> None:
        for wrong in (None, 5, True, b'x', [_UUID], {}, object()):
            self.refused(arguments.uuid, wrong)
        self.assertIsNone(arguments.optional_uuid('name', None))
        self.refused(arguments.optional_uuid, 0)

    def test_several_are_any_iterable_but_text(self) -> None:
        right: Any
        for right in ([], ('a',), {'a'}, iter('a'), {'a': 1}.keys()):
            self.assertIs(right, arguments.several('name', right))
        for wrong in (None, 5, 'a', b'a', {'a': 1}, object()):
            self.refused(arguments.several, wrong)

    def test_uuids_are_several_and_each_is_one(self) -> None:
        found = arguments.uuids('name', iter([_UUID.upper(), 'no uuid']))
        self.assertEqual([_UUID, 'no uuid'], list(found))
        self.refused(lambda name, value: list(arguments.uuids(name, value)), [_UUID, 5])
