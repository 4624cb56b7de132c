# SPDX-License-Identifier: Apache-2.0
"""The units for systemd keep from the services what they do not need."""

import pathlib
import re
import shutil
import subprocess

from nova_cellmap.tests import base

_UNITS = sorted((pathlib.Path(__file__).parents[3] / 'etc' / 'systemd').glob('*.service'))
# From 0, safe, to 10, as `systemd-analyze security` counts.
_MOST_EXPOSED = 2.0
_NEEDED = (
    'CapabilityBoundingSet=',
    'NoNewPrivileges=yes',
    'ProtectSystem=strict',
    'ProtectHome=yes',
    'PrivateTmp=yes',
    'SystemCallFilter=@system-service',
    'UMask=0077',
    'User=nova-cellmap',
)


class Units(base.TestCase):
    def test_each_names_what_it_does_without(self) -> None:
        self.assertEqual(2, len(_UNITS))
        for unit in _UNITS:
            lines = unit.read_text().splitlines()
            self.assertEqual([], [line for line in _NEEDED if line not in lines], unit.name)

    def test_systemd_takes_them_for_little_exposed(self) -> None:
        if shutil.which('systemd-analyze') is None:
            # The test above needs nobody's help.
            return
        for unit in _UNITS:
            done = subprocess.run(
                ['systemd-analyze', 'security', '--offline=true', '--no-pager', str(unit)],
                capture_output=True,
                text=True,
            )
            level = re.search(r'exposure level for \S+: ([0-9.]+)', done.stdout)
            assert level, done.stdout + done.stderr
            self.assertLessEqual(float(level[1]), _MOST_EXPOSED, unit.name)
