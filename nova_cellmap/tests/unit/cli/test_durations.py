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


class Moments(base.TestCase):
    def test_a_moment_in_utc(self) -> None:
        moment = datetime.datetime(2026, 11, 30, 22)
        for text in (
            '2026-11-30T22:00',
            '2026-11-30 22:00:00',
            '2026-11-30T22:00Z',
            '2026-12-01T00:00+02:00',
        ):
            self.assertEqual(moment, durations.moment('--since', text))
        day = durations.moment('--since', '2026-11-30')
        self.assertEqual(datetime.datetime(2026, 11, 30), day)

    def test_how_long_ago(self) -> None:
        now = durations.moment('--since', '0')
        self.assertLess(abs(now - durations.moment('--since', '1h')).total_seconds() - 3600, 5)

    def test_what_is_none(self) -> None:
        for text in ('', 'yesterday', '-1', '2026-13-01', '1w', '0001-01-01T00:00+23:00'):
            error = self.assertRaises(CommandError, durations.moment, '--since', text)
            self.assertIn('--since', str(error))
