# SPDX-License-Identifier: Apache-2.0
"""How far a long run has come."""

import io

import fixtures

from nova_cellmap.cli import progress
from nova_cellmap.tests import base


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Lines(base.TestCase):
    """Where nobody watches."""

    def setUp(self) -> None:
        super().setUp()
        self.stream = io.StringIO()
        self.now = 0.0
        self.useFixture(fixtures.MockPatch('time.monotonic', lambda: self.now))

    def test_a_line_tells_part_count_rate_and_time_left(self) -> None:
        with progress.shown('Mapping cell1', self.stream) as report:
            self.now = 20
            report(250, 1000, 5000)
        self.assertEqual('Mapping cell1: 25%, 5,000 at 250/s, 60 s left\n', self.stream.getvalue())

    def test_there_is_a_line_every_ten_seconds_and_one_at_the_end(self) -> None:
        with progress.shown('x', self.stream) as report:
            for second in range(1, 26):
                self.now = second
                report(second, 25, second)
        parts = [line.split()[1] for line in self.stream.getvalue().splitlines()]
        self.assertEqual(['40%,', '80%,', '100%,'], parts)

    def test_a_run_that_takes_no_time(self) -> None:
        with progress.shown('x', self.stream) as report:
            report(1, 1, 1)
        self.assertIn('100%, 1 at ', self.stream.getvalue())

    def test_the_end_is_told_once(self) -> None:
        with progress.shown('x', self.stream) as report:
            report(1, 1, 1)
            report(1, 1, 1)
        self.assertEqual(1, self.stream.getvalue().count('100%'))

    def test_quiet_shows_nothing_anywhere(self) -> None:
        for stream in (self.stream, _Terminal()):
            with progress.shown('x', stream, quiet=True) as report:
                report(1, 1, 1)
            self.assertEqual('', stream.getvalue())


class Bar(base.TestCase):
    """On a terminal."""

    def test_it_shows_what_part_and_count(self) -> None:
        terminal = _Terminal()
        with progress.shown('Mapping cell1', terminal) as report:
            report(1, 2, 1234)
        for text in ('Mapping cell1', '50%', '1,234'):
            self.assertIn(text, terminal.getvalue())

    def test_the_cursor_is_shown_again_whatever_happens(self) -> None:
        terminal = _Terminal()

        def fail() -> None:
            with progress.shown('x', terminal):
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fail)
        self.assertTrue(terminal.getvalue().rstrip().endswith('\x1b[?25h'))
