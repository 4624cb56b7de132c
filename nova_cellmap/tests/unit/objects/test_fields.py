# SPDX-License-Identifier: Apache-2.0
"""The kinds of field that oslo.versionedobjects does not have."""

import datetime
from typing import Any

import hypothesis
from hypothesis import strategies as st

from nova_cellmap import context
from nova_cellmap import objects
from nova_cellmap.objects import fields
from nova_cellmap.tests import base

_UUID = '7d1e8c9a-0f3b-4c5d-8e6f-1a2b3c4d5e6f'


class Values(base.TestCase):
    def refused(self, field: Any, *values: Any) -> None:
        for value in values:
            error = self.assertRaises(ValueError, field.coerce, None, 'name', value)
            self.assertIn('name', str(error))
            self.assertTrue(str(error).isprintable())

    def test_a_uuid_is_spelled_as_the_tables_do(self) -> None:
        for spelled in (_UUID, _UUID.upper(), _UUID.replace('-', ''), f'{{{_UUID}}}'):
            self.assertEqual(_UUID, fields.UUID().coerce(None, 'name', spelled))
        self.refused(fields.UUID(), '', 'x', 5, None, '\x1b')

    def test_text_is_what_every_database_can_keep(self) -> None:
        field = fields.Text(max_length=5)
        self.assertEqual('\u65e5\u672c', field.coerce(None, 'name', '\u65e5\u672c'))
        self.refused(field, 'a\0b', '\ud800', 'x' * 6)

    def test_a_flag_is_not_any_text(self) -> None:
        for value, expected in (('False', False), ('0', False), (1, True), (True, True)):
            self.assertIs(expected, fields.Boolean().coerce(None, 'name', value))
        self.refused(fields.Boolean(), 'perhaps', '', 2)

    def test_a_number_is_a_whole_one(self) -> None:
        self.assertEqual(7, fields.Integer().coerce(None, 'name', '7'))
        self.refused(fields.Integer(), float('inf'))

    def test_a_url_is_shown_without_its_password(self) -> None:
        cell = objects.CellMapping(
            context.get_admin_context(), transport_url='rabbit://u:sekret@mq/'
        )
        self.assertEqual('rabbit://u:sekret@mq/', cell.transport_url)
        self.assertNotIn('sekret', repr(cell))

    # The first draw of a time zone reads the files of all.
    @hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.too_slow], deadline=None)
    @hypothesis.given(st.datetimes(timezones=st.timezones()))
    def test_a_moment_is_kept_as_utc_and_can_be_read_again(self, moment: Any) -> None:
        field: Any = fields.DateTime()
        try:
            kept = field.coerce(None, 'name', moment)
        except ValueError:
            # Of the first or the last day that there is.
            return
        self.assertEqual(datetime.UTC, kept.tzinfo)
        self.assertEqual(moment.astimezone(datetime.UTC), kept)
        written = field.to_primitive(None, 'name', kept)
        self.assertEqual(kept.replace(microsecond=0), field.from_primitive(None, 'name', written))
