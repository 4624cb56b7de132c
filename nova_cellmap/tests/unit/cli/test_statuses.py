# SPDX-License-Identifier: Apache-2.0
"""The exit statuses that all programs share."""

from nova_cellmap.cli.statuses import Status
from nova_cellmap.tests import base


class Statuses(base.TestCase):
    def test_none_is_taken_for_a_commands_own_or_for_a_signal(self) -> None:
        for status in Status:
            self.assertTrue(64 <= status < 126 or status == Status.UNFORESEEN)
        self.assertEqual(255, Status.UNFORESEEN)
