# SPDX-License-Identifier: Apache-2.0
"""How many mappings the cells and the projects of a cloud have."""

from nova_cellmap.tests.functional import base
from nova_cellmap.upkeep import counts


@base.on_both_schemas
class Counts(base.TestCase):
    def test_each_mapping_is_counted_once(self) -> None:
        cells = [self.make_cell().uuid, self.make_cell().uuid, None]
        for number in range(60):
            self.make_mapping(cell_uuid=cells[number % 3], project_id=f'p{number % 7}')
        counted = counts.count(self.context)
        self.assertEqual([20, 20, 20], [cell.mappings for cell in counted.cells])
        self.assertEqual([7, 7, 7], [cell.projects for cell in counted.cells])
        self.assertEqual([9] * 4 + [8] * 3, [project.mappings for project in counted.projects])
        for project in counted.projects:
            self.assertEqual(project.mappings, sum(project.by_cell.values()))
            self.assertEqual(2, project.cells)

    def test_cells_without_mappings_are_counted_too_and_called_by_what_is_known(self) -> None:
        named, unnamed = self.make_cell(name='one'), self.make_cell()
        self.make_mapping(cell_uuid=unnamed.uuid)
        found = counts.count(self.context).cells
        labels = [(cell.label, cell.mappings, cell.projects) for cell in found]
        self.assertEqual((unnamed.uuid, 1, 1), labels[0])
        self.assertEqual([('no cell', 0, 0), (named.name, 0, 0)], labels[1:])

    def test_what_is_queued_for_delete_is_not_live(self) -> None:
        cell = self.make_cell().uuid
        for queued in (True, False, False):
            self.make_mapping(cell_uuid=cell, queued_for_delete=queued)
        [project] = counts.count(self.context).projects
        self.assertEqual((3, 1, 2), (project.mappings, project.queued_for_delete, project.live))
        self.assertEqual({cell: 3}, project.by_cell)
