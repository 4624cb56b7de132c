# SPDX-License-Identifier: Apache-2.0
"""Which process this is, in a text that another one can look up."""

import os
import signal
import subprocess
import sys

from nova_cellmap.db import process
from nova_cellmap.tests import base

_SAY = 'import time; from nova_cellmap.db import process; print(process.identity(), flush=True)'


class Identity(base.TestCase):
    def test_is_the_same_as_long_as_the_process_lives(self) -> None:
        self.assertEqual(process.identity(), process.identity())
        self.assertFalse(process.is_gone(process.identity()))
        self.assertIn(str(os.getpid()), process.described())

    def test_another_process_is_there_until_it_ends(self) -> None:
        with subprocess.Popen(
            [sys.executable, '-c', f'{_SAY}; time.sleep(60)'], stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdout is not None
            identity = other.stdout.readline().strip()
            self.assertNotEqual(process.identity(), identity)
            self.assertFalse(process.is_gone(identity))
            other.send_signal(signal.SIGKILL)
        self.assertTrue(process.is_gone(identity))

    def test_of_one_elsewhere_nobody_can_tell(self) -> None:
        for identity in ('', 'x', '/1/2', 'another-machine/1/2', process.identity() + '/'):
            if identity.endswith('/'):
                continue
            self.assertFalse(process.is_gone(identity), identity)

    def test_an_id_that_is_used_again_is_another_process(self) -> None:
        kernel, pid, started = process.identity().rsplit('/', 2)
        self.assertTrue(process.is_gone(f'{kernel}/{pid}/{int(started) - 1}'))
