# SPDX-License-Identifier: Apache-2.0
"""The playbook of the guide, run by Ansible itself."""

import json
import os
import pathlib
import re
import subprocess
import sys
from typing import Any

from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests.functional.cli import base

_ROOT = pathlib.Path(__file__).parents[3]
_PLAYBOOK = _ROOT / 'doc' / 'source' / 'admin' / 'ansible' / 'cells.yml'
# A line of what is played, and how many of its tasks have changed something.
_CHANGED = re.compile(r'^localhost +: .*\bchanged=(\d+) .*\bfailed=0 ', re.M)


class Playbook(base.TestCase):
    schema = 'nova'

    def setUp(self) -> None:
        super().setUp()
        self.files = {
            name: self.file(name, url)
            for name, url in (
                ('cell0-database', 'mysql+pymysql://nova:sekret@db/nova_cell0'),
                ('cell1-database', self.cell.database_connection),
                ('cell1-queue', 'rabbit://nova:sekret@mq:5672/cell1'),
                ('cell2-database', 'mysql+pymysql://nova:sekret@db2/nova_cell2'),
                ('cell2-queue', 'rabbit://nova:sekret@mq:5672/cell2'),
            )
        }

    def file(self, name: str, url: str) -> str:
        path = self.folder / name
        path.write_text(f'{url}\n')
        return str(path)

    def play(self, *options: str) -> int:
        """Play it; how many of its tasks changed something, or would have."""
        of_cells = [
            {
                'name': name,
                'database': self.files[f'{name}-database'],
                'queue': self.files[f'{name}-queue'],
                'disabled': name == 'cell2',
            }
            for name in ('cell1', 'cell2')
        ]
        variables = {
            'ansible_python_interpreter': sys.executable,
            'cellmap': base.process(['--config-file', str(self.config_file)]),
            'cell0_database': self.files['cell0-database'],
            'cells': of_cells,
        }
        done = subprocess.run(
            [
                *(sys.executable, '-m', 'ansible', 'playbook', '--connection', 'local'),
                *('--inventory', 'localhost,', '--extra-vars', json.dumps(variables)),
                *('-vv', *options, str(_PLAYBOOK)),
            ],
            capture_output=True,
            text=True,
            env={
                **os.environ,
                'ANSIBLE_HOME': str(self.folder / 'ansible'),
                'ANSIBLE_NOCOLOR': '1',
                'LC_ALL': 'C.UTF-8',
                'PYTHONPATH': os.pathsep.join(filter(None, sys.path)),
            },
            timeout=300,
        )
        printed = done.stdout + done.stderr
        self.assertNotIn('sekret', printed)
        recap = _CHANGED.search(printed)
        self.assertIsNotNone(recap, printed)
        return int(recap[1]) if recap else -1

    def stored(self) -> list[Any]:
        return [
            (cell.name, cell.database_connection, cell.transport_url, cell.disabled)
            for cell in CellMappingList.get_all(self.context)
        ]

    def test_it_changes_what_differs_and_then_nothing(self) -> None:
        before = self.stored()
        self.assertEqual(2, self.play('--check'))
        self.assertEqual(before, self.stored())

        self.assertEqual(2, self.play())
        made = self.stored()
        self.assertEqual({'cell0': False, 'cell1': False, 'cell2': True}, states(made))
        cell1 = CellMapping.get_by_uuid(self.context, self.cell.uuid)
        self.assertEqual('rabbit://nova:sekret@mq:5672/cell1', cell1.transport_url)

        self.assertEqual(0, self.play())
        self.assertEqual(made, self.stored())

        self.file('cell2-queue', 'rabbit://nova:sekret2@mq:5672/cell2')
        self.assertEqual(1, self.play('--check'))
        self.assertEqual(made, self.stored())


def states(stored: list[Any]) -> dict[str, bool]:
    return {name: disabled for name, _, _, disabled in stored}
