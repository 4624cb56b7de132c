# SPDX-License-Identifier: Apache-2.0
"""The numbers that processes share."""

from concurrent import futures
import multiprocessing
import os
import sys
import time

import oslo_messaging

from nova_cellmap import exception
from nova_cellmap.conductor import board
from nova_cellmap.tests import base

_MULTIPROCESSING = multiprocessing.get_context('fork')


def _fail(tally: board.Tally, error: Exception) -> None:
    try:
        raise error
    except Exception:
        crossing = oslo_messaging.ExpectedException()
    try:
        with tally.call('ping'):
            raise crossing
    except oslo_messaging.ExpectedException:
        pass


class Board(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.board = board.Board(2)
        self.first, self.second = self.board.tallies

    def test_calls_are_counted_by_how_long_they_took(self) -> None:
        for tally in self.board.tallies:
            with tally.call('ping'):
                self.assertEqual(1, tally.busy)
                time.sleep(0.002)
            self.assertEqual(0, tally.busy)
        latency = self.board.latency('ping')
        self.assertEqual(2, sum(latency.counts))
        self.assertEqual(0, latency.counts[0])
        self.assertEqual(len(board.BUCKETS) + 1, len(latency.counts))
        self.assertLess(0.004, latency.seconds)
        self.assertEqual(0, sum(self.board.latency('CellMapping.save').counts))

    def test_errors_are_counted_by_their_classes(self) -> None:
        for _ in range(3):
            _fail(self.second, exception.InstanceMappingNotFound(uuid='x'))
        self.assertEqual(3, self.board.errors('InstanceMappingNotFound'))
        self.assertEqual(3, sum(self.board.latency('ping').counts))
        self.assertEqual(0, self.board.errors('InvalidInput'))

    def test_a_call_that_is_cut_off_is_at_an_end_too(self) -> None:
        def cut_off() -> None:
            with self.first.call('ping'):
                sys.exit()

        self.assertRaises(SystemExit, cut_off)
        self.assertEqual((0, 1), (self.first.busy, sum(self.first.latency('ping').counts)))

    def test_threads_lose_nothing(self) -> None:
        def call(number: int) -> None:
            for _ in range(200):
                with self.first.call('ping'):
                    pass

        with futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(call, range(8)))
        self.assertEqual(1600, sum(self.first.latency('ping').counts))
        self.assertEqual(0, self.first.busy)

    def test_what_another_process_does_is_seen_and_outlives_it(self) -> None:
        def work() -> None:
            self.second.start(threads=7)
            self.second.become(board.State.ANSWERING)
            with self.second.call('ping'):
                pass
            # It dies amid a call.
            with self.second.call('ping'):
                os._exit(0)

        for times in (1, 2):
            process = _MULTIPROCESSING.Process(target=work)
            process.start()
            process.join()
            self.assertEqual(0, process.exitcode)
            self.assertEqual(times, self.second.starts)
            self.assertEqual(times, sum(self.board.latency('ping').counts))
            # What the process before was at has ended with it.
            self.assertEqual((7, 1), (self.second.threads, self.second.busy))
        self.assertEqual(1, self.board.answering)
        self.assertEqual(board.State.STARTING, self.first.state)

    def test_a_worker_that_is_silent_does_not_answer(self) -> None:
        self.first.become(board.State.ANSWERING)
        self.assertTrue(self.first.is_up)
        self.patch(board, '_LONGEST_SILENCE', 1)
        time.sleep(1.1)
        self.assertFalse(self.first.is_up)
        self.first.beat()
        self.assertTrue(self.first.is_up)
        self.first.become(board.State.ENDING)
        self.assertFalse(self.first.is_up)
