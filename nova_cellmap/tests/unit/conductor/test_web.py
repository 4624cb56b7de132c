# SPDX-License-Identifier: Apache-2.0
"""The HTTP server, and clients who mean it no good."""

import contextlib
import http
import socket
import threading
import time

import fixtures

from nova_cellmap import exception
from nova_cellmap.conductor import web
from nova_cellmap.tests import base

_PAGE = web.Answer(http.HTTPStatus.OK, 'text/plain', b'well\n')
_LONG = web.Answer(http.HTTPStatus.OK, 'text/plain', b'x' * 20_000_000)


def _raise() -> web.Answer:
    raise RuntimeError('sekret')


class _Case(base.TestCase):
    def start(self, **limits: float) -> web.Address:
        """A server; where it is."""
        with socket.create_server(('127.0.0.1', 0)) as probe:
            where = web.Address('127.0.0.1', probe.getsockname()[1])
        pages = {'/page': lambda: _PAGE, '/long': lambda: _LONG, '/broken': _raise}
        self.server = web.Server(pages, **limits)  # type: ignore[arg-type]
        thread = threading.Thread(target=self.server.run, args=(where,))
        thread.start()
        self.addCleanup(thread.join, 10)
        self.addCleanup(self.server.stop)
        self.where = where
        self.connect().close()
        return where

    def connect(self) -> socket.socket:
        end = time.monotonic() + 10
        while True:
            try:
                made = socket.create_connection(self.where, timeout=10)
            except ConnectionRefusedError:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)
            else:
                self.addCleanup(made.close)
                return made

    def ask(self, request: bytes) -> bytes:
        """What comes until the server closes the connection."""
        connection = self.connect()
        with contextlib.suppress(ConnectionError):
            connection.sendall(request)
        return self.rest(connection)

    def rest(self, connection: socket.socket) -> bytes:
        received = b''
        with contextlib.suppress(ConnectionError):
            while data := connection.recv(65536):
                received += data
        return received

    def get(self, path: str = '/page', method: str = 'GET') -> bytes:
        return self.ask(f'{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n'.encode())

    def assert_serves(self) -> None:
        self.assertTrue(self.get().endswith(b'\r\n\r\nwell\n'))


class Server(_Case):
    def test_get_and_head(self) -> None:
        self.start()
        for path in ('/page', '/page?x=1'):
            head, body = self.get(path).split(b'\r\n\r\n')
            self.assertEqual(b'well\n', body)
        lines = head.split(b'\r\n')
        self.assertEqual(b'HTTP/1.1 200 OK', lines[0])
        for line in (b'Content-Type: text/plain', b'Content-Length: 5', b'Connection: close'):
            self.assertIn(line, lines)
        self.assertEqual(head + b'\r\n\r\n', self.get(method='HEAD'))

    def test_what_is_not_there_or_may_not_be_done(self) -> None:
        self.start()
        for path, method, status in (
            ('/nosuch', 'GET', 404),
            ('/../../etc/passwd', 'GET', 404),
            ('/page', 'POST', 405),
            ('/page', 'DELETE', 405),
        ):
            answer = self.get(path, method)
            self.assertTrue(answer.startswith(f'HTTP/1.1 {status} '.encode()), str(answer))
            self.assertEqual(status == 405, b'Allow: GET, HEAD' in answer)

    def test_a_page_that_cannot_be_made(self) -> None:
        logged = self.useFixture(fixtures.FakeLogger())
        self.start()
        answer = self.get('/broken')
        self.assertTrue(answer.startswith(b'HTTP/1.1 500 '))
        self.assertNotIn(b'sekret', answer)
        self.assertIn('sekret', logged.output)
        self.assert_serves()

    def test_it_ends_at_once_whoever_is_connected(self) -> None:
        self.start(seconds=60)
        idle = self.connect()
        self.assert_serves()
        before = time.monotonic()
        self.server.stop()
        self.assertEqual(b'', self.rest(idle))
        self.assertLess(time.monotonic() - before, 5)
        self.server.stop()


