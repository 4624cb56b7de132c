# SPDX-License-Identifier: Apache-2.0
"""Which cells are skipped, and for how long."""

import datetime
import time

from nova_cellmap import conf
from nova_cellmap import runtime
from nova_cellmap.cells import health
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests import base

_SECONDS = 60


class Health(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.conf = conf.new(args=[], config_files=[])
        self.conf.set_override('failures_before_skip', 2, group='cells')
        self.runtime = runtime.Runtime(self.conf)
        self.health = self.runtime.part(health.Health)
        self.cell = self.new_cell('none:///')

    def new_cell(self, url: str) -> CellMapping:
        uuid = '00000000-0000-4000-8000-000000000001'
        return CellMapping(uuid=uuid, database_connection=url, transport_url='none:///')

    def fail_times(self, count: int) -> None:
        for number in range(1, count + 1):
            self.health.failed(self.cell, f'reason {number}')

    def is_skipped(self) -> bool:
        return self.health.check(self.cell, _SECONDS) is not None

    def test_a_cell_that_never_failed_is_called(self) -> None:
        self.assertFalse(self.is_skipped())
        self.assertEqual({}, self.health.troubles())

    def test_it_is_skipped_after_as_many_failures_as_the_options_say(self) -> None:
        self.fail_times(1)
        self.assertFalse(self.is_skipped())
        self.assertIsNone(self.health.troubles()[self.cell.uuid].until)
        self.fail_times(1)
        self.assertTrue(self.is_skipped())

    def test_it_is_told_why_and_until_when(self) -> None:
        before = datetime.datetime.now(datetime.UTC)
        self.fail_times(2)
        trouble = self.health.check(self.cell, _SECONDS)
        assert trouble and trouble.until
        self.assertEqual((2, 'reason 2'), (trouble.failures, trouble.reason))
        seconds = (trouble.until - before).total_seconds()
        self.assertAlmostEqual(self.conf.cells.skip_time, seconds, delta=5)

    def test_one_tries_it_then_and_others_skip_it(self) -> None:
        self.conf.set_override('skip_time', 1, group='cells')
        self.fail_times(2)
        time.sleep(1.05)
        self.assertEqual([False, True, True], [self.is_skipped() for _ in range(3)])

    def test_a_try_that_nobody_hears_of_is_followed_by_another(self) -> None:
        self.conf.set_override('skip_time', 1, group='cells')
        self.fail_times(2)
        time.sleep(1.05)
        self.assertIsNone(self.health.check(self.cell, 0.05))
        time.sleep(0.1)
        self.assertFalse(self.is_skipped())

    def test_an_answer_makes_it_well(self) -> None:
        self.fail_times(2)
        self.health.succeeded(self.cell)
        self.assertFalse(self.is_skipped())
        self.assertEqual({}, self.health.troubles())

    def test_in_another_place_it_has_not_failed(self) -> None:
        self.fail_times(2)
        self.cell = self.new_cell('sqlite:///elsewhere')
        self.assertFalse(self.is_skipped())

    def test_it_can_be_forgotten(self) -> None:
        self.fail_times(2)
        self.health.forget_all_but([self.cell.uuid])
        self.assertTrue(self.is_skipped())
        self.health.forget_all_but([])
        self.assertFalse(self.is_skipped())
