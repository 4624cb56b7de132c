# SPDX-License-Identifier: Apache-2.0
"""Looking at instances one by one."""

import contextlib
import datetime

from nova_cellmap import nova_cell
from nova_cellmap.objects import CellMappingList
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep.age import Patience
from nova_cellmap.upkeep.judge import Judge
from nova_cellmap.upkeep.readers import Readers


@base.on_both_schemas
class Cases(cells_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        cells = CellMappingList.get_all(self.context)
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        readers = stack.enter_context(Readers(self.context, cells))
        self.judge = Judge(self.context, readers, Patience())

    def test_how_old_it_is_says_what_was_written_last(self) -> None:
        uuid = nova_cell.add(self.nova)
        [case] = self.judge.cases([uuid])
        assert case.age is not None
        self.assertGreater(case.age, datetime.timedelta(days=1))
        self.make_mapping(instance_uuid=uuid)
        [case] = self.judge.cases([uuid])
        assert case.age is not None
        self.assertLess(case.age, datetime.timedelta(hours=1))

    def test_nobody_knows_it(self) -> None:
        hidden, mapped = nova_cell.add(self.nova, hidden=True), self.make_mapping().instance_uuid
        unknown = base.new_uuid()
        self.assertEqual([unknown], self.judge.unknown([hidden, mapped, unknown]))
