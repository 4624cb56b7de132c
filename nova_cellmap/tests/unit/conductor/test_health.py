# SPDX-License-Identifier: Apache-2.0
"""What the last checks have found."""

import json
import threading
import time
from typing import Any

import fixtures

from nova_cellmap.conductor import health
from nova_cellmap.conductor.health import Finding
from nova_cellmap.conductor.health import Status
from nova_cellmap.tests import base


class Health(base.TestCase):
    def start(self, **checks: Any) -> health.Health:
        made = health.Health(checks, interval=0.01)
        self.addCleanup(made.stop)
        made.start()
        return made

    def until(self, made: health.Health, status: Status) -> dict[str, Any]:
        """What it says once it has a status; as those who ask get it."""
        end = time.monotonic() + 10
        while True:
            shown = json.loads(json.dumps(made.as_json()))
            if shown['status'] == status:
                self.assertIsInstance(shown, dict)
                return dict(shown)
            self.assertLess(time.monotonic(), end, str(shown))
            time.sleep(0.01)

    def test_it_is_as_well_as_the_worst_of_them(self) -> None:
        well, worse = Finding(Status.PASS, value=0.25, unit='s'), Finding(Status.WARN, 'slow')
        shown = self.until(self.start(a=lambda: well, b=lambda: worse), Status.WARN)
        [first], [second] = shown['checks']['a'], shown['checks']['b']
        self.assertRegex(first.pop('time'), r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$')
        self.assertEqual({'status': 'pass', 'observedValue': 0.25, 'observedUnit': 's'}, first)
        self.assertEqual(('warn', 'slow'), (second['status'], second['output']))
        bad = Finding(Status.FAIL, 'gone')
        self.until(self.start(a=lambda: bad, b=lambda: worse), Status.FAIL)
        self.until(self.start(a=lambda: well), Status.PASS)

    def test_before_the_first_check_it_is_not(self) -> None:
        found = health.Health({'a': lambda: Finding(Status.PASS)}).findings()
        self.assertEqual(Status.FAIL, found['a'].status)
        self.assertIn('first check', found['a'].output)

    def test_a_check_that_does_not_end_is_no_longer_believed_and_holds_up_no_other(self) -> None:
        held = threading.Event()
        self.addCleanup(held.set)
        calls: list[str] = []

        def hang() -> Finding:
            if calls:
                held.wait(60)
            calls.append('hang')
            return Finding(Status.PASS)

        made = health.Health(
            {'a': hang, 'b': lambda: Finding(Status.PASS)}, interval=0.01, patience=1
        )
        self.addCleanup(made.stop)
        made.start()
        self.until(made, Status.PASS)
        shown = self.until(made, Status.FAIL)
        self.assertIn('no check has ended', shown['checks']['a'][0]['output'])
        self.assertEqual('pass', shown['checks']['b'][0]['status'])
        held.set()
        self.until(made, Status.PASS)

    def test_a_check_that_fails_unforeseen_fails(self) -> None:
        logged = self.useFixture(fixtures.FakeLogger())

        def check() -> Finding:
            raise RuntimeError('sekret')

        made = self.start(a=check)
        end = time.monotonic() + 10
        while 'RuntimeError' not in str(made.as_json()):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)
        # The log has more.
        self.assertNotIn('sekret', str(made.as_json()))
        self.assertIn('sekret', logged.output)

    def test_a_reason_is_a_line_and_no_long_one(self) -> None:
        shown = Finding(Status.FAIL, 'x\n\x1b[31m' + 'y' * 9999).as_json()
        self.assertLess(len(shown['output']), 600)
        self.assertTrue(shown['output'].isprintable())
