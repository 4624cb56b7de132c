# SPDX-License-Identifier: Apache-2.0
"""A server that speaks MySQL's protocol, and lies.

It has one table, ``instances``, and answers a query of it with whatever a test says.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
import contextlib
import re
import socket
import struct
import threading
from typing import Any

import fixtures

_COLUMNS = ('id', 'uuid', 'project_id', 'user_id', 'deleted', 'vm_state', 'hidden')
# What a program wants to know of a server.
_SETTINGS = {
    'VERSION()': '10.11.6-MariaDB',
    'max_allowed_packet': '16777216',
    'log_bin': '0',
    'binlog_format': 'MIXED',
    'sql_mode': '',
    'lower_case_table_names': '0',
    'isolation': 'READ-COMMITTED',
}
NUMBERS = ('id', 'deleted', 'hidden')
_OK = b'\x00\x00\x00\x02\x00\x00\x00'
_END = b'\xfe\x00\x00\x02\x00'
_TEXT, _BYTES = 33, 63

Row = Sequence[Any]
# What comes over the wire for a query, packet by packet.
Answer = Callable[[str], Iterable[bytes]]


class Rogue(fixtures.Fixture):
    """A server on a port of its own.

    :param answer: what it sends for a query of ``instances``: packets without their headers
    :param login: what it sends in place of letting the client in
    :ivar url: where it is
    :ivar queries: those that it was sent
    """

    def __init__(self, answer: Answer, login: bytes = _OK) -> None:
        self._answer = answer
        self._login = login
        self.queries: list[str] = []

    def _setUp(self) -> None:  # noqa: N802
        self._listener = socket.create_server(('127.0.0.1', 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        self.url = f'mysql+pymysql://nova:sekret@127.0.0.1:{self.port}/nova_cell'
        self._clients: list[socket.socket] = []
        self.addCleanup(self._stop)
        threading.Thread(target=self._accept, daemon=True).start()

    def _stop(self) -> None:
        for each in (self._listener, *self._clients):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, struct.error, IndexError):
            _send(client, 0, [_greeting()])
            _receive(client)
            _send(client, 2, [self._login])
            if self._login[:1] == b'\xfe':
                _receive(client)
                _send(client, 4, [b'\x01no public key'])
            while True:
                command = _receive(client)
                if command[:1] != b'\x03':
                    _send(client, 1, [_OK])
                    continue
                query = command[1:].decode()
                self.queries.append(query)
                _send(client, 1, self._said(query))

    def _said(self, query: str) -> Iterable[bytes]:
        if 'FROM instances' not in query:
            return _settings(query)
        if '*' in query.partition('FROM')[0]:
            return result([], _COLUMNS)
        return self._answer(query)


def columns_of(query: str) -> list[str]:
    """The columns that a query asks for."""
    names = query.partition('FROM')[0].removeprefix('SELECT').split(',')
    return [name.strip().rpartition('.')[2] for name in names]


def result(rows: Iterable[Row], names: Sequence[str], charset: int = _TEXT) -> Iterator[bytes]:
    """The packets of a result."""
    yield bytes([len(names)])
    for name in names:
        yield _column(name, charset)
    yield _END
    for row in rows:
        yield b''.join(b'\xfb' if value is None else _string(_as_bytes(value)) for value in row)
    yield _END


def error(number: int, text: str) -> bytes:
    return b'\xff' + struct.pack('<H', number) + b'#HY000' + text.encode()


def switch_to(plugin: str) -> bytes:
    """What asks a client for another way to log in."""
    return b'\xfe' + plugin.encode() + b'\0' + b'x' * 20 + b'\0'


def _greeting() -> bytes:
    capabilities = 0x1 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000
    return b''.join(
        (
            b'\x0a' + _SETTINGS['VERSION()'].encode() + b'\0',
            struct.pack('<I', 7) + b'x' * 8 + b'\0',
            struct.pack('<H', capabilities & 0xFFFF) + bytes([_TEXT]) + struct.pack('<H', 2),
            struct.pack('<H', capabilities >> 16) + bytes([21]) + b'\0' * 10,
            b'x' * 12 + b'\0' + b'mysql_native_password\0',
        )
    )


def _settings(query: str) -> Iterable[bytes]:
    if not re.match('select|show', query, re.IGNORECASE):
        return [_OK]
    asked = query.split(None, 1)[1].split(',')
    values = [
        next((value for name, value in _SETTINGS.items() if name in each), '0') for each in asked
    ]
    return result([values], [f'c{number}' for number in range(len(asked))])


def _column(name: str, charset: int) -> bytes:
    strings = (b'def', b'', b'instances', b'instances', name.encode(), name.encode())
    kind = 3 if name.startswith(NUMBERS) else 253
    fixed = struct.pack('<HIBHB', charset, 1024, kind, 0, 0)
    return b''.join(map(_string, strings)) + b'\x0c' + fixed + b'\0\0'


def _as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _string(value: bytes) -> bytes:
    if len(value) < 251:
        return bytes([len(value)]) + value
    if len(value) < 1 << 16:
        return b'\xfc' + struct.pack('<H', len(value)) + value
    return b'\xfd' + struct.pack('<I', len(value))[:3] + value


def _send(client: socket.socket, number: int, packets: Iterable[bytes]) -> None:
    for packet in packets:
        header = struct.pack('<I', len(packet))[:3] + bytes([number & 0xFF])
        client.sendall(header + packet)
        number += 1


def _receive(client: socket.socket) -> bytes:
    header = _exactly(client, 4)
    return _exactly(client, struct.unpack('<I', header[:3] + b'\0')[0])


def _exactly(client: socket.socket, length: int) -> bytes:
    data = b''
    while len(data) < length:
        piece = client.recv(length - len(data))
        if not piece:
            raise OSError('the client has gone')
        data += piece
    return data
