# SPDX-License-Identifier: Apache-2.0
"""A small HTTP server for monitoring, which nobody can hold up.

A request is a line and headers of a few kilobytes, and an answer is made of what is in memory.
Each connection is closed after its answer, and after some seconds in any case. Where there are
many at once, the oldest gives way: a client that is slow to ask keeps none from asking.
"""

import asyncio
from collections.abc import Callable, Mapping
import contextlib
import http
import logging
import os
import re
import socket
from typing import NamedTuple

from nova_cellmap import exception

LOG = logging.getLogger(__name__)

_MAX_HEAD = 8 * 1024
_MAX_CONNECTIONS = 32
# For a connection as a whole.
_SECONDS = 5.0

_REQUEST = re.compile(rb'([A-Z]{1,10}) (/[\x21-\x7e]{0,2000}) HTTP/1\.[01]')
_HOST_AND_PORT = re.compile(r'(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):([0-9]{1,5})')


class Address(NamedTuple):
    """Where it listens."""

    host: str
    port: int


class Answer(NamedTuple):
    """What a request is answered with."""

    status: http.HTTPStatus
    content_type: str
    body: bytes


def address(text: str) -> Address:
    """What ``[conductor] health`` says.

    :raises: InvalidOption
    """
    found = _HOST_AND_PORT.fullmatch(text)
    if found is None or not 0 < int(found[2]) < 65536:
        raise exception.InvalidOption(
            option='[conductor] health',
            reason=f'{text!r} is no address and port such as 127.0.0.1:9105 or [::1]:9105',
        )
    return Address(found[1].strip('[]'), int(found[2]))


def check(where: Address) -> None:
    """Find out whether there is a place to listen at.

    :raises: InvalidOption
    """
    try:
        for family, _, _, _, place in socket.getaddrinfo(
            *where, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            socket.create_server(place, family=family).close()
    except OSError as error:
        raise exception.InvalidOption(
            option='[conductor] health',
            reason=f'nobody can listen at {where.host} port {where.port}: {_reason(error)}',
        ) from None


def _reason(error: OSError) -> str:
    # create_server says the address once more; what is wrong with a name has a number below 0.
    number = error.errno or 0
    return os.strerror(number) if number > 0 else f'{error.strerror}'


class Server:
    """Answers GET and HEAD of some paths.

    :param pages: what makes the answer for a path, in a moment and without waiting
    :param most: how many connections there are at once
    :param seconds: how long each may last
    """

    def __init__(
        self,
        pages: Mapping[str, Callable[[], Answer]],
        *,
        most: int = _MAX_CONNECTIONS,
        seconds: float = _SECONDS,
    ) -> None:
        self._pages = pages
        self._most = most
        self._seconds = seconds
        # The oldest first.
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()

    def run(self, where: Address) -> None:
        """Serve until :meth:`stop` is called, by another thread.

        :raises: ``OSError`` where nobody can listen there
        """
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve(where))

    def stop(self) -> None:
        """End :meth:`run`. It may be called before, and more than once."""
        with contextlib.suppress(RuntimeError):
            # The loop is closed where it has ended already.
            self._loop.call_soon_threadsafe(self._ended.set)

    async def _serve(self, where: Address) -> None:
        server = await asyncio.start_server(self._connected, *where, limit=_MAX_HEAD)
        async with server:
            await self._ended.wait()
            server.close()
            connections = list(self._connections)
            for connection in connections:
                connection.cancel()
            await asyncio.gather(*connections, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= self._most:
            oldest = next(iter(self._connections))
            self._drop(oldest)
            oldest.cancel()
        task = self._loop.create_task(self._converse(reader, writer))
        self._connections[task] = writer
        task.add_done_callback(self._drop)

    def _drop(self, task: asyncio.Task[None]) -> None:
        """Close a connection, whether its task has ended, goes on or has not begun."""
        if task in self._connections:
            # Nothing waits for what the client has not read.
            self._connections.pop(task).transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client may be slow, gone, or have nothing to ask.
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(self._seconds):
                writer.write(await self._answer(reader))
                writer.close()
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b'\r\n\r\n')
        except asyncio.LimitOverrunError:
            return _packed(_error(http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))
        asked = _REQUEST.fullmatch(head.split(b'\r\n', 1)[0])
        if asked is None:
            return _packed(_error(http.HTTPStatus.BAD_REQUEST))
        if asked[1] not in (b'GET', b'HEAD'):
            return _packed(_error(http.HTTPStatus.METHOD_NOT_ALLOWED))
        answer = self._page(asked[2].split(b'?', 1)[0].decode())
        return _packed(answer, has_body=asked[1] == b'GET')

    def _page(self, path: str) -> Answer:
        page = self._pages.get(path)
        if page is None:
            return _error(http.HTTPStatus.NOT_FOUND)
        try:
            return page()
        except Exception:
            LOG.exception('%s could not be answered', path)
            return _error(http.HTTPStatus.INTERNAL_SERVER_ERROR)


def _error(status: http.HTTPStatus) -> Answer:
    return Answer(status, 'text/plain; charset=utf-8', f'{status.phrase}\n'.encode())


def _packed(answer: Answer, *, has_body: bool = True) -> bytes:
    headers = [
        f'HTTP/1.1 {answer.status.value} {answer.status.phrase}',
        f'Content-Type: {answer.content_type}',
        f'Content-Length: {len(answer.body)}',
        'Cache-Control: no-store',
        'X-Content-Type-Options: nosniff',
        'Connection: close',
    ]
    if answer.status is http.HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append('Allow: GET, HEAD')
    head = ''.join(f'{line}\r\n' for line in (*headers, '')).encode()
    return head + answer.body if has_body else head
