# SPDX-License-Identifier: Apache-2.0
"""The spellings of a uuid."""

import uuid

import hypothesis
from hypothesis import strategies as st

from nova_cellmap import uuids
from nova_cellmap.objects import arguments
from nova_cellmap.tests import base

_UUID = '74f0b3a6-c576-4930-a749-35624f38b6bc'


class Canonical(base.TestCase):
    @hypothesis.given(st.uuids())
    def test_every_spelling_is_the_same_uuid(self, some: uuid.UUID) -> None:
        text = str(some)
        self.assertEqual(text, uuids.canonical(text))
        for spelled in (*uuids.spellings(text), f' {text}\n', some.urn, text.title()):
            self.assertEqual(text, uuids.canonical(spelled), spelled)
            self.assertEqual(text, arguments.uuid('uuid', spelled))

    @hypothesis.given(st.text())
    def test_what_is_taken_for_one_is_one(self, text: str) -> None:
        found = uuids.canonical(text)
        if found is not None:
            self.assertTrue(uuids.FORM.fullmatch(found))
            self.assertEqual(found, str(uuid.UUID(text.strip())))

    def test_what_is_none(self) -> None:
        for text in (
            '',
            'nonsense',
            _UUID + '0',
            _UUID[:-1],
            # Python takes the next ones for numbers.
            '1_2' + _UUID.replace('-', '')[3:],
            '+' + _UUID.replace('-', '')[1:],
            '٣' + _UUID.replace('-', '')[1:],
            '0x' + _UUID.replace('-', '')[2:],
            _UUID + '\0',
            '{' + _UUID,
            _UUID + '}',
            'urn:uuid:urn:uuid:' + _UUID,
        ):
            self.assertIsNone(uuids.canonical(text), repr(text))
        for value in (None, 7, b'x' * 16, _UUID.encode(), ()):
            self.assertIsNone(uuids.canonical(value))
