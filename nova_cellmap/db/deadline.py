# SPDX-License-Identifier: Apache-2.0
"""Ending what a server drags out.

A driver waits for a server as long as that pleases: PyMySQL's time-outs begin again with each
byte, psycopg2 has none. And either keeps whatever comes in memory. So a thread of ours looks at
what is under way, and closes the connection of what takes too long or sends too much; the driver
then finds the connection lost.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import functools
import os
import socket
import threading
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from nova_cellmap import runtime

# Seconds between two looks.
_TICK = 0.05
# Without anything under way the thread sleeps after so many seconds.
_IDLE = 5
# From <linux/tcp.h>: where tcp_info has how many bytes were received.
_BYTES_RECEIVED = slice(128, 136)


@dataclasses.dataclass(eq=False, slots=True)
class Watched:
    """Something that is under way.

    :ivar connection: the driver's connection, once there is one
    :ivar reason: why it was ended; empty where it was not
    """

    seconds: float
    most_bytes: int | None = None
    connection: Any = None
    reason: str = ''
    ends_at: float = 0
    received_before: int = 0

    def look(self, now: float) -> bool:
        """Whether it is over its limits, and was ended."""
        if now > self.ends_at:
            self._end(f'no answer within {self.seconds:g} s')
        elif self.most_bytes is not None:
            received = _received(self.connection) - self.received_before
            if received > self.most_bytes:
                self._end(f'it sent more than it was asked for, {received:,} bytes')
        return bool(self.reason)

    def _end(self, reason: str) -> None:
        self.reason = reason
        with contextlib.suppress(OSError), _socket_of(self.connection) as found:
            found.shutdown(socket.SHUT_RDWR)


class Overdue(sa.exc.DisconnectionError):
    """What was ended. SQLAlchemy's pool replaces a connection that says so when it is asked."""


@contextlib.contextmanager
def watching(
    seconds: float, most_bytes: int | None = None, connection: Any = None
) -> Iterator[Watched]:
    """A block that a server may not drag out.

    :param seconds: for how long it may take
    :param most_bytes: how many bytes the server may send; None: any number. Systems other than
        Linux do not tell
    :param connection: the driver's connection; may be set later, where it is made in the block
    :raises: Overdue in place of the error that the block raised when it was ended
    """
    watched = Watched(seconds, most_bytes, connection)
    watched.ends_at = time.monotonic() + seconds
    if most_bytes is not None and connection is not None:
        watched.received_before = _received(connection)
    _watcher.add(watched)
    try:
        yield watched
    except Exception as error:
        if watched.reason and not isinstance(error, Overdue):
            raise Overdue(watched.reason) from error
        raise
    finally:
        _watcher.remove(watched)


def limit(engine: sa.Engine, connect_seconds: float, seconds: float) -> None:
    """Have no single call of an engine's driver take longer.

    To be called after all that listens to connections: that is limited too.

    :param connect_seconds: for how long connecting may take
    :param seconds: for how long each other call may
    """
    for name in _CALLS:
        call = getattr(engine.dialect, name)
        setattr(engine.dialect, name, _limited(call, seconds))
    if engine.dialect.driver == 'pymysql':
        limited = _connect_limited(engine.dialect.connect, connect_seconds)
        engine.dialect.connect = limited  # type: ignore[method-assign]
    _limit_settling(engine, seconds)


# Of SQLAlchemy's dialects: what sends something and waits for the answer. The first argument is
# a cursor or a connection of the driver.
_CALLS = (
    'do_execute',
    'do_execute_no_params',
    'do_executemany',
    'do_commit',
    'do_rollback',
    'do_ping',
)


def _limited(call: Any, seconds: float) -> Any:
    @functools.wraps(call)
    def limited(asked: Any, *args: Any, **kwargs: Any) -> Any:
        # As watching() does it, for a third of its time: each lookup comes by here.
        watched = Watched(seconds, None, getattr(asked, 'connection', asked))
        watched.ends_at = time.monotonic() + seconds
        _watcher.add(watched)
        try:
            return call(asked, *args, **kwargs)
        except Exception as error:
            if watched.reason and not isinstance(error, Overdue):
                raise Overdue(watched.reason) from error
            raise
        finally:
            _watcher.remove(watched)

    return limited


def _connect_limited(connect: Any, seconds: float) -> Any:
    """PyMySQL's time-out of connecting ends where the server takes the connection."""

    @functools.wraps(connect)
    def limited(*args: Any, **kwargs: Any) -> Any:
        connection = connect(*args, **{**kwargs, 'defer_connect': True})
        with watching(seconds, connection=connection):
            connection.connect()
        return connection

    return limited


def _limit_settling(engine: sa.Engine, seconds: float) -> None:
    """Limit what a new connection is told before anybody has it."""
    stacks: dict[int, contextlib.ExitStack] = {}

    def begin(connection: Any, record: Any) -> None:
        stack = stacks[id(record)] = contextlib.ExitStack()
        stack.enter_context(watching(seconds, connection=connection))

    def end(connection: Any, record: Any) -> None:
        stacks.pop(id(record)).close()

    event.listen(engine, 'connect', begin, insert=True)
    event.listen(engine, 'connect', end)


class _Watcher(runtime.Part):
    """The thread of a process that looks, and what it looks at."""

    def __init__(self, owner: runtime.Parts) -> None:
        self._begin()

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._all: set[Watched] = set()
        self._is_running = False
        self._is_asleep = False

    def after_fork(self) -> bool:
        # The thread stays with the parent.
        self._begin()
        return True

    def add(self, watched: Watched) -> None:
        # To put something into a set, or to take it out, needs no lock.
        self._all.add(watched)
        if self._is_running and not self._is_asleep:
            return
        with self._changed:
            if self._is_running:
                self._changed.notify()
                return
            threading.Thread(target=self._run, name='deadlines', daemon=True).start()
            self._is_running = True

    def remove(self, watched: Watched) -> None:
        self._all.discard(watched)
        if watched.reason or time.monotonic() > watched.ends_at:
            # It may be under its hands: the connection is not to be closed, and its descriptor
            # used by another, in the meantime.
            with self._changed:
                pass

    def _run(self) -> None:
        seen_at = time.monotonic()
        with self._changed:
            while True:
                now = time.monotonic()
                # A copy: others come and go.
                for watched in self._all.copy():
                    seen_at = now
                    if watched.look(now):
                        self._all.discard(watched)
                # What begins something need not wake the thread each time, but has to where
                # nothing was there after it had said so.
                self._is_asleep = now - seen_at > _IDLE
                if self._is_asleep and self._all:
                    self._is_asleep = False
                self._changed.wait(None if self._is_asleep else _TICK)


def _received(connection: Any) -> int:
    """How many bytes have come over a connection; 0 where the system does not tell."""
    try:
        with _socket_of(connection) as found:
            info = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED.stop)
    except (OSError, AttributeError):
        return 0
    return int.from_bytes(info[_BYTES_RECEIVED], 'little') if len(info) == 136 else 0


def _socket_of(connection: Any) -> socket.socket:
    """Its socket, under another descriptor.

    :raises: OSError where there is none
    """
    # PyMySQL has no public name for it.
    holder: Any
    for holder in (connection, getattr(connection, '_sock', None)):
        with contextlib.suppress(Exception):
            return socket.socket(fileno=os.dup(holder.fileno()))
    raise OSError('there is no socket')


# Of all engines.
_watcher = runtime.process.part(_Watcher)
