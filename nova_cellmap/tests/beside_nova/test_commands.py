# SPDX-License-Identifier: Apache-2.0
"""Nova's own commands and ours, each in processes of its own, with one nova.conf."""

import atexit
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import Any

import fixtures as testing
import sqlalchemy as sa

from nova_cellmap import nova_cell
from nova_cellmap.tests import fixtures
from nova_cellmap.tests import nova_api
from nova_cellmap.tests.beside_nova import base
from nova_cellmap.tests.beside_nova import nova_manage

# The database of a cell, empty, as Nova makes it: for all tests of the process.
_made: list[pathlib.Path] = []


def _empty_cell() -> pathlib.Path:
    if not _made:
        folder = tempfile.TemporaryDirectory()
        atexit.register(folder.cleanup)
        nova_manage.sync_cell(f'sqlite:///{folder.name}/cell.sqlite')
        _made.append(pathlib.Path(folder.name, 'cell.sqlite'))
    return _made[0]


@base.on_each_database
class Commands(base.TestCase):
    """Two cells, whose databases Nova made."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(testing.TempDir()).path)
        self.config_file = nova_manage.write_config(self.folder, self.database.url)
        self.cells = [self.make_cell(name) for name in ('cell1', 'cell2')]

    def make_cell(self, name: str) -> sa.Engine:
        file = shutil.copy(_empty_cell(), self.folder / f'{name}.sqlite')
        engine = fixtures.engine(f'sqlite:///{file}')
        self.addCleanup(engine.dispose)
        return engine

    def recorded(self) -> list[tuple[int, str]]:
        """The id and the uuid of each cell, which is recorded now."""
        cells = []
        for cell in self.cells:
            uuid = base.new_uuid()
            url = str(cell.url)
            number = nova_api.add_cell(self.engine, uuid=uuid, database_connection=url)
            cells.append((number, uuid))
        return cells

    def run_nova(self, *arguments: str, status: int = 0) -> str:
        """Run a command of ``nova-manage cell_v2``; answer what it prints."""
        return self.checked(nova_manage.run(self.config_file, 'cell_v2', *arguments), status)

    def run_ours(self, *arguments: str, status: int = 0) -> str:
        """Run one of ``nova-cellmap-manage cell_v2``; answer what it prints."""
        command = [sys.executable, '-W', 'ignore', '-m', 'nova_cellmap.cli.manage']
        options = ['--config-file', str(self.config_file), 'cell_v2']
        done = subprocess.run(
            [*command, *options, *arguments], capture_output=True, text=True, timeout=240
        )
        return self.checked(done, status)

    def checked(self, done: 'subprocess.CompletedProcess[str]', status: int) -> str:
        self.assertEqual(status, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def rows(self, query: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(query))

    def test_list_cells(self) -> None:
        """Each records a cell, and lists both: Nova by name, we in the order of creation."""
        for number, run in enumerate((self.run_nova, self.run_ours)):
            urls = ('--database_connection', str(self.cells[number].url))
            queue = ('--transport-url', f'rabbit://u:p@mq{number}:5672/')
            run('create_cell', '--name', f'cell{number}', *urls, *queue)
        # Without --verbose it spoils URLs of SQLite; we never show a password.
        said = self.run_nova('list_cells', '--verbose').replace(':p@', ':***@')
        lines = said.splitlines()
        names, *novas = [
            [cell.strip() for cell in line.strip('|').split('|')]
            for line in lines
            if line.startswith('|')
        ]
        self.assertEqual('Name', names[0])
        ours = [
            [str(value) for value in row.values()]
            for row in json.loads(self.run_ours('list_cells', '-f', 'json'))
        ]
        self.assertEqual(novas, ours)
        self.assertEqual(['cell0', 'cell1'], [row[0] for row in ours])

    def test_map_instances(self) -> None:
        """One maps a part, the other the rest, and both know that all is done."""
        ways = ((self.run_nova, self.run_ours), (self.run_ours, self.run_nova))
        for number, (cell_id, uuid) in enumerate(self.recorded()):
            first, second = ways[number]
            nova_cell.fill(self.cells[number], 60, seed=number)
            command = ('map_instances', '--cell_uuid', uuid)
            first(*command, '--max-count', '20', status=1)
            self.assertEqual(20, len(self.mapped_to(cell_id)))
            second(*command)
            self.assertEqual(self.instances(number), self.mapped_to(cell_id))
            first(*command)
            self.assertEqual(self.instances(number), self.mapped_to(cell_id))
        markers = nova_api.instance_mappings.c.project_id == nova_api.MARKER
        self.assertEqual([], self.rows(sa.select(nova_api.instance_mappings).where(markers)))
        self.run_ours('audit', '--repair', '--min-age', '0')
        self.run_ours('audit', '--min-age', '0')

    def instances(self, number: int) -> set[tuple[str, ...]]:
        table = nova_cell.instances
        with self.cells[number].connect() as connection:
            query = sa.select(table.c.uuid, table.c.project_id, table.c.user_id)
            return {tuple(row) for row in connection.execute(query.where(table.c.hidden == 0))}

    def mapped_to(self, cell_id: int) -> set[tuple[str, ...]]:
        table = nova_api.instance_mappings
        query = sa.select(table.c.instance_uuid, table.c.project_id, table.c.user_id)
        return {tuple(row) for row in self.rows(query.where(table.c.cell_id == cell_id))}

    def test_verify_instance(self) -> None:
        """Both have the same verdicts: nova-manage documents 0 to 4."""
        [cell, _] = self.cells
        [(cell_id, _), _] = self.recorded()
        uuids = [base.new_uuid() for _ in range(5)]
        for status, uuid in enumerate(uuids):
            if status in (0, 3):
                nova_cell.add(cell, uuid=uuid, deleted=status)
            if status != 1:
                nova_api.add(
                    self.engine, instance_uuid=uuid, cell_id=None if status == 2 else cell_id
                )
        for status, uuid in enumerate(uuids):
            for run in (self.run_nova, self.run_ours):
                run('verify_instance', '--uuid', uuid, status=status)
