# SPDX-License-Identifier: Apache-2.0
"""Resume points: each is noted with the batch that it is of, or not at all."""

from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.db import case


@base.on_both_schemas
class ResumePoints(case.Case):
    def test_a_batch_and_its_resume_point_are_one(self) -> None:
        cell = self.cell()
        rows = [self.values(), self.values()]
        broken = [*rows, self.values(project_id='\ud800')]
        self.assertRaises(exception.InvalidInput, self.map_batch, cell, broken, last_instance_id=3)
        self.assertIsNone(api.map_progress_get(self.context, cell))
        self.map_batch(cell, rows, last_instance_id=2)
        self.map_batch(cell, [self.values()], last_instance_id=9, unmappable=4)
        self.assertEqual(
            {'last_instance_id': 9, 'conflicts': 4}, api.map_progress_get(self.context, cell)
        )
        api.map_progress_clear(self.context, cell)
        self.assertIsNone(api.map_progress_get(self.context, cell))
        self.assertEqual(3, len(self.all(cell_uuid=cell)))

    def test_an_imported_batch_and_its_resume_point_are_one(self) -> None:
        cell = self.cell()
        rows = [self.values(cell_uuid=cell), self.values()]
        broken = [*rows, self.values(project_id='\ud800')]
        self.assertRaises(exception.InvalidInput, self.import_batch, broken, last_mapping_id=3)
        self.assertIsNone(api.import_progress_get(self.context, 's'))
        self.import_batch(rows, last_mapping_id=2)
        self.import_batch([self.values()], last_mapping_id=9, unmappable=4)
        self.assertEqual(
            {'last_mapping_id': 9, 'conflicts': 4}, api.import_progress_get(self.context, 's')
        )
        self.assertIsNone(api.import_progress_get(self.context, 'other'))
        api.import_progress_clear(self.context, 'other')
        self.assertIsNotNone(api.import_progress_get(self.context, 's'))
        api.import_progress_clear(self.context, 's')
        self.assertIsNone(api.import_progress_get(self.context, 's'))
        self.assertEqual(3, len(self.all()))

    def test_removing_a_cell_removes_its_resume_point(self) -> None:
        cell = self.cell()
        api.instance_mapping_map_batch(self.context, cell, [], last_instance_id=7)
        api.cell_mapping_destroy(self.context, cell)
        self.assertIsNone(api.map_progress_get(self.context, cell))

    def test_another_database_has_no_resume_point(self) -> None:
        cell = self.cell()
        api.instance_mapping_map_batch(self.context, cell, [], last_instance_id=7)
        api.cell_mapping_update(self.context, cell, {'name': 'new', 'disabled': True})
        self.assertIsNotNone(api.map_progress_get(self.context, cell))
        api.cell_mapping_update(self.context, cell, {'database_connection': 'sqlite:///other'})
        self.assertIsNone(api.map_progress_get(self.context, cell))

    def test_where_nothing_was_stopped_there_is_none(self) -> None:
        self.assertIsNone(api.map_progress_get(self.context, self.cell()))
        self.assertIsNone(api.import_progress_get(self.context, 'x' * 64))
        # And nothing to be cleared.
        api.map_progress_clear(self.context, base.new_uuid())
        api.import_progress_clear(self.context, 'x' * 64)

    def test_conflicts_are_summed_up_over_batches(self) -> None:
        cell, other = self.cell(), self.cell()
        elsewhere = self.values(instance_uuid=self.map(cell_uuid=other))
        for number in (1, 2):
            self.map_batch(cell, [elsewhere], last_instance_id=number, unmappable=2)
            expected = {'last_instance_id': number, 'conflicts': 3 * number}
            self.assertEqual(expected, api.map_progress_get(self.context, cell))

    def test_each_cell_has_its_own(self) -> None:
        one, two = self.cell(), self.cell()
        self.map_batch(one, [], last_instance_id=1)
        self.map_batch(two, [], last_instance_id=2)
        api.map_progress_clear(self.context, one)
        self.assertIsNone(api.map_progress_get(self.context, one))
        expected = {'last_instance_id': 2, 'conflicts': 0}
        self.assertEqual(expected, api.map_progress_get(self.context, two))

    def test_a_cell_that_is_not_there_has_none(self) -> None:
        missing = base.new_uuid()
        self.assertRaises(
            exception.CellMappingNotFound, self.map_batch, missing, [], last_instance_id=1
        )
        self.assertIsNone(api.map_progress_get(self.context, missing))
