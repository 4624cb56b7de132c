# SPDX-License-Identifier: Apache-2.0
"""Percona XtraDB Cluster in its strict mode, as far as it refuses statements."""

import contextlib
import re
import socket
import socketserver
import struct
import threading

import fixtures
import sqlalchemy as sa

# What pxc_strict_mode = ENFORCING refuses, where the statement alone tells.
_REFUSED = re.compile(
    rb'\b(get_lock|release_lock|lock\s+tables?\b|flush\s+tables?\s.*with\s+read\s+lock'
    rb'|create\s+table\s.*\bas\s+select|(discard|import)\s+tablespace|xa\s+start)',
    re.IGNORECASE | re.DOTALL,
)
_ER_UNKNOWN_ERROR = 1105
_MESSAGE = (
    b'Percona-XtraDB-Cluster prohibits use of %s in cluster (pxc_strict_mode = ENFORCING). '
    b'Turn off pxc_strict_mode or remove the offending command'
)


class StrictCluster(fixtures.Fixture):
    """A proxy before a MariaDB that refuses what such a cluster does.

    :param url: of the server
    :ivar refused: the statements that were
    """

    def __init__(self, url: str) -> None:
        self._behind = sa.make_url(url)
        self.refused: list[bytes] = []

    def url(self, database: str) -> str:
        """A URL of a database behind the proxy."""
        through = self._behind.set(host='127.0.0.1', port=self._port, database=database)
        return through.render_as_string(hide_password=False)

    def _setUp(self) -> None:  # noqa: N802
        cluster = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                cluster.serve(self.request)

        server = socketserver.ThreadingTCPServer(('127.0.0.1', 0), Handler)
        server.daemon_threads = True
        server.block_on_close = False
        self._port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)

    def serve(self, client: socket.socket) -> None:
        address = (self._behind.host or '', self._behind.port or 3306)
        with contextlib.suppress(OSError), socket.create_connection(address) as server:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_pass_on, args=(server, client), daemon=True).start()
            with client.makefile('rb') as said:
                while len(header := said.read(4)) == 4:
                    packet = said.read(int.from_bytes(header[:3], 'little'))
                    if not self._refuse(client, header[3], packet):
                        server.sendall(header + packet)

    def _refuse(self, client: socket.socket, number: int, packet: bytes) -> bool:
        # The first of a conversation: what is in the handshake has other numbers.
        found = _REFUSED.search(packet) if number == 0 and packet[:1] == b'\3' else None
        if found is None:
            return False
        self.refused.append(packet[1:])
        error = b'\xff' + struct.pack('<H', _ER_UNKNOWN_ERROR) + b'#HY000' + _MESSAGE % found[0]
        client.sendall(len(error).to_bytes(3, 'little') + b'\1' + error)
        return True


def _pass_on(source: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            to.sendall(data)
        to.shutdown(socket.SHUT_RDWR)
