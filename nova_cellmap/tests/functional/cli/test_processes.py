# SPDX-License-Identifier: Apache-2.0
"""map_instances and import_nova in processes: several at once, and killed at any moment."""

from collections.abc import Callable
from multiprocessing import context
import random
import time
from typing import Any

import sqlalchemy as sa

from nova_cellmap import nova_cell
from nova_cellmap.db import api
from nova_cellmap.db import engine as db_engine
from nova_cellmap.db.schemas import own
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests import nova_api
from nova_cellmap.tests.functional import base as functional_base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.cli import base
from nova_cellmap.tests.functional.cli import processes

_COUNT = 500
_KILLS = 5


class _Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.output = self.folder / 'output'

    def run_aside(self, *command: str) -> context.ForkServerProcess:
        """Start a command, in batches of one row."""
        argv = ['--config-file', str(self.config_file), 'cell_v2', *command, '--batch-size', '1']
        process = processes.start(argv, self.output)
        self.addCleanup(process.join)
        self.addCleanup(process.kill)
        return process

    def assert_all_succeed(self, *processes: context.ForkServerProcess) -> None:
        for process in processes:
            process.join(120)
            self.assertEqual(0, process.exitcode, self.output.read_text())

    def kill_once_behind(
        self, id_: int, process: context.ForkServerProcess, last_id: Callable[[], int]
    ) -> None:
        """Kill a run soon after it has come to that row."""
        while last_id() < id_:
            self.assertTrue(process.is_alive(), 'it came to its end before')
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.02))
        process.kill()
        process.join()

    def settled(self, last_id: Callable[[], int]) -> tuple[int, dict[str, str | None]]:
        """How far a run that was killed has come, and what is mapped, at one time.

        A server may still make the commit that it was sent just before.
        """
        while True:
            come_to = last_id()
            time.sleep(0.1)
            mapped = self.mapped()
            if come_to == last_id():
                return come_to, mapped


@functional_base.on_each_database
class MapInstances(_Case):
    def setUp(self) -> None:
        super().setUp()
        nova_cell.fill(self.nova, _COUNT, hidden=0.05)
        self.instances = cells_base.instances_in(self.nova)

    def map(self, cell: CellMapping) -> context.ForkServerProcess:
        return self.run_aside('map_instances', '--cell', cell.uuid)

    def test_killed_at_any_moment_nothing_is_lost_or_done_twice(self) -> None:
        ids = list(self.instances.values())
        for number in range(1, _KILLS + 1):
            id_ = ids[len(ids) * number // (_KILLS + 2)]
            self.kill_once_behind(id_, self.map(self.cell), self.last_id)
            last_id, mapped = self.settled(self.last_id)
            behind = {uuid for uuid, id_ in self.instances.items() if id_ <= last_id}
            self.assertEqual(dict.fromkeys(behind, self.cell.uuid), mapped)
        outcome = self.assert_succeeds('cell_v2', 'map_instances', '--cell', 'cell1', '-f', 'json')
        self.assertEqual(len(self.instances) - len(behind), outcome.json['created'])
        self.assertEqual(0, outcome.json['existing'])
        self.assertEqual(dict.fromkeys(self.instances, self.cell.uuid), self.mapped())
        self.assertIsNone(self.progress())

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


@functional_base.on_each_database
class ImportNova(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.api = self.new_nova_api()
        self.cells: dict[int | None, str | None] = {None: None}
        for name in ('a', 'b'):
            uuid = functional_base.new_uuid()
            self.cells[nova_api.add_cell(self.api, uuid=uuid, name=name)] = uuid
        nova_api.fill(self.api, _COUNT, cells=self.cells)
        with self.api.connect() as connection:
            table = nova_api.instance_mappings
            self.rows = connection.execute(table.select().order_by(table.c.id)).all()

    def import_(self) -> context.ForkServerProcess:
        return self.run_aside('import_nova', '--connection', cells_base.url_of(self.api))

    def expected(self, last_id: int | None = None) -> dict[str, str | None]:
        """The cell of each instance, up to a row of Nova's."""
        return {
            row.instance_uuid: self.cells[row.cell_id]
            for row in self.rows
            if last_id is None or row.id <= last_id
        }

    def last_id(self) -> int:
        # A transaction that could write would wait for the run's own, again and again.
        with db_engine.of().reader.connect() as connection:
            return connection.scalar(sa.select(own.import_progress.c.last_mapping_id)) or 0

    def test_killed_at_any_moment_nothing_is_lost_or_done_twice(self) -> None:
        for number in range(1, _KILLS + 1):
            id_ = self.rows[_COUNT * number // (_KILLS + 2)].id
            self.kill_once_behind(id_, self.import_(), self.last_id)
            last_id, mapped = self.settled(self.last_id)
            behind = self.expected(last_id)
            self.assertEqual(behind, mapped)
        outcome = self.succeed()
        counts = (_COUNT - len(behind), 0, 0)
        names = ('created', 'existing', 'conflicts')
        self.assertEqual(counts, tuple(outcome[name] for name in names))
        self.assertEqual(self.expected(), self.mapped())
        self.assertEqual(0, self.last_id())

    def succeed(self) -> Any:
        url = cells_base.url_of(self.api)
        command = ('cell_v2', 'import_nova', '--connection', url, '-f', 'json')
        return self.assert_succeeds(*command).json

    def test_killed_before_its_cells_are_there(self) -> None:
        process = self.import_()
        time.sleep(random.uniform(0, 0.1))
        process.kill()
        process.join()
        self.assertIn(len(CellMappingList.get_all(self.context)), (1, 3))
        self.succeed()
        self.assertEqual(self.expected(), self.mapped())

    def test_three_runs_at_once(self) -> None:
        self.assert_all_succeed(self.import_(), self.import_(), self.import_())
        self.assertEqual(self.expected(), self.mapped())
        self.assertEqual(0, self.last_id())
