# SPDX-License-Identifier: Apache-2.0
"""Two runs of map_instances over one cell at once."""

from concurrent import futures
import threading

import sqlalchemy as sa

from nova_cellmap import nova_cell
from nova_cellmap.context import RequestContext
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import mapping

_INSTANCES = 2000


@base.on_both_schemas
class TwoRuns(cells_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        rows = [
            {'uuid': base.new_uuid(), 'project_id': 'p', 'user_id': 'u', 'deleted': 0}
            for _ in range(_INSTANCES)
        ]
        with self.nova.begin() as connection:
            connection.execute(nova_cell.instances.insert(), rows)
        self.uuids = [row['uuid'] for row in rows]

    def run_two(self) -> list[mapping.MapRun]:
        start = threading.Barrier(2)

        def run(number: int) -> mapping.MapRun:
            start.wait(30)
            context = RequestContext(overwrite=False)
            return mapping.map_instances(context, self.cell, batch_size=100)

        with futures.ThreadPoolExecutor(2) as pool:
            return list(pool.map(run, range(2)))

    def assert_mapped(self, runs: list[mapping.MapRun]) -> None:
        self.assertEqual([0, 0], [run.conflicts for run in runs])
        self.assertEqual(dict.fromkeys(self.uuids, self.cell.uuid), self.mapped())

    def test_of_new_instances(self) -> None:
        runs = self.run_two()
        self.assert_mapped(runs)
        self.assertEqual(_INSTANCES, sum(run.created for run in runs))

    def test_of_instances_that_are_in_no_cell_yet(self) -> None:
        rows = [{'instance_uuid': uuid, 'project_id': 'p'} for uuid in self.uuids]
        self.execute(sa.insert(self.mapping_table).values(rows))
        runs = self.run_two()
        self.assert_mapped(runs)
        self.assertEqual(_INSTANCES, sum(run.created for run in runs))
