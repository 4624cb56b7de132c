# SPDX-License-Identifier: Apache-2.0
"""What an audit has found, as Prometheus' node exporter reads it from a text file."""

from collections.abc import Iterator, Mapping
import contextlib
import pathlib
import re
import time
from typing import TYPE_CHECKING, Any

import prometheus_client
from prometheus_client import core
from prometheus_client import registry

from nova_cellmap.text import escaped
from nova_cellmap.upkeep.case import Kind

if TYPE_CHECKING:
    from nova_cellmap.upkeep.cell_report import CellReport

# The exporter is another user.
MODE = 0o644

_NAME = 'nova_cellmap_audit'
_SUCCESS = f'{_NAME}_last_success_timestamp_seconds'
_PREVIOUS = re.compile(rf'^{_SUCCESS} ([0-9.e+]{{1,30}})$', re.MULTILINE)
# In bytes: what is read of a file that may be anything.
_MOST_READ = 16 * 1024 * 1024
# The exit statuses of a run that has read all it was to read.
_SUCCESSES = (0, 1)


def last_success(path: str) -> float:
    """When the last audit succeeded, by the file that it left; 0 where none is known to have."""
    with contextlib.suppress(OSError, ValueError), pathlib.Path(path).open('rb') as file:
        found = _PREVIOUS.search(file.read(_MOST_READ).decode())
        return float(found[1]) if found else 0.0
    return 0.0


def exposition(
    summary: Mapping[str, Any], reports: Mapping[str, 'CellReport'], last_success: float
) -> bytes:
    """The metrics of a run, in Prometheus' text format.

    :param summary: as :meth:`nova_cellmap.cli.audit_report.Report.summary` has it
    :param reports: by the uuid of each cell that was looked at
    :param last_success: when the last run before this one succeeded, in seconds since 1970
    """
    collected = registry.CollectorRegistry()
    collected.register(_Metrics(summary, reports, last_success))
    return prometheus_client.generate_latest(collected)


class _Metrics(registry.Collector):
    def __init__(
        self, summary: Mapping[str, Any], reports: Mapping[str, 'CellReport'], last_success: float
    ) -> None:
        self._summary = summary
        self._reports = reports
        self._last_success = last_success

    def collect(self) -> Iterator[core.Metric]:
        yield from self._run()
        yield from self._cells()
        yield from self._problems()

    def _run(self) -> Iterator[core.Metric]:
        """What there is of a run as a whole."""
        summary, now = self._summary, time.time()
        success = now if summary['status'] in _SUCCESSES else self._last_success
        is_part = 'began_after' in summary or 'stopped_at' in summary
        seconds = summary['seconds']
        rate = summary['instances'] / max(seconds, 1e-3)
        for name, text, value in (
            ('last_run_timestamp_seconds', 'When the last audit ended.', now),
            (
                'last_success_timestamp_seconds',
                'When the last audit ended that read all it was to read; 0: none has.',
                success,
            ),
            ('exit_status', 'The exit status of the last audit.', summary['status']),
            (
                'complete',
                'Whether it went from the first instance to the last, within --max-duration.',
                not is_part,
            ),
            ('refused', 'Whether it changed nothing for --max-changes.', 'refused' in summary),
            ('duration_seconds', 'How long it took.', seconds),
            ('instances_per_second', 'How many instances it compared in a second.', rate),
        ):
            yield core.GaugeMetricFamily(f'{_NAME}_{name}', text, float(value))

    def _cells(self) -> Iterator[core.Metric]:
        up = _of_cells('cell_up', 'Whether the cell could be read.')
        for cell in self._summary['cells']:
            up.add_metric(_labels(cell), cell['error'] is None)
        for uuid in self._summary['other_cells_not_read']:
            up.add_metric([uuid, ''], False)
        yield up
        for key, text in (
            ('instances', 'How many instances of the cell were compared.'),
            ('mappings', 'How many mappings name the cell.'),
            ('in_flight', 'What differs because Nova is at work on it; it was left alone.'),
        ):
            family = _of_cells(key, text)
            for cell in self._summary['cells']:
                family.add_metric(_labels(cell), cell[key])
            yield family

    def _problems(self) -> Iterator[core.Metric]:
        """Also where there are none: a series that comes and goes is hard to watch."""
        found = _of_cells('problems_found', 'Problems that the audit found, by kind.', 'kind')
        left = _of_cells('problems_left', 'Those that are not repaired, by kind.', 'kind')
        for cell in self._summary['cells']:
            report = self._reports[cell['cell_uuid']]
            for kind in Kind:
                labels = [*_labels(cell), kind.value]
                found.add_metric(labels, report.found[kind])
                left.add_metric(labels, report.found[kind] - report.repaired[kind])
        yield from (found, left)


def _of_cells(name: str, text: str, *labels: str) -> core.GaugeMetricFamily:
    return core.GaugeMetricFamily(
        f'{_NAME}_{name}', text, labels=['cell_uuid', 'cell_name', *labels]
    )


def _labels(cell: Mapping[str, Any]) -> list[str]:
    return [cell['cell_uuid'], escaped(cell['cell_name'] or '')]
