# SPDX-License-Identifier: Apache-2.0
"""What an audit tells of one cell."""

from nova_cellmap.objects import CellMapping
from nova_cellmap.tests import base
from nova_cellmap.upkeep.case import Kind
from nova_cellmap.upkeep.case import Problem
from nova_cellmap.upkeep.cell_report import CellReport


class Counts(base.TestCase):
    def test_what_is_repaired_is_not_left(self) -> None:
        report = CellReport(CellMapping())
        for kind, repaired in ((Kind.MISSING, True), (Kind.MISSING, False), (Kind.STUCK, False)):
            report.count(Problem('uuid', kind, 'cell', '', repaired))
        self.assertEqual({Kind.MISSING: 2, Kind.STUCK: 1}, report.found)
        self.assertEqual(1, report.repaired[Kind.MISSING])
        self.assertEqual(2, report.left)
