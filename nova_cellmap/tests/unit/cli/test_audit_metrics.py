# SPDX-License-Identifier: Apache-2.0
"""What an audit has found, as Prometheus' node exporter reads it."""

from collections import Counter
import pathlib
import time
from typing import Any

import fixtures
from prometheus_client import parser

from nova_cellmap.cli import audit_metrics
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests import base
from nova_cellmap.upkeep.case import Kind
from nova_cellmap.upkeep.cell_report import CellReport

_UUID = '5f0f0f0e-0d0c-4b0a-8908-070605040302'


def _written(last_success: float = 0, name: str | None = 'cell1', **summary: Any) -> bytes:
    report = CellReport(
        CellMapping(uuid=_UUID, name='cell1'),
        found=Counter({Kind.MISSING: 3, Kind.STUCK: 1}),
        repaired=Counter({Kind.MISSING: 2}),
    )
    cell = {
        'cell_uuid': _UUID,
        'cell_name': name,
        'instances': 5,
        'mappings': 4,
        'in_flight': 2,
        'error': None,
    }
    whole: dict[str, Any] = {
        'status': 1,
        'instances': 5,
        'seconds': 2,
        'cells': [cell],
        'other_cells_not_read': {'another': 'why'},
    }
    return audit_metrics.exposition({**whole, **summary}, {_UUID: report}, last_success)


def _values(written: bytes) -> dict[tuple[str, ...], float]:
    """The values, by name, kind or uuid of the cell."""
    return {
        (
            sample.name.removeprefix('nova_cellmap_audit_'),
            sample.labels.get('kind', sample.labels.get('cell_uuid', '')),
        ): sample.value
        for family in parser.text_string_to_metric_families(written.decode())
        for sample in family.samples
    }


class Exposition(base.TestCase):
    def test_of_cells_and_problems(self) -> None:
        values = _values(_written())
        self.assertEqual(
            (3, 1), (values['problems_found', 'missing'], values['problems_left', 'missing'])
        )
        self.assertEqual(
            (1, 1), (values['problems_found', 'stuck'], values['problems_left', 'stuck'])
        )
        # Those that there are none of, too.
        for kind in Kind:
            self.assertIn(('problems_found', kind.value), values)
        for name, value in (('instances', 5), ('mappings', 4), ('in_flight', 2), ('cell_up', 1)):
            self.assertEqual(value, values[name, _UUID])
        self.assertEqual(0, values['cell_up', 'another'])

    def test_of_the_run(self) -> None:
        values = _values(_written())
        self.assertEqual(2, values['duration_seconds', ''])
        self.assertEqual(2.5, values['instances_per_second', ''])
        self.assertEqual((1, 0), (values['complete', ''], values['refused', '']))
        part = _values(_written(stopped_at='x', status=3, refused={'most': 1}))
        self.assertEqual(
            (0, 1, 3), (part['complete', ''], part['refused', ''], part['exit_status', ''])
        )

    def test_a_run_that_has_not_read_all_is_no_success(self) -> None:
        for status, is_success in ((0, True), (1, True), (2, False), (3, False)):
            found = _values(_written(7, status=status))['last_success_timestamp_seconds', '']
            self.assertEqual(is_success, found > time.time() - 60)
            self.assertEqual(not is_success, found == 7)

    def test_any_name_of_a_cell(self) -> None:
        for name in (None, 'a"b\\c\nd', '\x1b[31m', '\ud800', 'Zürich 1'):
            [*samples] = [
                sample
                for family in parser.text_string_to_metric_families(_written(name=name).decode())
                for sample in family.samples
                if sample.labels.get('cell_uuid') == _UUID
            ]
            self.assertLess(10, len(samples))
            self.assertEqual(1, len({sample.labels['cell_name'] for sample in samples}))


class LastSuccess(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'audit.prom'

    def test_it_is_as_it_was_written(self) -> None:
        for success in (1796074526.3673089, 7.0):
            self.path.write_bytes(_written(success, status=2))
            self.assertEqual(success, audit_metrics.last_success(str(self.path)))

    def test_a_file_that_is_none_of_ours(self) -> None:
        self.assertEqual(0, audit_metrics.last_success(str(self.path)))
        for content in (
            b'',
            b'\xff\xfe',
            b'nova_cellmap_audit_last_success_timestamp_seconds x\n',
            b'nova_cellmap_audit_last_success_timestamp_seconds 1.2.3\n',
        ):
            self.path.write_bytes(content)
            self.assertEqual(0, audit_metrics.last_success(str(self.path)))
