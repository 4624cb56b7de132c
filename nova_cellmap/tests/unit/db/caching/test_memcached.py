# SPDX-License-Identifier: Apache-2.0
"""Tests of lookups beside servers that take themselves for memcached."""

from collections.abc import Callable
import contextlib
import datetime
import logging
import re
import socket
import threading
from unittest import mock

import fixtures
import testtools

from nova_cellmap.db.caching import cache
from nova_cellmap.db.caching import cached_row
from nova_cellmap.db.caching import limited
from nova_cellmap.db.caching import memcached
from nova_cellmap.tests import base as tests_base

_UUID = 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee'
_KEY = f'p:{_UUID}'
_ROW: cached_row.Row = {
    'created_at': datetime.datetime(2024, 1, 2, 3, 4, 5),
    'updated_at': None,
    'id': 7,
    'instance_uuid': _UUID,
    'cell_uuid': None,
    'project_id': 'project',
    'queued_for_delete': False,
    'user_id': 'user',
}
_Answer = Callable[[socket.socket, bytes], None]


class Rogue:
    """A server that answers each command in a way of its own.

    :ivar commands: how many it was sent
    """

    def __init__(self, test: testtools.TestCase, answer: _Answer) -> None:
        self.commands = 0
        self._answer = answer
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.address = f'127.0.0.1:{self._listener.getsockname()[1]}'
        self.is_over = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()
        test.addCleanup(self._listener.close)
        test.addCleanup(self.is_over.set)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while said := connection.recv(65536):
                self.commands += 1
                self._answer(connection, said)


def _value(key: str, item: bytes, *, flags: str = '0', size: str | None = None) -> bytes:
    length = len(item) if size is None else size
    return f'VALUE {key} {flags} {length}\r\n'.encode() + item + b'\r\n'


def _saying(text: bytes) -> _Answer:
    """The same answer to what asks for values; others want none."""

    def answer(connection: socket.socket, said: bytes) -> None:
        if said.startswith(b'get'):
            connection.sendall(text)

    return answer


class _Case(tests_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.WARNING))

    def cache_of(self, *servers: Rogue, timeout: float = 0.5) -> cache.Cache:
        settings = memcached.Settings(tuple(server.address for server in servers), timeout)
        return cache.Cache(memcached.Servers(settings), 'p:', 60)

    def found(self, answer: _Answer, **options: float) -> dict[str, cached_row.Row]:
        """What a lookup finds, and then can be without."""
        with self.cache_of(Rogue(self, answer), **options).looking_up([_UUID]) as lookup:
            lookup.fill([_ROW])
            return lookup.rows


class Values(_Case):
    def test_what_is_right_is_found(self) -> None:
        item = _value(_KEY, cached_row.packed(_ROW))
        self.assertEqual({_UUID: _ROW}, self.found(_saying(item + b'END\r\n')))
        # Flags are for clients that keep more than bytes.
        item = _value(_KEY, cached_row.packed(_ROW), flags='4294967295')
        self.assertEqual({_UUID: _ROW}, self.found(_saying(item + b'END\r\n')))

    def test_what_is_wrong_is_not(self) -> None:
        item = cached_row.packed(_ROW)
        for text in (
            b'END\r\n',
            _value(_KEY, b'1' + b'[' * 100_000) + b'END\r\n',
            _value(_KEY, b'x' * 1024 * 1024) + b'END\r\n',
            _value('p:other', item) + b'END\r\n',
            _value(_KEY, item, flags='x') + b'END\r\n',
            _value(_KEY, item, size='-5') + b'END\r\n',
            _value(_KEY, item, size='9' * 5000) + b'END\r\n',
            _value(_KEY, item, size='x') + b'END\r\n',
            b'VALUE\r\nEND\r\n',
            b'VALUE ' + b'x ' * 100 + b'\r\nEND\r\n',
            b'SERVER_ERROR out of memory\r\n',
            b'CLIENT_ERROR bad\r\n',
            b'ERROR\r\n',
            b'\xff\xfe\r\n',
            b'HTTP/1.1 400 Bad Request\r\n\r\n',
        ):
            self.assertEqual({}, self.found(_saying(text)), repr(text[:60]))

    def test_of_two_values_one_is_taken_that_is_right(self) -> None:
        other = _value(_KEY, cached_row.packed({**_ROW, 'project_id': 'other'}))
        odd = _value(_KEY, b'1[]')
        self.assertEqual({}, self.found(_saying(other + odd + b'END\r\n')))


class Times(_Case):
    """Servers that take their time."""

    def test_drops_that_come_before_each_time_out_of_a_read(self) -> None:
        def drip(connection: socket.socket, said: bytes) -> None:
            while not rogue.is_over.wait(0.05):
                connection.sendall(b'V')

        rogue = Rogue(self, drip)
        with self.cache_of(rogue, timeout=0.3).looking_up([_UUID]) as lookup:
            self.assertEqual({}, lookup.rows)
        self.assertIn('timed out', self.log.output)
        self.assertFalse(rogue.is_over.is_set())

    def test_an_answer_without_end(self) -> None:
        def pour(connection: socket.socket, said: bytes) -> None:
            connection.sendall(f'VALUE {_KEY} 0 99999999999\r\n'.encode())
            while not rogue.is_over.is_set():
                connection.sendall(b'x' * 65536)

        rogue = Rogue(self, pour)
        with self.cache_of(rogue, timeout=30).looking_up([_UUID]) as lookup:
            self.assertEqual({}, lookup.rows)
        self.assertIn('too long', self.log.output)

    def test_a_lookup_waits_once_for_all_servers(self) -> None:
        rogues = [Rogue(self, lambda connection, said: None) for _ in range(8)]
        uuids = [re.sub('^.', digit, _UUID) for digit in '0123456789abcdef']
        with self.cache_of(*rogues, timeout=0.3).looking_up(uuids) as lookup:
            self.assertEqual({}, lookup.rows)
        self.assertEqual(1, sum(rogue.commands for rogue in rogues))


class Limits(tests_base.TestCase):
    def test_time(self) -> None:
        limits = limited.Limits()
        with mock.patch('time.monotonic', lambda: 7.0):
            limits.allow(10.0, 1)
            self.assertEqual(3.0, limits.seconds())
        with mock.patch('time.monotonic', lambda: 10.0):
            self.assertRaises(TimeoutError, limits.seconds)

    def test_bytes(self) -> None:
        limits = limited.Limits()
        limits.allow(10.0, 5)
        limits.count(5)
        self.assertRaises(limited.TooLong, limits.count, 1)
