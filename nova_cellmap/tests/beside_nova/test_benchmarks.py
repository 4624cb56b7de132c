# SPDX-License-Identifier: Apache-2.0
"""The benchmarks come to their end, few and short; how fast anything is they do not tell here."""

import json
from pathlib import Path
import subprocess
import sys
from typing import Any

import fixtures

from nova_cellmap.tests import base

_ROOT = Path(__file__).parents[3]


class Benchmarks(base.TestCase):
    def test_objects(self) -> None:
        report = self.run_benchmark('objects', '--rounds', '1', '--objects', '100')
        self.assertIn('from rows', report['ratios'])

    def test_startup(self) -> None:
        self.run_benchmark('startup', '--rounds', '1', '--nova-env', sys.prefix)

    def test_paths(self) -> None:
        """Each of them on one database, beside Nova and the driver."""
        few = ('--mappings', '6000', '--bulk', '100', '--rounds', '1', '--seconds', '0.001')
        self.run_benchmark('paths', '--only', 'sqlite', *few, '--nova-env', sys.prefix)

    def run_benchmark(self, name: str, *options: str) -> Any:
        """Run it as its users do; answer what it writes."""
        report = Path(self.useFixture(fixtures.TempDir()).path, 'report.json')
        done = subprocess.run(
            [sys.executable, '-m', 'benchmarks', name, '--json', report, *options],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )
        self.assertEqual(0, done.returncode, done.stderr)
        return json.loads(report.read_text())
