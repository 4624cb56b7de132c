# SPDX-License-Identifier: Apache-2.0
"""What systemd is told."""

import os
import pathlib
import socket
import time

import fixtures

from nova_cellmap.conductor import board
from nova_cellmap.conductor import systemd
from nova_cellmap.tests import base


class _Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = str(pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'notify')
        self.socket = self.listen(self.path)
        self.board = board.Board(2)

    def listen(self, address: str) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(made.close)
        made.bind(address)
        made.setblocking(False)
        return made

    def watch(self, **environment: str) -> systemd.Watch:
        told = systemd.Systemd({'NOTIFY_SOCKET': self.path, **environment})
        return systemd.Watch(told, self.board)

    def told(self) -> list[str]:
        """What it was told since this was called the last time."""
        states: list[str] = []
        while True:
            try:
                states += self.socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return states


class Watch(_Case):
    def test_it_is_ready_when_all_workers_answer_and_says_so_once(self) -> None:
        watch = self.watch()
        watch.look()
        self.assertEqual(['STATUS=0 of 2 workers answer calls'], self.told())
        self.board.tallies[0].become(board.State.ANSWERING)
        watch.look()
        self.assertEqual(['STATUS=1 of 2 workers answer calls'], self.told())
        self.board.tallies[1].become(board.State.ANSWERING)
        watch.look()
        self.assertEqual(['READY=1', 'STATUS=2 of 2 workers answer calls'], self.told())
        watch.look()
        self.assertEqual([], self.told())

    def test_a_message_queue_that_is_not_there_is_not_waited_for(self) -> None:
        self.patch(systemd, '_PATIENCE', -1)
        self.watch().look()
        self.assertIn('READY=1', self.told())

    def test_the_watchdog_is_told_as_long_as_each_worker_runs(self) -> None:
        watch = self.watch(WATCHDOG_USEC='1000000', WATCHDOG_PID=f'{os.getpid()}')
        watch.look()
        self.assertIn('WATCHDOG=1', self.told())
        time.sleep(1.1)
        self.board.tallies[0].beat()
        watch.look()
        self.assertNotIn('WATCHDOG=1', self.told())
        self.board.tallies[1].beat()
        watch.look()
        self.assertIn('WATCHDOG=1', self.told())

    def test_at_the_end_it_waits_for_calls_and_not_for_workers(self) -> None:
        watch = self.watch(WATCHDOG_USEC='50000')
        watch.end()
        self.assertIn('STOPPING=1', self.told())
        time.sleep(0.06)
        watch.look()
        self.assertEqual(['WATCHDOG=1'], self.told())

    def test_it_watches_on_its_own(self) -> None:
        self.watch(WATCHDOG_USEC='300000').start()
        end = time.monotonic() + 10
        states: list[str] = []
        while states.count('WATCHDOG=1') < 2:
            self.assertLess(time.monotonic(), end)
            for tally in self.board.tallies:
                tally.beat()
            time.sleep(0.01)
            states += self.told()


class Systemd(_Case):
    def test_it_is_taken_from_the_environment(self) -> None:
        environment = {
            'NOTIFY_SOCKET': self.path,
            'WATCHDOG_USEC': '5000000',
            'WATCHDOG_PID': f'{os.getpid()}',
            'OTHER': 'x',
        }
        told = systemd.Systemd(environment)
        self.assertEqual({'OTHER': 'x'}, environment)
        self.assertEqual((True, 5), (told.listens, told.watchdog))

    def test_a_watchdog_of_another_process_or_none(self) -> None:
        for environment in (
            {'WATCHDOG_USEC': '5000000', 'WATCHDOG_PID': '1'},
            {'WATCHDOG_USEC': 'x'},
            {},
        ):
            self.assertIsNone(systemd.Systemd(dict(environment)).watchdog)

    def test_where_there_is_none_nothing_is_told(self) -> None:
        for address in ('', 'relative', 'vsock:2:1'):
            watch = self.watch(NOTIFY_SOCKET=address)
            watch.start()
            watch.end()
        self.assertEqual([], self.told())

    def test_an_abstract_socket(self) -> None:
        self.socket = self.listen('\0nova-cellmap-test-' + self.path)
        systemd.Systemd({'NOTIFY_SOCKET': f'@nova-cellmap-test-{self.path}'}).tell('READY=1')
        self.assertEqual(['READY=1'], self.told())

    def test_one_that_does_not_listen_holds_nothing_up(self) -> None:
        systemd.Systemd({'NOTIFY_SOCKET': f'{self.path}.nosuch'}).tell('READY=1')
        full = systemd.Systemd({'NOTIFY_SOCKET': self.path})
        for _ in range(2000):
            full.tell('WATCHDOG=1')
        self.assertLess(0, len(self.told()))
