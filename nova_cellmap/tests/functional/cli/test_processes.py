# SPDX-License-Identifier: Apache-2.0
"""map_instances in processes: several at once, and killed at any moment."""

import multiprocessing
from multiprocessing import context
import os
import pathlib
import random
import sys
import time

from nova_cellmap.cli import manage
from nova_cellmap.db import api
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests import nova_cell
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.cli import base

_COUNT = 500
_KILLS = 5

# Processes that share nothing with this one, and do not import everything each time anew.
_processes = multiprocessing.get_context('forkserver')
_processes.set_forkserver_preload(
    [
        'nova_cellmap.cells.mapping',
        'nova_cellmap.cells.registration',
        'nova_cellmap.cli.instance',
        'psycopg2',
        'pymysql',
        __name__,
    ]
)


def _manage(argv: list[str], output: pathlib.Path) -> None:
    """The program, in a process of its own."""
    with output.open('w') as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.exit(manage.main(argv))


@functional_base.on_each_database
class MapInstances(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        nova_cell.fill(self.nova, _COUNT, hidden=0.05)
        self.instances = cells_base.instances_in(self.nova)
        self.output = self.folder / 'output'

    def map(self, cell: CellMapping) -> context.ForkServerProcess:
        argv = ['--config-file', str(self.config_file), 'cell_v2', 'map_instances']
        argv += ['--cell', cell.uuid, '--batch-size', '1']
        process = _processes.Process(target=_manage, args=(argv, self.output))
        process.start()
        self.addCleanup(process.join)
        self.addCleanup(process.kill)
        return process

    def assert_all_succeed(self, *processes: context.ForkServerProcess) -> None:
        for process in processes:
            process.join(120)
            self.assertEqual(0, process.exitcode, self.output.read_text())

    def test_killed_at_any_moment_nothing_is_lost_or_done_twice(self) -> None:
        ids = list(self.instances.values())
        for number in range(1, _KILLS + 1):
            self.kill_once_behind(ids[len(ids) * number // (_KILLS + 2)])
            last_id = self.progress().last_instance_id
            behind = {uuid for uuid, id_ in self.instances.items() if id_ <= last_id}
            self.assertEqual(dict.fromkeys(behind, self.cell.uuid), self.mapped())
        outcome = self.assert_succeeds('cell_v2', 'map_instances', '--cell', 'cell1', '-f', 'json')
        self.assertEqual(len(self.instances) - len(behind), outcome.json['created'])
        self.assertEqual(0, outcome.json['existing'])
        self.assertEqual(dict.fromkeys(self.instances, self.cell.uuid), self.mapped())
        self.assertIsNone(self.progress())

    def kill_once_behind(self, id_: int) -> None:
        """Kill a run soon after it has come to that instance."""
        process = self.map(self.cell)
        while self.last_id() < id_:
            self.assertTrue(process.is_alive(), 'it came to its end before')
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.02))
        process.kill()
        process.join()

    def last_id(self) -> int:
        progress = api.map_progress_get(self.context, self.cell.uuid)
        return progress['last_instance_id'] if progress else 0

    def test_two_runs_at_once_on_one_cell(self) -> None:
        self.assert_all_succeed(self.map(self.cell), self.map(self.cell))
        self.assertEqual(dict.fromkeys(self.instances, self.cell.uuid), self.mapped())
        self.assertIsNone(self.progress())

    def test_four_runs_at_once_on_two_cells(self) -> None:
        other, nova = self.new_cell('other')
        nova_cell.fill(nova, _COUNT, seed=1)
        expected = dict.fromkeys(self.instances, self.cell.uuid)
        expected |= dict.fromkeys(cells_base.instances_in(nova), other.uuid)
        cells = (self.cell, other, self.cell, other)
        self.assert_all_succeed(*[self.map(cell) for cell in cells])
        self.assertEqual(expected, self.mapped())
