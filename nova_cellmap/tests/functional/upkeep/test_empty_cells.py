# SPDX-License-Identifier: Apache-2.0
"""Cells whose databases have no instances at all while mappings say otherwise."""

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import empty_cells
from nova_cellmap.upkeep.streams import CellReader


@base.on_each_database
class Empty(cells_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(empty_cells, 'FEW', 2)

    def check(self) -> None:
        readers = [CellReader(cell) for cell in CellMappingList.get_all(self.context)]
        try:
            empty_cells.check(self.context, readers)
        finally:
            for reader in readers:
                reader.close()

    def map(self, count: int, **values: bool) -> None:
        for _ in range(count):
            self.make_mapping(cell_uuid=self.cell.uuid, **values)

    def test_a_few_mappings_to_an_empty_cell_are_no_matter(self) -> None:
        self.map(2)
        self.map(3, queued_for_delete=True)
        self.check()

    def test_more_are_refused_and_the_cell_is_named(self) -> None:
        self.map(3)
        error = self.assertRaises(exception.PurgeRefused, self.check)
        self.assertIn('cell1', str(error))

    def test_a_cell_with_the_row_of_a_deleted_instance_is_not_empty(self) -> None:
        self.map(3)
        nova_cell.add(self.nova, deleted=7)
        self.check()

    def test_what_another_cell_has_is_no_matter(self) -> None:
        self.map(3)
        nova_cell.add(self.new_cell('cell2')[1])
        self.assertRaises(exception.PurgeRefused, self.check)

    def test_a_cell_that_cannot_be_read_is_no_matter(self) -> None:
        lost = self.make_cell(name='lost', database_connection='sqlite:////nosuch/x.sqlite')
        for _ in range(3):
            self.make_mapping(cell_uuid=lost.uuid)
        self.check()

    def test_whether_there_are_more_than_so_many(self) -> None:
        self.map(2)
        self.map(1, queued_for_delete=True)
        self.make_mapping()
        found = [
            empty_cells.has_more_mappings(self.context, self.cell, than) for than in (0, 1, 2, 3)
        ]
        self.assertEqual([True, True, False, False], found)
