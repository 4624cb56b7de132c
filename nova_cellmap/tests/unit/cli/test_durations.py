# SPDX-License-Identifier: Apache-2.0
"""Options that take a time."""

import datetime

from nova_cellmap.cli import durations
from nova_cellmap.cli.failures import CommandError
from nova_cellmap.tests import base


class Durations(base.TestCase):
    def test_a_number_and_a_unit(self) -> None:
        for text, seconds in (
            ('0', 0),
            ('90', 90),
            ('90s', 90),
            ('15m', 900),
            ('1h', 3600),
            ('1d', 86_400),
        ):
            self.assertEqual(
                datetime.timedelta(seconds=seconds), durations.duration('--min-age', text)
            )

    def test_what_is_none(self) -> None:
        for text in ('', 'm', '-1', '1.5h', '1w', '1 h', '1h30m', '٣', '4000d', '9' * 99):
            error = self.assertRaises(CommandError, durations.duration, '--min-age', text)
            self.assertIn('--min-age', str(error))
