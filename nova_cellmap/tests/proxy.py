# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy between a program and its server, through which everything goes wrong."""

import contextlib
import enum
import socket
import threading
import time
from typing import Any

import fixtures
import sqlalchemy as sa


class Mode(enum.Enum):
    """What becomes of what is sent."""

    PASS = 'pass'
    # Nothing is passed any more, in either direction; connections are taken and left alone.
    HOLE = 'hole'
    # Connections are dropped, and new ones as soon as they are made.
    CUT = 'cut'
    # A COMMIT does not get to the server, and the connection is dropped.
    CUT_COMMIT = 'cut commit'
    # A COMMIT gets there and is made; the connection is dropped in place of the answer.
    CUT_COMMITTED = 'cut committed'
    # A COMMIT does not get to the server, which keeps the transaction open; nothing is answered.
    HOLE_AT_COMMIT = 'hole at commit'
    # A COMMIT gets there and is made, and nothing is answered.
    HOLE_COMMITTED = 'hole committed'
    # A COMMIT is answered with MySQL's error of a deadlock, and nothing is made: as a node of
    # Galera does whose cluster has certified another's change first.
    DEADLOCK_AT_COMMIT = 'deadlock at commit'


_AT_COMMIT = (
    Mode.CUT_COMMIT,
    Mode.CUT_COMMITTED,
    Mode.HOLE_AT_COMMIT,
    Mode.HOLE_COMMITTED,
    Mode.DEADLOCK_AT_COMMIT,
)
# What is seen of a COMMIT on its way, where nothing is encrypted: in MySQL's and PostgreSQL's
# protocols.
_COMMITS = (b'\x07\x00\x00\x00\x03COMMIT', b'Q\x00\x00\x00\x0bCOMMIT\x00')
_ROLLBACK = b'\x09\x00\x00\x00\x03ROLLBACK'
_DEADLOCK = b'\x0f\x00\x00\x01\xff' + (1213).to_bytes(2, 'little') + b'#40001Deadlock'
_MOST = 65536


class Proxy(fixtures.Fixture):
    """A proxy on a port of its own. What it does can be changed at any time.

    ::

        proxy = self.useFixture(Proxy.to(url))
        use(proxy.url(url))
        proxy.mode = Mode.HOLE

    :ivar port: where it listens, on 127.0.0.1
    :ivar mode: a :class:`Mode`
    :ivar delay: how many seconds each piece of an answer waits
    :ivar drip: whether answers come a byte at a time, each after *delay*
    :ivar hole_after: after so many bytes of its answers a connection says nothing more
    :ivar commits: how many commits have been seen
    :ivar connections: how many connections have been made
    :ivar asked: what clients have sent, once a test has set it to a bytearray
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self.mode = Mode.PASS
        self._times: int | None = None
        self._then = Mode.PASS
        self.delay = 0.0
        self.drip = False
        self.hole_after: int | None = None
        self.commits = 0
        self.connections = 0
        self.asked: bytearray | None = None
        self._links: list[_Link] = []
        self._lock = threading.Lock()

    @classmethod
    def to(cls, url: str) -> 'Proxy':
        """A proxy to the server that a URL leads to."""
        parsed = sa.make_url(url)
        if parsed.host is None or parsed.port is None:
            raise AssertionError(f'{parsed!r} says no port')
        return cls(parsed.host, parsed.port)

    def url(self, url: str) -> str:
        """The same database through the proxy, unencrypted."""
        through = sa.make_url(url).set(host='127.0.0.1', port=self.port)
        return through.render_as_string(hide_password=False)

    def _setUp(self) -> None:  # noqa: N802
        self._listener = socket.create_server(('127.0.0.1', 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        self.addCleanup(self._stop)
        _start(self._accept)

    def act(self, mode: Mode, times: int | None = None, then: Mode = Mode.PASS) -> None:
        """Set the mode; those of commits act on so many of them, and *then* is the next mode."""
        self._times, self._then = times, then
        self.mode = mode
        if mode is Mode.CUT:
            self.cut()

    def cut(self) -> None:
        """Drop the connections that there are."""
        with self._lock:
            links, self._links = self._links, []
        for link in links:
            link.close()

    def _stop(self) -> None:
        self.mode = Mode.CUT
        # To close it would leave the thread that accepts as it is.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            _start(self._begin, client)

    def _begin(self, client: socket.socket) -> None:
        if self.mode is Mode.CUT:
            client.close()
            return
        link = _Link(self, client)
        with self._lock:
            self._links.append(link)
        if self.mode is Mode.HOLE:
            return
        try:
            link.connect(self._server)
        except OSError:
            link.close()

    def mode_at_commit(self) -> Mode:
        """What is to be done about one."""
        with self._lock:
            self.commits += 1
            mode = self.mode
            if mode not in _AT_COMMIT:
                return Mode.PASS
            if self._times is not None:
                self._times -= 1
                if not self._times:
                    self.mode = self._then
            return mode


class _Link:
    """A client's connection with that to the server."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server: socket.socket | None = None
        # What was decided about a COMMIT that is under way.
        self._at_commit = Mode.PASS
        self._answered = 0

    def connect(self, address: tuple[str, int]) -> None:
        self._server = server = socket.create_connection(address)
        for each in (self._client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _start(self._pump, self._client, server, self._ask)
        _start(self._pump, server, self._client, self._answer)

    def close(self) -> None:
        for each in (self._client, self._server):
            if each is not None:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

    def _pump(self, source: socket.socket, to: socket.socket, pass_on: Any) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_MOST):
                if self._proxy.mode is not Mode.HOLE or self._at_commit is not Mode.PASS:
                    pass_on(to, data)
        if self._proxy.mode is not Mode.HOLE and self._at_commit is not Mode.HOLE_AT_COMMIT:
            self.close()

    def _ask(self, server: socket.socket, data: bytes) -> None:
        if self._at_commit in (Mode.HOLE_AT_COMMIT, Mode.HOLE_COMMITTED):
            return
        if self._proxy.asked is not None:
            self._proxy.asked += data
        if any(commit in data for commit in _COMMITS):
            self._at_commit = self._proxy.mode_at_commit()
        if self._at_commit is Mode.CUT_COMMIT:
            self.close()
        elif self._at_commit is Mode.DEADLOCK_AT_COMMIT:
            server.sendall(_ROLLBACK)
        elif self._at_commit is not Mode.HOLE_AT_COMMIT:
            server.sendall(data)

    def _answer(self, client: socket.socket, data: bytes) -> None:
        if self._at_commit is Mode.CUT_COMMITTED:
            self.close()
            return
        if self._at_commit is Mode.DEADLOCK_AT_COMMIT:
            # In place of that to the ROLLBACK.
            self._at_commit, data = Mode.PASS, _DEADLOCK
        if self._at_commit in (Mode.HOLE_AT_COMMIT, Mode.HOLE_COMMITTED):
            return
        limit = self._proxy.hole_after
        if limit is not None:
            data = data[: max(0, limit - self._answered)]
        self._answered += len(data)
        for piece in _pieces(data, self._proxy.drip):
            if self._proxy.delay:
                time.sleep(self._proxy.delay)
            client.sendall(piece)


def _pieces(data: bytes, drip: bool) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))] if drip else [data]


def _start(function: Any, *args: Any) -> None:
    threading.Thread(target=function, args=args, daemon=True).start()
