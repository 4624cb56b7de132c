# SPDX-License-Identifier: Apache-2.0
"""On which instances the mapping and the cells differ."""

from nova_cellmap import nova_cell
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep.cell_report import CellReport
from nova_cellmap.upkeep.comparison import Comparison
from nova_cellmap.upkeep.readers import Readers


@base.on_both_schemas
class Suspects(cells_base.TestCase):
    def suspects(self, *, after: str = '', project_id: str | None = None) -> list[str]:
        with Readers(self.context, CellMappingList.get_all(self.context)) as readers:
            reports = {self.cell.uuid: CellReport(self.cell)}
            comparison = Comparison(
                self.context, readers, reports, batch_size=2, sleep=0, project_id=project_id
            )
            batches = comparison.batches(lambda part: None, after)
            return [uuid for batch in batches for uuid in batch.suspects]

    def test_behind_a_uuid(self) -> None:
        uuids = sorted(nova_cell.add(self.nova) for _ in range(5))
        self.make_mapping(instance_uuid=uuids[3], cell_uuid=self.cell.uuid)
        self.assertEqual([*uuids[:3], uuids[4]], self.suspects())
        self.assertEqual([uuids[2], uuids[4]], self.suspects(after=uuids[1]))
        self.assertEqual([], self.suspects(after=uuids[4]))

    def test_of_a_project(self) -> None:
        theirs = nova_cell.add(self.nova, project_id='theirs')
        nova_cell.add(self.nova)
        self.assertEqual([theirs], self.suspects(project_id='theirs'))
