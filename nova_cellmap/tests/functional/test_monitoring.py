# SPDX-License-Identifier: Apache-2.0
"""What is shipped for Prometheus and Grafana fits what the programs tell them."""

import json
import pathlib
import re
from typing import Any

import fixtures
import yaml

import nova_cellmap
from nova_cellmap.cli import audit_metrics
from nova_cellmap.conductor import board
from nova_cellmap.conductor import metrics
from nova_cellmap.conductor.health import Finding
from nova_cellmap.conductor.health import Health
from nova_cellmap.conductor.health import Status
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests import base
from nova_cellmap.tests import promtool
from nova_cellmap.upkeep.cell_report import CellReport

_ROOT = pathlib.Path(nova_cellmap.__file__).parents[1]
_RULES = _ROOT / 'etc/prometheus/nova-cellmap.rules.yml'
_DASHBOARD = _ROOT / 'etc/grafana/nova-cellmap.json'
_GUIDE = _ROOT / 'doc/source/admin/monitoring.rst'

_UUID = '5f0f0f0e-0d0c-4b0a-8908-070605040302'
_CELL = {
    'cell_uuid': _UUID,
    'cell_name': 'cell1',
    'instances': 5,
    'mappings': 5,
    'in_flight': 0,
    'error': None,
}
_SUMMARY = {
    'status': 0,
    'instances': 5,
    'seconds': 1,
    'cells': [_CELL],
    'other_cells_not_read': {},
}

# What Prometheus itself tells of a conductor that it asks, under the job's name in the guide.
_UP = 'up{job="nova-cellmap-conductor"}'

# Series with their values, a minute or an hour apart, as the time is given at which it is looked;
# the alert that is looked for, and how many there are.
_CASES: list[tuple[dict[str, str], str, str, int]] = [
    ({'audit_last_success_timestamp_seconds': '0x50'}, '47h', 'AuditOverdue', 0),
    ({'audit_last_success_timestamp_seconds': '0x50'}, '49h', 'AuditOverdue', 1),
    ({'audit_refused': '0 1'}, '1m', 'AuditRefused', 1),
    (
        {'audit_cell_up{cell_name="a"}': '1', 'audit_cell_up{cell_name="b"}': '0'},
        '0m',
        'CellNotRead',
        1,
    ),
    ({'audit_problems_left{kind="orphaned"}': '1x50'}, '35h', 'ProblemsLeft', 0),
    ({'audit_problems_left{kind="orphaned"}': '1x50'}, '37h', 'ProblemsLeft', 1),
    ({'audit_problems_found': '101', 'audit_mappings': '200000'}, '0m', 'ManyProblemsFound', 0),
    ({'audit_problems_found': '201', 'audit_mappings': '200000'}, '0m', 'ManyProblemsFound', 1),
    ({_UP: '0x9'}, '3m', 'ConductorDown', 1),
    ({_UP: '1x9'}, '3m', 'ConductorDown', 0),
    ({'conductor_check{check="queue",status="fail"}': '1x9'}, '2m', 'ConductorFails', 1),
    ({'conductor_check{check="queue",status="fail"}': '0x9'}, '2m', 'ConductorFails', 0),
    ({'conductor_check{check="queue",status="warn"}': '1x99'}, '11m', 'ConductorWarns', 1),
    ({'conductor_worker_starts_total{worker="0"}': '1x20'}, '15m', 'ConductorWorkersDie', 0),
    ({'conductor_worker_starts_total{worker="0"}': '1+1x20'}, '15m', 'ConductorWorkersDie', 1),
    ({'conductor_threads_busy': '64x9', 'conductor_threads': '64x9'}, '6m', 'ConductorBusy', 1),
    ({'conductor_threads_busy': '63x9', 'conductor_threads': '64x9'}, '6m', 'ConductorBusy', 0),
    ({'conductor_threads_busy': '0x9', 'conductor_threads': '0x9'}, '6m', 'ConductorBusy', 0),
    ({'conductor_errors_total{exception="DatabaseBusy"}': '0+5x20'}, '12m', 'ConductorErrors', 1),
    ({'conductor_errors_total{exception="NotFound"}': '0+5x20'}, '12m', 'ConductorErrors', 0),
    (
        {
            'conductor_call_duration_seconds_bucket{le="1.0"}': '0+50x30',
            'conductor_call_duration_seconds_bucket{le="2.5"}': '0+60x30',
            'conductor_call_duration_seconds_bucket{le="+Inf"}': '0+60x30',
        },
        '20m',
        'ConductorSlow',
        1,
    ),
]

