# SPDX-License-Identifier: Apache-2.0
"""What the checks make of what they get."""

import time
from typing import Any

import oslo_messaging

from nova_cellmap import exception
from nova_cellmap.conductor import board
from nova_cellmap.conductor import checks
from nova_cellmap.conductor.health import Finding
from nova_cellmap.conductor.health import Status
from nova_cellmap.tests import base


class _Caller:
    """Those of the names do not answer."""

    def __init__(self, *silent: str | None, error: Exception | None = None) -> None:
        self._silent = silent
        self._error = error or oslo_messaging.MessagingTimeout('nobody there')
        self.called: list[Any] = []

    def ping(self, seconds: float, server: str | None = None) -> None:
        self.called.append(server)
        if server in self._silent:
            raise self._error


class _Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.board = board.Board(3)

    def listen(self, *workers: int) -> None:
        for worker in workers:
            self.board.tallies[worker].become(board.State.ANSWERING)


class Queue(_Case):
    def check(self, caller: _Caller) -> Finding:
        return checks.Queue(caller, 'host', self.board).check()

    def test_each_worker_that_listens_is_called(self) -> None:
        self.listen(0, 2)
        caller = _Caller()
        found = self.check(caller)
        self.assertEqual((Status.PASS, ''), (found.status, found.output))
        self.assertEqual(['host:0', 'host:2'], sorted(caller.called))

    def test_one_that_does_not_answer_is_a_warning(self) -> None:
        self.listen(0, 1, 2)
        found = self.check(_Caller('host:1'))
        self.assertEqual(Status.WARN, found.status)
        self.assertRegex(found.output, 'do not answer within 5 seconds: 1$')

    def test_none_is_a_failure(self) -> None:
        self.listen(0, 1)
        for error in (None, exception.BrokerRefused(url='rabbit://x', reason='nobody there')):
            found = self.check(_Caller('host:0', 'host:1', error=error))
            self.assertEqual(Status.FAIL, found.status)
            self.assertIn('nobody there', found.output)

    def test_where_none_listens_any_conductor_is_called(self) -> None:
        caller = _Caller()
        self.assertEqual(Status.PASS, self.check(caller).status)
        self.assertEqual([None], caller.called)
        found = self.check(_Caller(None))
        self.assertEqual((Status.FAIL, 'nobody there'), (found.status, found.output))

    def test_a_slow_one_is_a_warning(self) -> None:
        self.patch(checks, '_SLOW', 0.01)
        self.listen(0)
        caller = _Caller()
        self.patch(caller, 'ping', lambda seconds, server: time.sleep(0.02))
        found = self.check(caller)
        self.assertEqual(Status.WARN, found.status)
        self.assertIn('took', found.output)


class Workers(_Case):
    def test_by_how_many_listen(self) -> None:
        self.assertEqual(Status.FAIL, checks.workers(self.board).status)
        self.listen(0, 2)
        found = checks.workers(self.board)
        self.assertEqual((Status.WARN, 2), (found.status, found.value))
        self.assertIn(': 1', found.output)
        self.listen(1)
        self.assertEqual(Status.PASS, checks.workers(self.board).status)
