# SPDX-License-Identifier: Apache-2.0
"""The connections to cells' databases and message queues that are kept open.

They are kept by what they connect to. A cell whose URL was changed is another place: a caller
that loads its mapping is led there at once, and what led to the old place is closed as soon as
nobody is in it.
"""

import collections
from collections.abc import Collection, Iterator
import contextlib
import dataclasses
import datetime
import functools
import logging
import os
import threading
import time
from typing import Any

from oslo_config import cfg
from oslo_db import options as oslo_db_options
from oslo_db.sqlalchemy import enginefacade

from nova_cellmap import exception
from nova_cellmap import rpc
from nova_cellmap import runtime
from nova_cellmap import url
from nova_cellmap.cells import database
from nova_cellmap.objects.cell_mapping import CellMapping

LOG = logging.getLogger(__name__)

# The URLs of a cell's database and message queue.
Place = tuple[str, str]


def place_of(cell: CellMapping) -> Place:
    """What the connections to a cell are kept by."""
    return cell.database_connection, cell.transport_url


class Connections:
    """What leads to one place. Nothing is connected before it is used.

    :ivar cells: the uuids of the cells that are there
    :ivar users: how many blocks use it now
    :ivar used_at: when one last began or ended
    """

    def __init__(self, place: Place, conf: cfg.ConfigOpts) -> None:
        self.place = place
        self.cells: set[str] = set()
        self.users = 0
        self.used_at = time.monotonic()
        self._conf = conf
        self._lock = threading.Lock()
        self._database: Any = None
        self._transport: Any = None

    @property
    def is_needed(self) -> bool:
        return bool(self.users or self.cells)

    def database(self, cell: CellMapping) -> Any:
        """The enginefacade; None where there is no database.

        :raises: CellUnreachable where the URL leads nowhere
        """
        if url.is_none(cell.database_connection):
            return None
        with self._lock:
            if self._database is None:
                self._database = _database(cell, self._conf)
            return self._database

    def transport(self, cell: CellMapping) -> Any:
        """The transport; None where there is no message queue.

        :raises: InvalidURL
        """
        if url.is_none(cell.transport_url):
            return None
        with self._lock:
            if self._transport is None:
                self._transport = _transport(cell, self._conf)
            return self._transport

    def close(self) -> None:
        if self._database is not None and self._database.is_started:
            self._database.writer.get_engine().dispose()
        if self._transport is not None:
            # It may wait for connections that look for a lost message queue.
            threading.Thread(target=_clean_up, args=(self._transport,), daemon=True).start()


def _database(cell: CellMapping, conf: cfg.ConfigOpts) -> Any:
    settings = {
        # All of them, or oslo.db would look into the process' global configuration.
        **{opt.dest: opt.default for opt in oslo_db_options.database_opts},
        'connection': database.engine_url(cell, conf),
        'max_pool_size': conf.cells.max_pool_size,
        'max_overflow': conf.cells.max_overflow,
        # The caller tells of a failure at once, and may try again.
        'max_retries': 0,
        # Each session says its own.
        'mysql_sql_mode': None,
    }
    manager: Any = enginefacade.transaction_context()
    manager.configure(thread_checkin=False, **settings)
    manager.append_on_engine_create(functools.partial(database.set_up, conf=conf))
    return manager


def _transport(cell: CellMapping, conf: cfg.ConfigOpts) -> Any:
    whose = f'the transport_url of cell {cell.identity}'
    if url.is_template(cell.transport_url):
        raise exception.InvalidURL(
            reason=f'{whose}, {url.mask(cell.transport_url)}, is a template; '
            'set [DEFAULT] transport_url to fill it from'
        )
    try:
        url.check_cell_transport(cell.transport_url)
    except url.InvalidURL as error:
        raise exception.InvalidURL(reason=f'{whose}: {error}') from None
    return rpc.transport(conf, cell.transport_url, whose=whose)


def _clean_up(transport: Any) -> None:
    try:
        transport.cleanup()
    except Exception as error:
        LOG.warning('A message queue could not be left in good order: %s', error)


@dataclasses.dataclass
class _Seen:
    """Where a cell is, and when its mapping was written that says so."""

    place: Place
    written_at: datetime.datetime | None

    @classmethod
    def in_(cls, cell: CellMapping) -> '_Seen':
        times = (getattr(cell, name) for name in ('updated_at', 'created_at') if name in cell)
        return cls(place_of(cell), next((each for each in times if each), None))

    def is_older_than(self, other: '_Seen') -> bool:
        if self.written_at is None or other.written_at is None:
            return False
        return self.written_at < other.written_at


# More blocks in a row in a place that seems old, and none in the newer one, say that it is not.
_DOUBTS = 3


