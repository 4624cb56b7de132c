# SPDX-License-Identifier: Apache-2.0
"""The rows of ``instance_mapping`` that lookups found, kept in memcached for the next ones.

What is there under the key of an instance is one of three things:

- a *value*, the row: never that there is none, and never a cell, which has passwords;
- a *lease*, for some seconds: the right of one lookup, which found nothing there, to put the
  value in. It does so by compare-and-swap once it has read the database, and so to no effect
  where anything has happened to the key meanwhile;
- a *tombstone*: a transaction that has not ended yet changes the row. It is set while the
  transaction holds the row's lock, and removed after its end by who has set it.

A process that finds another's lease or a tombstone reads the database and leaves the key alone.
So a lookup that begins after a change has been made cannot find what was before. A writer that is
killed leaves its tombstone, which expires.

The compare-and-swap goes over the connection over which the lease was taken: a memcached that
was restarted counts from the beginning, and could take an old number for one of its own.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
import contextlib
import functools
import hashlib
import logging
import secrets
import threading
import time

from oslo_config import cfg

from nova_cellmap import exception
from nova_cellmap import runtime
from nova_cellmap.conf import files
from nova_cellmap.db.caching import cached_row
from nova_cellmap.db.caching import memcached

LOG = logging.getLogger(__name__)

Row = cached_row.Row

# How an item begins. A value begins with the version of its format; that is not in the key, since
# releases that run side by side share the tombstones.
_LEASE = b'L'
_TOMBSTONE = b'T'
# For how many seconds they stand: longer than a lookup takes, and than a transaction.
_LEASE_SECONDS = 10
_TOMBSTONE_SECONDS = 60
# memcached takes what is longer for a point in time.
_LONGEST = 30 * 24 * 3600
# How often an item is tried to be removed that others change at the same time.
_TRIES = 5
# How many seconds to wait before a server is told again what it has not acknowledged.
_AGAIN_AFTER = 1


class Lookup:
    """What the cache has of some instances, and the right to add what it has not.

    :param end: until when memcached is waited for, on the clock of ``time.monotonic``
    :ivar rows: the rows that were found, by instance uuid
    """

    def __init__(self, prefix: str, seconds: int, end: float) -> None:
        self.rows: dict[str, Row] = {}
        self._prefix = prefix
        self._seconds = seconds
        self._end = end
        self._lease = _LEASE + _token()
        # Of each server the connection and, by key, the numbers of the leases.
        self._leases: list[tuple[memcached.Server, memcached.Client, dict[str, bytes]]] = []

    def ask(self, server: memcached.Server, keys: list[str]) -> None:
        def get_or_lease(client: memcached.Client) -> tuple[dict[str, bytes], dict[str, bytes]]:
            found = client.get_many(keys)
            missing = [key for key in keys if key not in found]
            if not missing:
                return found, {}
            for key in missing:
                client.add(key, self._lease, expire=_LEASE_SECONDS, noreply=True)
            return found, {
                key: number
                for key, (item, number) in client.gets_many(missing).items()
                if item == self._lease
            }

        try:
            client, (found, leases) = server.ask(get_or_lease, len(keys), end=self._end)
        except memcached.Unavailable:
            return
        self._leases.append((server, client, leases))
        for key, item in found.items():
            uuid = key.removeprefix(self._prefix)
            row = cached_row.unpacked(item, uuid)
            if row is not None:
                self.rows[uuid] = row

    def fill(self, rows: Iterable[Row]) -> None:
        """Put in rows that were read from the database since."""
        items = {self._prefix + row['instance_uuid']: cached_row.packed(row) for row in rows}
        for server, client, leases in self._leases:
            swap = functools.partial(_swap, items=items, leases=leases, seconds=self._seconds)
            with contextlib.suppress(memcached.Unavailable):
                server.go_on(swap, client)

    def end(self) -> None:
        for server, client, _ in self._leases:
            server.give_back(client)


class Cache:
    """The cached rows.

    :param prefix: what the keys begin with; the same for all who share the mapping
    :param seconds: for how long a value is kept
    """

    def __init__(self, servers: memcached.Servers, prefix: str, seconds: int) -> None:
        self._servers = servers
        self._prefix = prefix
        self._seconds = min(seconds, _LONGEST)
        self._unsaid = _Unsaid(self)

    def find(
        self, uuids: Sequence[str], read: Callable[[Sequence[str]], Iterable[Row]]
    ) -> list[Row]:
        """The rows of instances, in no order: those that are kept, and what is read of the rest.

        :param read: reads rows from the database, as what is committed when it is called; what
            a replica that lags answers must not be kept
        """
        with self.looking_up(uuids) as lookup:
            rows = list(lookup.rows.values())
            missing = [uuid for uuid in uuids if uuid not in lookup.rows]
            if missing:
                found = list(read(missing))
                lookup.fill(found)
                rows += found
        return rows

    @contextlib.contextmanager
    def looking_up(self, uuids: Iterable[str]) -> Iterator[Lookup]:
        """A block in which those that were not found are read from the database."""
        end = time.monotonic() + self._servers.timeout
        lookup = Lookup(self._prefix, self._seconds, end)
        keys = [key for key in self._keys(uuids) if key not in self._unsaid]
        try:
            for server, theirs in self._servers.of(keys).items():
                lookup.ask(server, theirs)
            yield lookup
        finally:
            lookup.end()

    def hide(self, uuids: Iterable[str], token: bytes) -> None:
        """Set the tombstones of instances whose rows are locked, and about to be committed."""

        for server, keys in self._servers.of(self._keys(uuids)).items():
            tombstones = dict.fromkeys(keys, _TOMBSTONE + token)
            with contextlib.suppress(memcached.Unavailable):
                server.tell(functools.partial(_bury, tombstones=tombstones), len(keys))

    def show(self, uuids: Iterable[str], token: bytes, *, are_changed: bool) -> None:
        """Remove the tombstones, and all else that is there but others' tombstones.

        :param are_changed: tell a server that does not acknowledge it again, until it does or
            its values have expired. Where nothing was changed, they are right as they are.
        """
        keys = self._keys(uuids)
        unsaid = self.remove(keys, _TOMBSTONE + token)
        if are_changed:
            self._unsaid.add(unsaid, self._seconds + _LEASE_SECONDS)

    def remove(self, keys: Iterable[str], tombstone: bytes = b'') -> list[str]:
        """Remove what is there under these keys but tombstones other than this one.

        :returns: the keys of which that was not acknowledged
        """
        failed = []
        for server, theirs in self._servers.of(keys).items():
            try:
                remove = functools.partial(_remove, keys=theirs, tombstone=tombstone)
                server.tell(remove, len(theirs))
            except memcached.Unavailable:
                failed += theirs
        return failed

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._servers.close_connections()

    def begin_again(self) -> None:
        """Know of no connection and no thread, in a child of a fork: they are its parent's."""
        self._servers.forget_connections()
        self._unsaid = _Unsaid(self)

    def _keys(self, uuids: Iterable[str]) -> list[str]:
        return [
            self._prefix + uuid
            for uuid in uuids
            # Others are not cached: memcached's keys have no spaces, nor may they be long.
            if cached_row.is_uuid(uuid)
        ]


