# SPDX-License-Identifier: Apache-2.0
"""What all tests have in common."""

import faulthandler
import logging
import os

import fixtures
import hypothesis
import testtools

from nova_cellmap.tests import stock_paths  # noqa: F401 - it switches at import

# In seconds: far more than any test takes.
LIMIT = 300

# A test of a suite runs in several classes. And no test is timed: a database takes the time
# that it takes, and so does everything on a machine that has other work.
hypothesis.settings.register_profile(
    'nova_cellmap',
    deadline=None,
    derandomize='CI' in os.environ,
    suppress_health_check=[
        hypothesis.HealthCheck.differing_executors,
        hypothesis.HealthCheck.too_slow,
    ],
)
hypothesis.settings.load_profile('nova_cellmap')


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
