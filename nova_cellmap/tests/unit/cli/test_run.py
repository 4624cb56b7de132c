# SPDX-License-Identifier: Apache-2.0
"""What the commands share that go over a large table in batches."""

import argparse
from typing import Any

from nova_cellmap.cli import failures
from nova_cellmap.cli import run
from nova_cellmap.cli.statuses import Status
from nova_cellmap.tests import base
from nova_cellmap.upkeep import batches


class Options(base.TestCase):
    def given(self, *argv: str) -> dict[str, Any]:
        parser = argparse.ArgumentParser()
        run.add_options(parser, 'instance')
        return run.options(parser.parse_args(argv))

    def test_what_is_not_said_is_left_to_the_function(self) -> None:
        self.assertEqual({'reset': False}, self.given())

    def test_numbers(self) -> None:
        self.assertEqual(
            {'max_count': 5, 'batch_size': 7, 'reset': True},
            self.given('--max-count', '5', '--batch-size', '7', '--reset'),
        )

    def test_what_is_no_positive_number_is_an_error(self) -> None:
        for option in ('--max-count', '--batch-size'):
            for value in ('0', '-1', 'x', ''):
                error = self.assertRaises(failures.CommandError, self.given, option, value)
                self.assertEqual(Status.USAGE, error.status)
                self.assertIn(option, str(error))


class Progress(base.TestCase):
    def test_it_is_told_after_each_batch_how_far_it_came(self) -> None:
        told: list[tuple[int, int, int]] = []
        on_batch = run.telling(lambda done, end, rows: told.append((done, end, rows)))
        on_batch(batches.Run(first_id=10, last_id=15, end_id=30, rows=4))
        # More may have come than there were at the beginning.
        on_batch(batches.Run(first_id=10, last_id=40, end_id=30, rows=20))
        self.assertEqual([(5, 20, 4), (30, 30, 20)], told)

    def test_the_status(self) -> None:
        self.assertEqual(0, run.status_of(batches.Run(done=True), 0))
        self.assertEqual(2, run.status_of(batches.Run(done=True), 3))
        self.assertEqual(1, run.status_of(batches.Run(done=False), 3))
