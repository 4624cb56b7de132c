# SPDX-License-Identifier: Apache-2.0
"""Two runs of map_instances over one cell at once."""

import threading

from nova_cellmap import nova_cell
from nova_cellmap.context import RequestContext
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import mapping

_ROWS = 3000


@base.on_both_schemas
class TwoAtOnce(cells_base.TestCase):
    def test_no_conflict_is_made_up(self) -> None:
        nova_cell.fill(self.nova, _ROWS)
        # Some are being built.
        rows = [
            {'instance_uuid': uuid, 'project_id': 'p'}
            for uuid in list(cells_base.instances_in(self.nova))[::3]
        ]
        self.execute(self.mapping_table.insert().values(rows))
        runs: list[mapping.MapRun] = []

        def run() -> None:
            context = RequestContext(overwrite=False)
            runs.append(mapping.map_instances(context, self.cell, batch_size=100))

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([0, 0], [each.conflicts for each in runs])
        self.assertEqual([True, True], [each.done for each in runs])
        self.assertEqual(_ROWS, sum(each.created for each in runs))
        self.assertEqual({self.cell.uuid}, set(self.mapped().values()))
