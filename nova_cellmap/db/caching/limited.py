# SPDX-License-Identifier: Apache-2.0
"""A connection over which an answer is short, and comes in time, or does not come.

The time-out of a socket is that of each single read: a server that sends a byte now and then
is waited for without end, and one that sends without end is read.
"""

import socket
import time
from typing import Any


class TooLong(OSError):
    """An answer is longer than any that was asked for."""


class Limits:
    """What an answer may take."""

    def __init__(self) -> None:
        # On the clock of time.monotonic.
        self._end = float('inf')
        self._bytes = 0

    def allow(self, end: float, size: int) -> None:
        """Set what the next answer may take.

        :param end: when it has to be there, on the clock of ``time.monotonic``
        :param size: how many bytes it may have
        """
        self._end, self._bytes = end, size

    def seconds(self) -> float:
        """How many are left.

        :raises: TimeoutError where none are
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError('timed out')
        return left

    def count(self, size: int) -> None:
        """Count bytes that have come.

        :raises: TooLong
        """
        self._bytes -= size
        if self._bytes < 0:
            raise TooLong('the answer is too long')


class LimitedSocket:
    """A socket, in all that a client of memcached does with one."""

    def __init__(self, sock: socket.socket, limits: Limits) -> None:
        self._sock = sock
        self._limits = limits

    def recv(self, size: int) -> bytes:
        self._sock.settimeout(self._limits.seconds())
        data = self._sock.recv(size)
        self._limits.count(len(data))
        return data

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._limits.seconds())
        self._sock.sendall(data)

    def close(self) -> None:
        self._sock.close()


def client_class(client: Any) -> Any:
    """Return a class of memcached client whose ``limits`` hold for its connection."""

    class LimitedClient(client):  # type: ignore[misc]
        _limited: LimitedSocket | None = None

        @property
        def sock(self) -> LimitedSocket | None:
            return self._limited

        @sock.setter
        def sock(self, sock: socket.socket | None) -> None:
            self._limited = None if sock is None else LimitedSocket(sock, self.limits)

        @property
        def is_connected(self) -> bool:
            return self._limited is not None

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.limits = Limits()
            super().__init__(*args, **kwargs)

    return LimitedClient
