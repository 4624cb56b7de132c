# SPDX-License-Identifier: Apache-2.0
"""The fixtures that consumers use."""

import os
import pathlib
import subprocess
import sys

from nova_cellmap import context
from nova_cellmap import exception
from nova_cellmap import fixtures
from nova_cellmap import objects
from nova_cellmap.objects import base
from nova_cellmap.tests import base as tests_base
from nova_cellmap.upkeep import mapping


class Fixtures(tests_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.Database())
        self.context = context.RequestContext(
            user_id='user', project_id='project', overwrite=False
        )

    def test_a_database_is_empty_each_time(self) -> None:
        self.make_cell()
        self.useFixture(fixtures.Database())
        self.assertEqual(0, len(objects.CellMappingList.get_all(self.context)))

    def test_cells_can_be_mapped_and_added_to(self) -> None:
        cells = self.useFixture(fixtures.Cells(2, instances=30, deleted=0.5))
        uuid = cells.add(cells.cells[1], project_id='mine')
        for cell in cells.cells:
            self.assertTrue(mapping.map_instances(self.context, cell).done)
        self.assertEqual(91, len(objects.InstanceMappingList.get_all(self.context)))
        [found] = objects.InstanceMappingList.get_by_project_id(self.context, 'mine')
        self.assertEqual((uuid, 'cell1'), (found.instance_uuid, found.cell_mapping.name))
        self.assertTrue(cells.cells[0].is_cell0())

    def test_through_the_conductor_all_is_serialized(self) -> None:
        self.useFixture(fixtures.Conductor(3, 'full', cells_writable=True))
        cell = self.make_cell()
        instance = objects.InstanceMapping(
            self.context,
            instance_uuid='74f0b3a6-c576-4930-a749-35624f38b6bc',
            project_id='project',
            cell_mapping=cell,
        )
        instance.create()
        self.assertIsNotNone(instance.created_at)
        self.assertEqual(cell.uuid, instance.cell_mapping.uuid)
        self.assertRaises(
            exception.InstanceMappingNotFound,
            objects.InstanceMapping.get_by_instance_uuid,
            self.context,
            'nobody',
        )

    def test_through_the_conductor_lists_come_in_pages(self) -> None:
        self.useFixture(fixtures.Conductor(3, 'full', cells_writable=True))
        uuids = [self.make_cell().uuid for _ in range(8)]
        self.assertEqual(
            uuids, [cell.uuid for cell in objects.CellMappingList.get_all(self.context)]
        )

    def test_through_the_conductor_cells_are_as_its_options_say(self) -> None:
        [cell, _] = self.useFixture(fixtures.Cells(1)).cells
        self.useFixture(fixtures.Conductor())
        found = objects.CellMapping.get_by_uuid(self.context, cell.uuid)
        self.assertEqual('cell0', found.name)
        self.assertRaises(exception.CellFieldKeptBack, getattr, found, 'transport_url')
        self.assertRaises(exception.RemoteCallRefused, found.destroy)
        # Cells that the fixture makes are there all the same.
        self.useFixture(fixtures.Database())
        self.useFixture(fixtures.Cells(1))

    def test_the_way_to_the_database_is_back_afterwards(self) -> None:
        conductor = fixtures.Conductor()
        with conductor:
            self.assertIsNotNone(base.CellMapObject.indirection_api)
        self.assertIsNone(base.CellMapObject.indirection_api)

    def make_cell(self) -> objects.CellMapping:
        cell = objects.CellMapping(
            self.context, transport_url='none:///', database_connection='none:///'
        )
        cell.create()
        return cell


_DOCUMENTED = pathlib.Path(__file__).parents[3] / 'doc/source/user/test_where_is.py'
# Of a package that has been installed without its own tests.
_WITHOUT_OUR_TESTS = """
import sys
sys.modules['nova_cellmap.tests'] = None
import runpy
sys.argv = ['python -m testtools.run', 'test_where_is']
runpy.run_module('testtools.run', run_name='__main__')
"""


class InstalledAlone(tests_base.TestCase):
    def test_a_program_tests_itself_without_our_tests(self) -> None:
        run = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', _WITHOUT_OUR_TESTS],
            cwd=_DOCUMENTED.parent,
            env={**os.environ, 'PYTHONPATH': str(_DOCUMENTED.parents[3])},
            capture_output=True,
            text=True,
        )
        self.assertEqual(0, run.returncode, run.stderr + run.stdout)
        self.assertIn('Ran 3 tests', run.stderr + run.stdout)
