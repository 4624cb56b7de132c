# SPDX-License-Identifier: Apache-2.0
"""Tests of audits."""

from typing import Any

import fixtures

from nova_cellmap import nova_cell
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import audit


class TestCase(cells_base.TestCase):
    """A test that audits one cell."""

    def setUp(self) -> None:
        super().setUp()
        self.conf.set_override('state_path', self.useFixture(fixtures.TempDir()).path)

    def audit(self, **options: Any) -> audit.Audit:
        """An audit that has come to its end."""
        run = audit.Audit(self.context, CellMappingList.get_all(self.context), **options)
        self.found = list(run.problems())
        return run

    def kinds(self) -> list[str]:
        return sorted(problem.kind.value for problem in self.found)

    def add(self, count: int, **mapped: Any) -> list[str]:
        """Instances of the cell; each has a mapping if anything is said of it."""
        uuids = [nova_cell.add(self.nova) for _ in range(count)]
        for uuid in uuids if mapped else ():
            self.make_mapping(**{'instance_uuid': uuid, 'cell_uuid': self.cell.uuid, **mapped})
        return uuids

    def break_(self) -> None:
        """Have 9 wrong ones, of 7 mappings: 3 missing, 2 in no cell, 3 orphaned, a duplicate."""
        self.add(3)
        self.add(2, cell_uuid=None)
        for _ in range(3):
            self.make_mapping(cell_uuid=self.cell.uuid)
        [uuid] = self.add(1, queued_for_delete=False)
        _, nova = self.new_cell('cell2')
        nova_cell.add(nova, uuid=uuid)
