# SPDX-License-Identifier: Apache-2.0
"""The changes that a run has found to be needed."""

import tempfile
from unittest import mock

from nova_cellmap import exception
from nova_cellmap.tests.functional.upkeep import base as upkeep_base
from nova_cellmap.upkeep import changes


class SpoolSqlite(upkeep_base.TestCase):
    def test_a_million_instances_take_no_memory(self) -> None:
        self.patch(changes, '_IN_MEMORY', 100)
        uuids = self.add(50)
        self.audit(repair=True, batch_size=7)
        self.assertEqual(set(uuids), set(self.mapped()))
        self.assertEqual({True}, {problem.repaired for problem in self.found})

    def test_a_mapping_whose_uuid_has_a_line_end_in_it(self) -> None:
        odd = {'instance_uuid': 'a\nb', 'cell_uuid': self.cell.uuid, 'project_id': 'p'}
        self.execute(self.mapping_table.insert().values(odd))
        self.add(1, queued_for_delete=False)
        self.audit(purge=True)
        self.assertEqual(['orphaned'], self.kinds())
        self.assertEqual(1, len(self.mapped()))

    def test_where_there_is_no_room(self) -> None:
        self.add(1)
        full = mock.Mock(**{'write.side_effect': OSError(28, 'No space left on device')})
        with mock.patch.object(tempfile, 'SpooledTemporaryFile', return_value=full):
            error = self.assertRaises(exception.CellMapError, self.audit, repair=True)
        self.assertIn('No space left on device', str(error))
        self.assertIn('TMPDIR', str(error))
        self.assertEqual({}, self.mapped())
