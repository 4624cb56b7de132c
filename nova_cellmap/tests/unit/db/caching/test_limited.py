# SPDX-License-Identifier: Apache-2.0
"""A connection over which an answer is short, and comes in time."""

import socket
import time

from nova_cellmap.db.caching import limited
from nova_cellmap.tests import base


class Limited(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        ours, self.theirs = socket.socketpair()
        self.addCleanup(self.theirs.close)
        self.addCleanup(ours.close)
        self.limits = limited.Limits()
        self.socket = limited.LimitedSocket(ours, self.limits)

    def test_an_answer_in_time_and_of_some_length(self) -> None:
        self.limits.allow(time.monotonic() + 30, 5)
        self.socket.sendall(b'get')
        self.assertEqual(b'get', self.theirs.recv(10))
        self.theirs.sendall(b'value')
        self.assertEqual(b'value', self.socket.recv(10))

    def test_one_that_comes_byte_by_byte_is_too_late_in_the_end(self) -> None:
        self.limits.allow(time.monotonic() + 0.3, 1000)

        def read() -> None:
            while True:
                self.theirs.sendall(b'x')
                self.socket.recv(1)
                time.sleep(0.05)

        before = time.monotonic()
        self.assertRaises(TimeoutError, read)
        self.assertLess(time.monotonic() - before, 20)

    def test_one_that_is_too_long(self) -> None:
        self.limits.allow(time.monotonic() + 30, 5)
        self.theirs.sendall(b'longer')
        self.assertRaises(limited.TooLong, self.socket.recv, 100)

    def test_the_next_may_take_as_much_again(self) -> None:
        for _ in range(3):
            self.limits.allow(time.monotonic() + 30, 5)
            self.theirs.sendall(b'value')
            self.assertEqual(b'value', self.socket.recv(5))

    def test_a_client_has_its_limits_on_each_connection(self) -> None:
        class Client:
            sock: object = None

        client = limited.client_class(Client)()
        first, second = socket.socketpair()
        self.addCleanup(second.close)
        client.sock = first
        client.limits.allow(time.monotonic() - 1, 5)
        self.assertRaises(TimeoutError, client.sock.recv, 1)
        client.sock.close()
        client.sock = None
        self.assertIsNone(client.sock)
