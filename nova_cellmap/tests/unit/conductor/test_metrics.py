# SPDX-License-Identifier: Apache-2.0
"""What the conductor has done, as Prometheus reads it."""

from prometheus_client import parser

from nova_cellmap.conductor import board
from nova_cellmap.conductor import labels
from nova_cellmap.conductor import metrics
from nova_cellmap.conductor.health import Finding
from nova_cellmap.conductor.health import Health
from nova_cellmap.conductor.health import Status
from nova_cellmap.tests import base
from nova_cellmap.version import __version__

_NAME = 'nova_cellmap_conductor'


class Metrics(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.board = board.Board(2)
        self.health = Health({'database': lambda: Finding(Status.PASS)})
        self.metrics = metrics.Metrics(self.board, self.health)

    def values(self) -> dict[tuple[str, ...], float]:
        """The values, by name and labels without their names."""
        text = self.metrics.exposition().decode()
        return {
            (sample.name.removeprefix(f'{_NAME}_'), *sample.labels.values()): sample.value
            for family in parser.text_string_to_metric_families(text)
            for sample in family.samples
        }

    def test_of_calls(self) -> None:
        for tally in self.board.tallies:
            with tally.call('CellMapping.save'):
                pass
        values = self.values()
        self.assertEqual(2, values['call_duration_seconds_count', 'CellMapping.save'])
        self.assertLess(0, values['call_duration_seconds_sum', 'CellMapping.save'])
        buckets = [
            value
            for [name, *found], value in values.items()
            if name == 'call_duration_seconds_bucket' and 'CellMapping.save' in found
        ]
        self.assertEqual(len(board.BUCKETS) + 1, len(buckets))
        self.assertEqual((sorted(buckets), 2), (buckets, buckets[-1]))

    def test_those_without_a_call_are_there_as_well(self) -> None:
        values = self.values()
        for method in labels.methods():
            self.assertEqual(0, values['call_duration_seconds_count', method])
        for name in labels.errors():
            self.assertEqual(0, values['errors_total', name])

    def test_of_workers(self) -> None:
        first = self.board.tallies[0]
        first.start(threads=64)
        first.become(board.State.ANSWERING)
        with first.call('ping'):
            values = self.values()
        self.assertEqual((1, 0), (values['worker_up', '0'], values['worker_up', '1']))
        self.assertEqual((64, 1), (values['threads', '0'], values['threads_busy', '0']))
        self.assertEqual(1, values['worker_starts_total', '0'])
        self.assertLess(values['worker_silence_seconds', '0'], 5)

    def test_of_checks_and_the_release(self) -> None:
        values = self.values()
        self.assertEqual(1, values['check', 'database', 'fail'])
        self.assertEqual(0, values['check', 'database', 'pass'])
        self.assertEqual(1, values['info', __version__])
