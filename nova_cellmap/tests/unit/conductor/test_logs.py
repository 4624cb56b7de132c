# SPDX-License-Identifier: Apache-2.0
"""A log that cannot be filled or forged."""

import io
import logging
from unittest import mock

from nova_cellmap.conductor import logs
from nova_cellmap.tests import base


class Bounded(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.out = io.StringIO()
        handler = logging.StreamHandler(self.out)
        handler.addFilter(logs.Bounded())
        self.log = logging.Logger('x')
        self.log.addHandler(handler)

    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()

    def test_a_place_logs_so_much_and_says_what_it_left_out(self) -> None:
        with mock.patch('time.monotonic') as now:
            now.return_value = 1000.0
            for number in range(1000):
                self.log.warning('line %d', number)
            self.assertEqual(logs.BURST, len(self.lines()))
            self.log.warning('another place')
            self.assertEqual('another place', self.lines()[-1])
            now.return_value += 5
            for number in range(1000):
                # The same place again would be another line of this test.
                self.log.warning('later %d', number)

    def test_what_was_left_out_is_counted(self) -> None:
        with mock.patch('time.monotonic') as now:
            now.return_value = 1000.0
            for number in range(logs.BURST + 6):
                if number == logs.BURST + 5:
                    now.return_value += 2
                self.log.warning('line')
        self.assertEqual('line (5 more of these lines were left out)', self.lines()[-1])

    def test_a_traceback_counts_for_many(self) -> None:
        for _ in range(1000):
            try:
                raise ValueError
            except ValueError:
                self.log.exception('it failed')
        self.assertLess(self.lines().count('it failed'), 20)

    def test_a_line_is_one_line_of_some_length(self) -> None:
        self.log.warning('%s', 'a\nforged \x1b[31mred' + 'x' * 100_000)
        [line] = self.lines()
        self.assertLess(len(line), 2500)
        self.assertIn(r'a\nforged \x1b[31mred', line)

    def test_other_languages_stay_as_they_are(self) -> None:
        self.log.warning('\u65e5\u672c')
        self.assertEqual(['\u65e5\u672c'], self.lines())