class _Unsaid:
    """The keys that a server has not acknowledged the removal of, and a thread that goes on."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        # Until when it is tried, on the clock of time.monotonic.
        self._until: dict[str, float] = {}
        self._is_running = False

    def __contains__(self, key: str) -> bool:
        return key in self._until

    def add(self, keys: Collection[str], seconds: float) -> None:
        if not keys:
            return
        with self._lock:
            self._until.update(dict.fromkeys(keys, time.monotonic() + seconds))
            is_running, self._is_running = self._is_running, True
        if not is_running:
            LOG.warning('memcached did not take note of a change: telling it again until it does')
            threading.Thread(target=self._run, name='nova_cellmap-cache', daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(_AGAIN_AFTER)
            with self._lock:
                now = time.monotonic()
                self._until = {key: end for key, end in self._until.items() if end > now}
                tried = dict(self._until)
                if not tried:
                    self._is_running = False
                    return
            failed = set(self._cache.remove(tried))
            with self._lock:
                for key in tried.keys() - failed:
                    # Unless it was changed once more, unsaid again.
                    if self._until.get(key) == tried[key]:
                        del self._until[key]


def _swap(
    client: memcached.Client, items: dict[str, bytes], leases: dict[str, bytes], seconds: int
) -> None:
    for key in leases.keys() & items.keys():
        client.cas(key, items[key], leases[key], expire=seconds, noreply=True)


def _bury(client: memcached.Client, tombstones: dict[str, bytes]) -> None:
    client.set_many(tombstones, expire=_TOMBSTONE_SECONDS)


def _remove(client: memcached.Client, keys: list[str], tombstone: bytes) -> None:
    """:raises: Unavailable where something is left that should not be"""
    for _ in range(_TRIES):
        numbers = {
            key: number
            for key, (item, number) in client.gets_many(keys).items()
            if item == tombstone or not item.startswith(_TOMBSTONE)
        }
        if not numbers:
            return
        for key, number in numbers.items():
            # There is no removal by compare-and-swap, but one that expires at once.
            client.cas(key, b'', number, expire=-1, noreply=True)
    raise memcached.Unavailable


def _token() -> bytes:
    return secrets.token_hex(8).encode()


def new_token() -> bytes:
    """What tells the tombstones of a transaction from all others."""
    return _token()


class _Configured(runtime.Part):
    """The cache of a runtime.

    :ivar cache: what ``[cache]`` says; None where that is off
    """

    def __init__(self, owner: runtime.Runtime) -> None:
        self.cache = _made_of(owner.conf)

    def close(self) -> None:
        if self.cache is not None:
            self.cache.close()

    def after_fork(self) -> bool:
        if self.cache is not None:
            self.cache.begin_again()
        return True


def of(owner: runtime.Runtime) -> Cache | None:
    """The cache of a runtime; None where it has none.

    :raises: InvalidOption
    """
    return owner.part(_Configured).cache


def _made_of(conf: cfg.ConfigOpts) -> Cache | None:
    if not (conf.cache.enabled and conf.cells.caching):
        return None
    if files.is_default(conf, 'cells', 'caching') and not memcached.is_meant(conf):
        LOG.debug('[cache] is meant for others: lookups are not cached')
        return None
    database = conf.api_database
    if database.slave_connection and not database.synchronous_reader:
        raise exception.InvalidOption(
            option='[api_database] slave_connection',
            reason='what a replica answers may be old and cannot be cached: set '
            'synchronous_reader = true, or [cells] caching = false',
        )
    servers = memcached.Servers(memcached.settings(conf))
    digest = hashlib.sha256(conf.cache.config_prefix.encode()).hexdigest()[:16]
    return Cache(servers, f'nova_cellmap:{digest}:', conf.cache.expiration_time)