class Hostile(_Case):
    def test_no_http(self) -> None:
        self.start()
        for request in (
            b'\r\n\r\n',
            b'\x16\x03\x01\x02\x00\x01\x00\r\n\r\n',
            b'GET /page\r\n\r\n',
            b'GET /page HTTP/2.0\r\n\r\n',
            b'GET page HTTP/1.1\r\n\r\n',
            b'GET /page\x00 HTTP/1.1\r\n\r\n',
            b'GET /p\xe4ge HTTP/1.1\r\n\r\n',
            b'GET http://other/ HTTP/1.1\r\n\r\n',
            b'get /page HTTP/1.1\r\n\r\n',
        ):
            answer = self.ask(request)
            self.assertTrue(answer.startswith(b'HTTP/1.1 400 '), f'{request!r}: {answer!r}')
            # Nothing of what was sent comes back.
            self.assertTrue(answer.endswith(b'\r\n\r\nBad Request\n'))
        self.assert_serves()

    def test_a_request_that_does_not_end(self) -> None:
        self.start(seconds=60)
        before = time.monotonic()
        answer = self.ask(b'GET /page HTTP/1.1\r\nX: ' + b'x' * 1_000_000)
        # The answer may be lost with the connection, which is gone at once.
        self.assertIn(answer[:12], (b'', b'HTTP/1.1 431'))
        self.assertLess(time.monotonic() - before, 10)
        self.assert_serves()

    def test_one_that_trickles_has_no_more_time_than_others(self) -> None:
        self.start(seconds=0.5)
        slow = self.connect()
        before = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for byte in b'GET /page HTTP/1.1\r\n' * 100:
                slow.sendall(bytes([byte]))
                time.sleep(0.02)
        self.assertLess(time.monotonic() - before, 10)
        self.assertEqual(b'', self.rest(slow))

    def test_one_that_does_not_read(self) -> None:
        self.start(seconds=0.5)
        slow = self.connect()
        slow.sendall(b'GET /long HTTP/1.1\r\n\r\n')
        self.assert_serves()
        time.sleep(1)
        self.assertLess(len(self.rest(slow)), len(_LONG.body))

    def test_where_there_are_many_the_oldest_gives_way(self) -> None:
        self.start(most=4, seconds=60)
        idle = [self.connect() for _ in range(50)]
        for connection in idle:
            connection.sendall(b'GET /pa')
        # Not after some seconds, but now.
        before = time.monotonic()
        self.assert_serves()
        self.assertLess(time.monotonic() - before, 5)
        self.assertEqual(b'', self.rest(idle[0]))
        # Those that are left are served as well.
        idle[-1].sendall(b'ge HTTP/1.1\r\n\r\n')
        self.assertTrue(self.rest(idle[-1]).endswith(b'well\n'))

    def test_one_that_leaves(self) -> None:
        self.start()
        for request in (b'', b'GET /long HTTP/1.1\r\n\r\n'):
            for _ in range(20):
                connection = self.connect()
                connection.sendall(request)
                connection.close()
        self.assert_serves()


class Address(base.TestCase):
    def test_what_is_one(self) -> None:
        for text, where in (
            ('127.0.0.1:9105', ('127.0.0.1', 9105)),
            ('[::1]:1', ('::1', 1)),
            ('monitor.example.org:65535', ('monitor.example.org', 65535)),
        ):
            self.assertEqual(where, web.address(text))

    def test_what_is_none(self) -> None:
        for text in ('', 'x', ':9105', '127.0.0.1', '::1:9105', 'x:0', 'x:65536', 'x:9 ', 'a b:9'):
            error = self.assertRaises(exception.InvalidOption, web.address, text)
            self.assertIn('[conductor] health', str(error))

    def test_a_place_that_is_taken_is_said_before_the_start(self) -> None:
        with socket.create_server(('127.0.0.1', 0)) as taken:
            where = web.Address('127.0.0.1', taken.getsockname()[1])
            error = self.assertRaises(exception.InvalidOption, web.check, where)
            self.assertTrue(str(error).endswith(': Address already in use'))
        web.check(where)
        for host in ('192.0.2.1', 'nosuch.invalid'):
            where = web.Address(host, 9105)
            error = self.assertRaises(exception.InvalidOption, web.check, where)
            self.assertIn(host, str(error))
            self.assertNotIn('None', str(error))
