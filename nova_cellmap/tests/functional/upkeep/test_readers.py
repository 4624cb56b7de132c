# SPDX-License-Identifier: Apache-2.0
"""The readers of all cells."""

from nova_cellmap import nova_cell
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep.readers import Readers


@base.on_each_database
class Cells(cells_base.TestCase):
    def test_each_cell_is_asked_and_says_the_time(self) -> None:
        uuid = nova_cell.add(self.nova)
        with Readers(self.context, CellMappingList.get_all(self.context)) as readers:
            [(cell_uuid, (found, now))] = readers.rows_of([uuid])
        self.assertEqual((self.cell.uuid, [uuid]), (cell_uuid, [row.uuid for row in found]))
        self.assertIsNotNone(now)

    def test_one_that_cannot_be_read_is_asked_no_more(self) -> None:
        none = self.make_cell(name='none')
        with Readers(self.context, CellMappingList.get_all(self.context)) as readers:
            for _ in range(2):
                self.assertEqual([self.cell.uuid], [uuid for uuid, _ in readers.rows_of([])])
            self.assertEqual([none.uuid], list(readers.errors))

    def test_one_that_comes_later(self) -> None:
        with Readers(self.context, CellMappingList.get_all(self.context)) as readers:
            cell, _ = self.new_cell('cell2')
            self.assertEqual(cell.uuid, readers.identity(cell.uuid))
            readers.look_again()
            self.assertIn('cell2', readers.identity(cell.uuid))
            self.assertEqual(2, len(readers.all()))