class OpenConnections(runtime.Part):
    """The connections of a runtime."""

    def __init__(self, owner: runtime.Runtime) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._conf = owner.conf
        # The one that was used last is the last.
        self._kept: collections.OrderedDict[Place, Connections] = collections.OrderedDict()
        self._seen: dict[str, _Seen] = {}
        # How often in a row each was somewhere else by a mapping that seemed older.
        self._doubted: collections.Counter[str] = collections.Counter()

    def __len__(self) -> int:
        return len(self._kept)

    @contextlib.contextmanager
    def using(self, cell: CellMapping) -> Iterator[Connections]:
        """A block in which the connections to a cell stay open."""
        with self._closing() as unneeded:
            connections = self._of(_Seen.in_(cell), cell.uuid, unneeded)
            connections.users += 1
            self._touch(connections)
            unneeded += self._forget(self._surplus())
        try:
            yield connections
        finally:
            self._leave(connections)

    def forget(self, uuids: Collection[str]) -> None:
        """Close what leads to these cells and to no other, as soon as nobody is in it."""
        with self._closing() as unneeded:
            for uuid in uuids:
                unneeded += self._move_away(uuid)

    def forget_all_but(self, uuids: Collection[str]) -> None:
        """Close what leads to other cells, as soon as nobody is in it."""
        self.forget(self._seen.keys() - uuids)

    def close(self) -> None:
        """Close everything that nobody is in, and the rest as soon as nobody is."""
        with self._closing() as unneeded:
            unneeded += self._forget(self._kept.values())

    def _leave(self, connections: Connections) -> None:
        if os.getpid() != self._pid:
            # They are the parent's, and the lock may be held by a thread that is not here.
            return
        with self._closing() as unneeded:
            connections.users -= 1
            self._touch(connections)
            if not connections.is_needed:
                unneeded += self._drop(connections)
            unneeded += self._forget(self._surplus())

    @contextlib.contextmanager
    def _closing(self) -> Iterator[list[Connections]]:
        """A block with the lock; what it puts into the list is closed without the lock."""
        unneeded: list[Connections] = []
        with self._lock:
            yield unneeded
        for connections in unneeded:
            connections.close()

    # Those below are called with the lock, and answer what is to be closed.

    def _of(self, seen: _Seen, uuid: str, unneeded: list[Connections]) -> Connections:
        before = self._seen.get(uuid)
        # A caller with a mapping from before the URL was changed is led to the old place, but
        # the next one will not find it open.
        is_outdated = self._is_outdated(seen, before, uuid)
        if before is not None and before.place != seen.place and not is_outdated:
            unneeded += self._move_away(uuid)
        connections = self._kept.get(seen.place)
        if connections is None:
            connections = self._kept[seen.place] = Connections(seen.place, self._conf)
        if not is_outdated:
            self._seen[uuid] = seen
            connections.cells.add(uuid)
        return connections

    def _is_outdated(self, seen: _Seen, before: _Seen | None, uuid: str) -> bool:
        if before is None or not seen.is_older_than(before):
            self._doubted.pop(uuid, None)
            return False
        # Times are of those who wrote, and one's clock may be wrong: where nobody knows of the
        # newer place any more, it was.
        self._doubted[uuid] += 1
        return self._doubted[uuid] <= _DOUBTS

    def _touch(self, connections: Connections) -> None:
        connections.used_at = time.monotonic()
        if self._kept.get(connections.place) is connections:
            self._kept.move_to_end(connections.place)

    def _surplus(self) -> list[Connections]:
        """What was not used for too long, and what is too many; not what is in use."""
        oldest = time.monotonic() - self._conf.cells.idle_timeout
        too_many = len(self._kept) - self._conf.cells.max_open_cells
        surplus: list[Connections] = []
        for connections in self._kept.values():
            if connections.used_at > oldest and len(surplus) >= too_many:
                break
            if not connections.users:
                surplus.append(connections)
        return surplus

    def _move_away(self, uuid: str) -> list[Connections]:
        seen = self._seen.pop(uuid, None)
        connections = self._kept.get(seen.place) if seen else None
        if connections is None:
            return []
        connections.cells.discard(uuid)
        return [] if connections.is_needed else self._drop(connections)

    def _forget(self, some: Collection[Connections]) -> list[Connections]:
        unneeded = []
        for connections in list(some):
            for uuid in connections.cells:
                self._seen.pop(uuid, None)
            connections.cells.clear()
            self._kept.pop(connections.place, None)
            if not connections.users:
                unneeded.append(connections)
        return unneeded

    def _drop(self, connections: Connections) -> list[Connections]:
        if self._kept.get(connections.place) is connections:
            del self._kept[connections.place]
        return [connections]
