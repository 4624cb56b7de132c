# SPDX-License-Identifier: Apache-2.0
"""What is bound to one mapping database: its engines, its caches, the connections to its cells.

A program has one runtime, the default, which :func:`nova_cellmap.configure` makes. One that
works on several mapping databases makes a :class:`Runtime` for each further one, and gives it to
the contexts that are to work on that::

    other = runtime.Runtime(conf)
    ctxt = get_admin_context(runtime=other)

What a runtime owns are its parts. Each module that has something to keep has a kind of part, and
asks a runtime for its own; this module knows none of them.
"""

import os
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
import weakref

from oslo_config import cfg

from nova_cellmap import conf as options
from nova_cellmap import exception

_Part = TypeVar('_Part', bound='Part')


class Part:
    """What a runtime has of one kind. It is made when the runtime is first asked for it.

    It keeps what it needs of its owner, and not the owner, which would live as long as it.
    """

    def __init__(self, owner: Any) -> None:
        pass

    def close(self) -> None:
        """Close what is open. Where it is used once more, it is opened once more."""

    def after_fork(self) -> bool:
        """Whether a child of a fork can use it, where it has just been called.

        One that it cannot use is left as it is, since its connections are the parent's and its
        locks may be held by threads that are not there; the child makes another.
        """
        return False


class Parts:
    """Where parts are kept, one of each kind. Threads may share it."""

    def __init__(self) -> None:
        self._parts = _Made(self)
        # A lookup asks several times: so no function of Python's is called.
        self.part = self._parts.__getitem__  # type: ignore[assignment]
        _owners.add(self)

    if TYPE_CHECKING:

        def part(self, kind: type[_Part]) -> _Part:
            """The part of a kind. The caller has to keep the owner, and not only the part."""

    def close(self) -> None:
        """Close what the parts have open. Where one is used once more, it is opened once more."""
        _close(self._parts)

    def after_fork(self) -> None:
        """Be ready in a child of a fork."""
        self._parts.lock = threading.RLock()
        for kind, part in list(self._parts.items()):
            if not part.after_fork():
                leave_to_parent(self._parts.pop(kind))


class _Made(dict[Any, Any]):
    """The parts of an owner, by kind."""

    def __init__(self, owner: Parts) -> None:
        self.lock = threading.RLock()
        self._owner = weakref.ref(owner)

    def __missing__(self, kind: Any) -> Any:
        with self.lock:
            if kind not in self:
                self[kind] = kind(self._owner())
            return self[kind]


class Runtime(Parts):
    """What is bound to the mapping database of a configuration.

    It is closed by :meth:`close`, or when nobody has it any longer.

    :param conf: an ``oslo_config.cfg.ConfigOpts``, as :func:`nova_cellmap.configure` takes it
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        super().__init__()
        # On a service's own configuration some may be missing, where it has the others.
        options.register_opts(conf)
        self.conf = conf
        # Not when the process ends: it may wait for a server.
        weakref.finalize(self, _close, self._parts).atexit = False

    def __copy__(self) -> 'Runtime':
        # Copies of a context work on the same database. A fork would not find another one.
        return self

    def __deepcopy__(self, memo: Any) -> 'Runtime':
        return self


def _close(parts: dict[Any, Any]) -> None:
    for part in list(parts.values()):
        part.close()


# All there are.
_owners: weakref.WeakSet[Parts] = weakref.WeakSet()
_parents: list[object] = []


class _None:
    """What there is in place of a runtime before one is configured."""

    def __getattr__(self, name: str) -> Any:
        raise exception.NotConfigured()


class Carrier:
    """Something that has a runtime, such as a context: its own, or else the default.

    :ivar runtime: which; it raises NotConfigured whatever is asked of it where there is none
    """

    # As an attribute of the class, since it is read at each lookup.
    runtime: Runtime = cast(Runtime, _None())


def default() -> Runtime:
    """The runtime of those who have no other.

    :raises: NotConfigured
    """
    if not isinstance(Carrier.runtime, Runtime):
        raise exception.NotConfigured()
    return Carrier.runtime


def set_default(runtime: Runtime | None) -> None:
    """Make a runtime the default, and close what the previous one has open.

    :param runtime: None: there is no default
    """
    previous = Carrier.runtime
    Carrier.runtime = runtime or cast(Runtime, _None())
    if isinstance(previous, Runtime):
        previous.close()


def of(context: object) -> Runtime:
    """The runtime of a context: the one that it was given, or the default.

    :param context: ours, a service's own, or None
    """
    return context.runtime if isinstance(context, Carrier) else default()


def leave_to_parent(owned: object) -> None:
    """Keep what is the parent's for ever, in a child of a fork.

    Where it was forgotten, it would be closed: that says goodbye on the parent's socket.
    """
    _parents.append(owned)


def _after_fork() -> None:
    for owner in list(_owners):
        owner.after_fork()


os.register_at_fork(after_in_child=_after_fork)

# What a process has once, whatever it works on.
process: Final = Parts()
