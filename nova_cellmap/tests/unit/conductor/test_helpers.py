# SPDX-License-Identifier: Apache-2.0
"""Threads for what may take without end."""

import contextvars
import threading
import time

from nova_cellmap.conductor import helpers
from nova_cellmap.tests import base


class Run(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.helpers = helpers.Helpers(2)
        self.go_on = threading.Event()
        self.addCleanup(self.go_on.set)

    def test_what_it_does_is_answered_and_raised(self) -> None:
        self.assertEqual(5, self.helpers.run(lambda: 5, 60))
        self.assertRaises(ZeroDivisionError, self.helpers.run, lambda: 1 / 0, 60)

    def test_a_thread_is_used_again(self) -> None:
        names = {self.helpers.run(threading.get_ident, 60) for _ in range(20)}
        self.assertEqual(1, len(names))

    def test_nobody_waits_for_longer(self) -> None:
        before = time.monotonic()
        self.assertRaises(TimeoutError, self.helpers.run, self.go_on.wait, 0.1)
        self.assertLess(time.monotonic() - before, 30)
        # Others are not held up, until there are too many.
        self.assertEqual(5, self.helpers.run(lambda: 5, 60))
        self.assertRaises(TimeoutError, self.helpers.run, self.go_on.wait, 0.1)
        error = self.assertRaises(TimeoutError, self.helpers.run, lambda: 5, 0.1)
        self.assertIn('too many', str(error))
        self.go_on.set()
        self.assertEqual(5, self.helpers.run(lambda: 5, 60))

    def test_what_belongs_to_the_caller_goes_along(self) -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar('variable')
        variable.set('mine')
        self.assertEqual('mine', self.helpers.run(variable.get, 60))
