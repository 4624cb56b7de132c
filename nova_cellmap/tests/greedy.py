# SPDX-License-Identifier: Apache-2.0
"""Database servers that ask for more than is theirs: small, and real ones on TCP."""

from collections.abc import Callable
import contextlib
import socket
import struct
import threading

import testtools

_Talk = Callable[[socket.socket], None]


class Server:
    """A server that lives as long as a test, and keeps what it was sent.

    :param talk: what it says to each that connects
    :ivar heard: all that clients have sent
    """

    def __init__(self, test: testtools.TestCase, talk: _Talk) -> None:
        self.heard = b''
        self._talk = talk
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        test.addCleanup(self._thread.join, 10)
        test.addCleanup(self._stop)

    def _stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                self._talk(connection)

    def hear(self, connection: socket.socket) -> bytes:
        """What a client says next; nothing where it has gone or is silent."""
        try:
            said = connection.recv(65536)
        except OSError:
            said = b''
        self.heard += said
        return said


def mysql(test: testtools.TestCase, *, plugin: bytes = b'', statement: bytes = b'') -> Server:
    """A MySQL server.

    :param plugin: how it asks the client to log in, once more, after its first try
    :param statement: the packet that answers each statement; OK by default
    """
    ok = b'\0\0\0\x02\0\0\0'

    def packet(number: int, body: bytes) -> bytes:
        return struct.pack('<I', len(body))[:3] + bytes([number]) + body

    def talk(connection: socket.socket) -> None:
        # Protocol 4.1, log in by plugins, no TLS.
        flags = 0x00FFF7FF & ~0x0800 | 0x00080000 | 0x00008000
        hello = (
            b'\n8.0.30\0'
            + struct.pack('<I', 7)
            + b'12345678\0'
            + struct.pack('<HBHHB', flags & 0xFFFF, 45, 2, flags >> 16, 21)
            + bytes(10)
            + b'123456789012\0mysql_native_password\0'
        )
        connection.sendall(packet(0, hello))
        server.hear(connection)
        number = 2
        if plugin:
            connection.sendall(packet(number, b'\xfe' + plugin + b'\0' + b'\x04Password: '))
            if not server.hear(connection):
                return
            number += 2
        connection.sendall(packet(number, ok))
        while server.hear(connection):
            connection.sendall(packet(1, statement or ok))
            if statement:
                # What comes now is the file, if anything does.
                server.hear(connection)
                connection.sendall(packet(3, ok))

    server = Server(test, talk)
    return server


def postgresql(test: testtools.TestCase) -> Server:
    """A PostgreSQL server without TLS that asks for the password in clear text."""

    def talk(connection: socket.socket) -> None:
        while said := server.hear(connection):
            if said[4:8] in (b'\x04\xd2\x16\x2f', b'\x04\xd2\x16\x30'):
                connection.sendall(b'N')
            else:
                connection.sendall(b'R' + struct.pack('>II', 8, 3))

    server = Server(test, talk)
    return server