_FIRING = 'count(ALERTS{alertname="NovaCellmap%s",alertstate="firing"}) or vector(0)'


def _audit_exposition() -> bytes:
    reports = {_UUID: CellReport(CellMapping(uuid=_UUID, name='cell1'))}
    return audit_metrics.exposition(_SUMMARY, reports, 0)


def _exposition() -> bytes:
    health = Health({'database': lambda: Finding(Status.PASS)})
    return metrics.Metrics(board.Board(2), health).exposition() + _audit_exposition()


def _rules() -> list[dict[str, Any]]:
    return [
        rule for group in yaml.safe_load(_RULES.read_text())['groups'] for rule in group['rules']
    ]


def _expressions() -> list[str]:
    """Those of the dashboard."""
    panels = json.loads(_DASHBOARD.read_text())['panels']
    return [target['expr'] for panel in panels for target in panel.get('targets', ())]


def _tests_of_rules(interval: str) -> dict[str, Any]:
    """Those of the cases that are looked at after some minutes (``1m``) or hours (``1h``)."""
    return {
        'rule_files': [str(_RULES)],
        'evaluation_interval': interval,
        'tests': [
            {
                'interval': interval,
                'input_series': [
                    {'series': name if name == _UP else f'nova_cellmap_{name}', 'values': values}
                    for name, values in series.items()
                ],
                'promql_expr_test': [
                    {
                        'expr': _FIRING % alert,
                        'eval_time': at,
                        'exp_samples': [{'labels': '{}', 'value': number}],
                    }
                ],
            }
            for series, at, alert, number in _CASES
            if at[-1] == interval[-1]
        ],
    }


class Names(base.TestCase):
    def test_nothing_is_asked_for_that_is_not_told(self) -> None:
        told = set(re.findall(r'^(nova_cellmap_\w+)', _exposition().decode(), re.MULTILINE))
        asked = [*(rule['expr'] for rule in _rules()), *_expressions()]
        self.assertLess(20, len(asked))
        for expression in asked:
            names = set(re.findall(r'\bnova_cellmap_\w+', expression))
            self.assertTrue(names or _UP in expression, expression)
            self.assertEqual(set(), names - told, expression)
        self.assertIn('job_name: nova-cellmap-conductor\n', _GUIDE.read_text())

    def test_each_alert_is_explained_and_tested(self) -> None:
        names = {rule['alert'] for rule in _rules()}
        guide = _GUIDE.read_text()
        for name in names:
            self.assertIn(f'``{name}``', guide)
        fired = {f'NovaCellmap{alert}' for _, _, alert, number in _CASES if number}
        self.assertEqual(names, fired)

    def test_each_metric_is_explained(self) -> None:
        guide = _GUIDE.read_text()
        for name in re.findall(r'^# TYPE (\w+)', _exposition().decode(), re.MULTILINE):
            self.assertIn(name, guide)

    def test_no_panel_covers_another(self) -> None:
        panels = json.loads(_DASHBOARD.read_text())['panels']
        places = [
            (x, y)
            for place in (panel['gridPos'] for panel in panels)
            for x in range(place['x'], place['x'] + place['w'])
            for y in range(place['y'], place['y'] + place['h'])
        ]
        self.assertEqual(len(places), len(set(places)))
        self.assertEqual(len(panels), len({panel['id'] for panel in panels}))


class Promtool(base.TestCase):
    def test_metrics(self) -> None:
        self.assertEqual('', promtool.check_metrics(_exposition()))

    def test_rules(self) -> None:
        self.assertEqual('', promtool.check_rules(_RULES))

    def test_alerts_come_when_they_should(self) -> None:
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'tests.yml'
        for interval in ('1m', '1h'):
            path.write_text(yaml.safe_dump(_tests_of_rules(interval)))
            self.assertEqual('', promtool.run_tests_of_rules(path))

    def test_the_expressions_of_the_dashboard(self) -> None:
        # As rules: promtool parses those without a server.
        variables = {'$__range': '1h', '$__rate_interval': '5m', '$instance': '.*'}
        rules = []
        for number, expression in enumerate(_expressions()):
            for name, value in variables.items():
                expression = expression.replace(name, value)
            rules.append({'record': f'panel:{number}', 'expr': expression})
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'rules.yml'
        path.write_text(yaml.safe_dump({'groups': [{'name': 'dashboard', 'rules': rules}]}))
        self.assertEqual('', promtool.check_rules(path))
