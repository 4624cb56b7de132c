# SPDX-License-Identifier: Apache-2.0
"""What all tests have in common."""

import faulthandler
import logging

import fixtures
import testtools

from nova_cellmap.tests import stock_paths  # noqa: F401 - it switches at import

# In seconds: far more than any test takes.
LIMIT = 300


class TestCase(testtools.TestCase):
    """A test that cannot hang, and whose log is shown where it fails.

    A process of tests that begins no test for ``LIMIT`` seconds ends, and says where each of its
    threads stood: also one that hangs in a driver's C code, where no Python runs, and one that
    does not come to its end after the last test.
    """

    def setUp(self) -> None:
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        super().setUp()
        self.useFixture(fixtures.FakeLogger(level=logging.INFO))
