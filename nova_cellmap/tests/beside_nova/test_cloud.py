# SPDX-License-Identifier: Apache-2.0
"""Our audit beside a Nova at work."""

import faulthandler
import os
import subprocess
import sys

from nova_cellmap.tests import base

_WORKLOAD = 'nova_cellmap.tests.beside_nova.workload.Workload.test_beside_audits'
# Nova runs with threads: without it, eventlet would replace them.
_ENVIRONMENT = {'OS_NOVA_DISABLE_EVENTLET_PATCHING': '1'}
# In seconds: the longest test of all.
_LIMIT = 1200


class Cloud(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        faulthandler.dump_traceback_later(_LIMIT, exit=True)

    def test_audits_beside_a_nova_at_work(self) -> None:
        """No request of Nova fails, and at the end every instance verifies."""
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-m', 'testtools.run', _WORKLOAD],
            env={**os.environ, **_ENVIRONMENT},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LIMIT,
        )
        self.assertEqual(0, done.returncode, done.stdout[-100_000:])
