# SPDX-License-Identifier: Apache-2.0
"""The memcached servers, and what befalls connections to them.

oslo.cache and dogpile.cache read the options; the commands go through connections of our
own. Theirs wait for a server without end, move the keys of one that is dead to another, which
then has old values when the first is back, and do not say over which connection a command goes.
"""

from collections import deque
from collections.abc import Callable, Iterable
import dataclasses
import functools
import hashlib
import logging
import threading
import time
from typing import Any, TypeVar

from oslo_config import cfg

from nova_cellmap import exception
from nova_cellmap.db.caching import limited

LOG = logging.getLogger(__name__)

_T = TypeVar('_T')
# pymemcache.Client. It is not imported where there is no cache.
Client = Any

BACKEND = 'dogpile.cache.pymemcache'
# For how many seconds lookups leave a server alone that failed.
_LEFT_ALONE = 5
# For how many seconds, at most, one that did not answer in time is waited for the next time.
_SHORT_TIMEOUT = 0.25
# How many bytes an answer may have: some, and so many for each key that is asked for. One value
# of others that is as long as memcached's can be, 1 MiB, does no harm.
_BYTES = 2 * 1024 * 1024
_BYTES_OF_A_KEY = 16 * 1024
# How many connections to a server are kept open between their uses.
_MOST_IDLE = 20


class Unavailable(Exception):
    """A server does not answer, or is left alone because it did not lately."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the options say of the servers; *timeout* is in seconds."""

    addresses: tuple[str, ...]
    timeout: float
    tls_context: Any = None
    keepalive: Any = None


def is_meant(conf: cfg.ConfigOpts) -> bool:
    """Whether ``[cache]`` of *conf* can be meant for lookups.

    The file may be Nova's, whose services take other backends.
    """
    return 'backend' in conf.cache and conf.cache.backend == BACKEND


def settings(conf: cfg.ConfigOpts) -> Settings:
    """What ``[cache]`` of *conf* says.

    :raises: InvalidOption where it names no memcached, or cannot be followed
    """
    if 'backend' not in conf.cache:
        raise exception.InvalidOption(
            option='[cache] enabled',
            reason="the cache needs oslo.cache: pip install 'nova-cellmap[cache]'",
        )
    if conf.cache.backend != BACKEND:
        raise exception.InvalidOption(
            option='[cache] backend',
            reason=f'{conf.cache.backend} cannot compare and swap: set {BACKEND}, '
            'or [cells] caching = false',
        )
    if _is_default(conf, 'memcache_servers'):
        raise exception.InvalidOption(
            option='[cache] memcache_servers',
            reason='name the servers, the same on all hosts: what one host changes, the others '
            'must learn',
        )
    if conf.cache.memcache_sasl_enabled or conf.cache.username:
        raise exception.InvalidOption(
            option='[cache] memcache_sasl_enabled', reason=f'{BACKEND} cannot log in'
        )
    backend = _backend(conf)
    addresses = tuple(sorted({_address(each) for each in backend.url}))
    if not addresses:
        raise exception.InvalidOption(option='[cache] memcache_servers', reason='there is none')
    return Settings(
        addresses, conf.cache.socket_timeout, backend.tls_context, backend.socket_keepalive
    )


def _is_default(conf: cfg.ConfigOpts, option: str) -> bool:
    location = conf.get_location(option, 'cache')
    return location is None or location.location is cfg.Locations.opt_default


def _backend(conf: cfg.ConfigOpts) -> Any:
    """dogpile.cache's backend, as oslo.cache makes it from the options."""
    import oslo_cache

    try:
        region = oslo_cache.configure_cache_region(conf, oslo_cache.create_region())
    except ImportError as error:
        raise exception.InvalidOption(
            option='[cache] backend', reason=f"{error}: pip install 'nova-cellmap[cache]'"
        ) from None
    except (oslo_cache.exception.ConfigurationError, OSError) as error:
        # The second is that of a file with certificates.
        raise exception.InvalidOption(option='[cache]', reason=str(error)) from None
    return region.actual_backend


def _address(text: str) -> str:
    """An address as pymemcache takes it, where it is written as for python-memcached."""
    for family in ('inet6:', 'inet:'):
        text = text.removeprefix(family)
    return text.strip()


