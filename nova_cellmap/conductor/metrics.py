# SPDX-License-Identifier: Apache-2.0
"""What the conductor has done, as Prometheus reads it."""

from collections.abc import Iterator
import itertools

import prometheus_client
from prometheus_client import core
from prometheus_client import registry

from nova_cellmap.conductor import labels
from nova_cellmap.conductor.board import BUCKETS
from nova_cellmap.conductor.board import Board
from nova_cellmap.conductor.health import Health
from nova_cellmap.conductor.health import Status
from nova_cellmap.version import __version__

CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

_NAME = 'nova_cellmap_conductor'


class Metrics(registry.Collector):
    """The metrics of all workers, and what the checks have found.

    The counts are those since the conductor was started, and go on where a worker is replaced.
    """

    def __init__(self, board: Board, health: Health) -> None:
        self._board = board
        self._health = health
        self._registry = registry.CollectorRegistry()
        self._registry.register(self)

    def exposition(self) -> bytes:
        """All of them in Prometheus' text format."""
        return prometheus_client.generate_latest(self._registry)

    def collect(self) -> Iterator[core.Metric]:
        """What prometheus_client asks for."""
        yield core.InfoMetricFamily(_NAME, 'The release that runs.', {'version': __version__})
        yield self._calls()
        yield self._errors()
        yield from self._workers()
        yield self._checks()

    def _calls(self) -> core.Metric:
        calls = core.HistogramMetricFamily(
            f'{_NAME}_call_duration_seconds',
            'How long calls took, by method; _count is how many there were.',
            labels=['method'],
        )
        bounds = [*(f'{float(bound)}' for bound in BUCKETS), '+Inf']
        for method in labels.methods():
            latency = self._board.latency(method)
            buckets = list(zip(bounds, itertools.accumulate(latency.counts), strict=True))
            calls.add_metric([method], buckets, sum_value=latency.seconds)
        return calls

    def _errors(self) -> core.Metric:
        errors = core.CounterMetricFamily(
            f'{_NAME}_errors',
            'How many calls were answered with an exception, by its class.',
            labels=['exception'],
        )
        for name in labels.errors():
            errors.add_metric([name], self._board.errors(name))
        return errors

    def _workers(self) -> Iterator[core.Metric]:
        up = core.GaugeMetricFamily(
            f'{_NAME}_worker_up', 'Whether a worker runs and listens for calls.', labels=['worker']
        )
        threads = core.GaugeMetricFamily(
            f'{_NAME}_threads', 'How many calls a worker answers at once.', labels=['worker']
        )
        busy = core.GaugeMetricFamily(
            f'{_NAME}_threads_busy', 'How many calls a worker is answering.', labels=['worker']
        )
        beat = core.GaugeMetricFamily(
            f'{_NAME}_worker_silence_seconds',
            'How long ago a worker last said that it runs; it does each second.',
            labels=['worker'],
        )
        starts = core.CounterMetricFamily(
            f'{_NAME}_worker_starts',
            'How many processes have begun as a worker: those after the first took the place of '
            'one that died.',
            labels=['worker'],
        )
        for tally in self._board.tallies:
            worker = [str(tally.worker)]
            up.add_metric(worker, tally.is_up)
            threads.add_metric(worker, tally.threads)
            busy.add_metric(worker, tally.busy)
            beat.add_metric(worker, tally.age)
            starts.add_metric(worker, tally.starts)
        yield from (up, threads, busy, beat, starts)

    def _checks(self) -> core.Metric:
        checks = core.GaugeMetricFamily(
            f'{_NAME}_check',
            'What /health says of a check: 1 at the status that it has.',
            labels=['check', 'status'],
        )
        for name, finding in self._health.findings().items():
            for status in Status:
                checks.add_metric([name, status.value], finding.status is status)
        return checks