class Server:
    """A server and the idle connections to it. Threads may share it."""

    def __init__(self, address: str, settings: Settings) -> None:
        self.address = address
        self._settings = settings
        self.forget_connections()
        self._has_failed = False
        self._was_silent = False
        # On the clock of time.monotonic.
        self._left_alone_until = 0.0

    def forget_connections(self) -> None:
        """Begin without connections, in a child of a fork: those here are its parent's."""
        self._idle: deque[Client] = deque(maxlen=_MOST_IDLE)
        self._lock = threading.Lock()

    @property
    def timeout(self) -> float:
        """For how many seconds the server is waited for, with all that it is asked at once."""
        timeout = self._settings.timeout
        return min(timeout, _SHORT_TIMEOUT) if self._was_silent else timeout

    def ask(
        self,
        question: Callable[[Client], _T],
        keys: int,
        *,
        end: float | None = None,
        insist: bool = False,
    ) -> tuple[Client, _T]:
        """Ask the server; the connection is the caller's until it is given back.

        One that was lost while it lay idle is met by a second try, on a new one.

        :param question: is called with the connection; perhaps twice
        :param keys: how many it asks for
        :param end: until when an answer is of use, on the clock of ``time.monotonic``
        :param insist: ask a server that is left alone, too
        :returns: the connection and what *question* answered
        :raises: Unavailable
        """
        now = time.monotonic()
        if end is not None and end <= now:
            # What has taken the time was another server.
            raise Unavailable(self.address)
        if not insist and self._is_left_alone():
            raise Unavailable(self.address)
        end = now + self.timeout if end is None else min(end, now + self.timeout)
        put = functools.partial(self._put, question, keys=keys, end=end)
        client = self._idle_client()
        if client is not None:
            try:
                return client, put(client)
            except TimeoutError as error:
                raise self._failed(error) from None
            except Exception:
                self.close_idle()
        client = self._new_client()
        try:
            answer = put(client)
        except Exception as error:
            raise self._failed(error) from None
        self._succeeded()
        return client, answer

    def tell(self, question: Callable[[Client], _T], keys: int) -> _T:
        """Ask the server, left alone or not.

        :raises: Unavailable
        """
        client, answer = self.ask(question, keys, insist=True)
        self.give_back(client)
        return answer

    def go_on(self, question: Callable[[Client], None], client: Client) -> None:
        """Ask once more, over the very connection of an answer before.

        :raises: Unavailable, also where that connection is lost
        """
        if not client.is_connected:
            # The client would connect again, perhaps to a server that was restarted.
            raise Unavailable(self.address)
        try:
            self._put(question, client, keys=0, end=time.monotonic() + self.timeout)
        except Exception as error:
            raise self._failed(error) from None

    def give_back(self, client: Client) -> None:
        """Leave a connection to others; one that was closed is no use to them."""
        if client.is_connected:
            self._idle.append(client)

    def _put(
        self, question: Callable[[Client], _T], client: Client, *, keys: int, end: float
    ) -> _T:
        client.limits.allow(end, _BYTES + _BYTES_OF_A_KEY * keys)
        try:
            return question(client)
        except BaseException:
            # Also of a thread that is told to end: an answer may still be under way.
            client.close()
            raise

    def _idle_client(self) -> Client | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _new_client(self) -> Client:
        return _client_class()(
            self.address,
            connect_timeout=self.timeout,
            no_delay=True,
            default_noreply=False,
            socket_keepalive=self._settings.keepalive,
            tls_context=self._settings.tls_context,
        )

    def close_idle(self) -> None:
        """Close the connections that nobody uses."""
        while (client := self._idle_client()) is not None:
            client.close()

    def _is_left_alone(self) -> bool:
        """Whether it failed lately. When the time has passed, one call is let through."""
        with self._lock:
            if not self._has_failed:
                return False
            now = time.monotonic()
            if now < self._left_alone_until:
                return True
            self._left_alone_until = now + _LEFT_ALONE
            return False

    def _failed(self, error: Exception) -> Unavailable:
        self.close_idle()
        with self._lock:
            is_news = not self._has_failed
            self._has_failed = True
            self._was_silent = isinstance(error, TimeoutError)
            self._left_alone_until = time.monotonic() + _LEFT_ALONE
        if is_news:
            LOG.warning(
                'memcached %s does not answer (%s): lookups of its keys go to the database',
                self.address,
                str(error) or type(error).__name__,
            )
        return Unavailable(self.address)

    def _succeeded(self) -> None:
        with self._lock:
            is_news = self._has_failed
            self._has_failed = self._was_silent = False
        if is_news:
            LOG.info('memcached %s answers again', self.address)


@functools.cache
def _client_class() -> Any:
    import pymemcache

    return limited.client_class(pymemcache.Client)


class Servers:
    """All servers. A key lives on one, and on no other while that is dead.

    :ivar timeout: for how many seconds they are waited for
    """

    def __init__(self, settings: Settings) -> None:
        self.timeout = settings.timeout
        self._servers = [Server(address, settings) for address in settings.addresses]

    def of(self, keys: Iterable[str]) -> dict[Server, list[str]]:
        """The keys of each server that has any."""
        by_server: dict[Server, list[str]] = {}
        for key in keys:
            by_server.setdefault(self._server_of(key), []).append(key)
        return by_server

    def close_connections(self) -> None:
        for server in self._servers:
            server.close_idle()

    def forget_connections(self) -> None:
        for server in self._servers:
            server.forget_connections()

    def _server_of(self, key: str) -> Server:
        if len(self._servers) == 1:
            return self._servers[0]

        # Rendezvous hashing: the same in every process, and in whatever order they are listed.
        def weight(server: Server) -> bytes:
            return hashlib.blake2b(f'{server.address} {key}'.encode(), digest_size=8).digest()

        return max(self._servers, key=weight)
