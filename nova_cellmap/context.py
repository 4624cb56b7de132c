# SPDX-License-Identifier: Apache-2.0
"""Who asks, and in which cell."""

from contextlib import AbstractContextManager
import inspect
import threading
from typing import TYPE_CHECKING, Any, Final, Protocol, Self
import weakref

from oslo_context import context
from oslo_db.sqlalchemy import enginefacade

from nova_cellmap import exception
from nova_cellmap import runtime as runtimes

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


class Cell(Protocol):
    """The cell that a context is targeted at: ``context.cell``."""

    @property
    def uuid(self) -> str: ...

    @property
    def identity(self) -> str:
        """The uuid, and in parentheses the name if there is one."""

    @property
    def database(self) -> Any:
        """An oslo.db enginefacade of the cell's database; None where the cell has none.

        ``cell.database.writer.using(context)`` gives an ORM session. Errors are oslo.db's.

        :raises: CellUnreachable where the URL leads nowhere
        """

    @property
    def transport(self) -> Any:
        """An oslo.messaging RPC transport; None where the cell has no message queue.

        :raises: InvalidURL
        """

    def reader(self) -> 'AbstractContextManager[Connection]':
        """A block that reads the cell's database, in one transaction that is rolled back.

        :raises: CellUnreachable where there is no connection, or where it is lost; all
            other errors of the statements are oslo.db's
        """

    def writer(self) -> 'AbstractContextManager[Connection]':
        """A block whose writes become visible together at its end, or not at all.

        :raises: as :meth:`reader`
        """


@enginefacade.transaction_context_provider
class RequestContext(runtimes.Carrier, context.RequestContext):
    """A request: its id, user and project, the transaction it is in, and the cell.

    An ``oslo_context.context.RequestContext``, so that logs and RPC know it.
    Every function of :mod:`nova_cellmap.db.api` takes one first, or any other of
    oslo.context's: a service's own, such as Nova's. Threads may share a context: each
    has its own transaction.

    :param runtime: what it works with; None: the default, whichever that is then. It does not
        travel
    """

    if TYPE_CHECKING:
        connection: Connection
        transaction_ctx: Any

    _cell: Cell | None = None

    def __init__(self, *args: Any, runtime: runtimes.Runtime | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if runtime is not None:
            self.runtime = runtime

    @property
    def cell(self) -> Cell:
        """The cell that :func:`nova_cellmap.cells.target.target_cell` targets it at.

        :raises: NoCellTargeted
        """
        if self._cell is None:
            raise exception.NoCellTargeted()
        return self._cell

    def target(self, cell: Cell | None) -> None:
        """Set the cell; None for no cell. Callers want ``target_cell`` in its place."""
        self._cell = cell

    def to_dict(self) -> dict[str, Any]:
        """What :meth:`from_dict` makes the same request of, and Nova's ``from_dict`` too."""
        names = {'user_id': self.user_id, 'user_name': self.user_name}
        return super().to_dict() | names | {'project_name': self.project_name}

    @classmethod
    def from_dict(cls, values: dict[str, Any], **kwargs: Any) -> Self:
        """The request of a dict: of ours, of oslo.context's or of a service's."""
        for name, keys in _KEYS.items():
            found = (values[key] for key in keys if values.get(key) is not None)
            kwargs.setdefault(name, next(found, None))
        return super().from_dict(values, **kwargs)

    def redacted_copy(self, **kwargs: Any) -> Self:
        return super().redacted_copy(**{'runtime': vars(self).get('runtime'), **kwargs})

    def copy(self) -> Self:
        """The same request, with no cell and no transaction."""
        copied = self.__class__.__new__(self.__class__)
        for name, value in vars(self).items():
            if name not in _NOT_COPIED:
                vars(copied)[name] = list(value) if isinstance(value, list) else value
        return copied


# Under which keys services have the same.
_KEYS: Final = {
    'user_id': ('user_id', 'user'),
    'project_id': ('project_id', 'project', 'tenant'),
}
# The second is where oslo.db keeps the transactions of a context.
_NOT_COPIED = ('_cell', '_enginefacade_context')


def get_admin_context(**kwargs: Any) -> RequestContext:
    """A context for work that no user asked for, such as a command's."""
    return RequestContext(is_admin=True, overwrite=False, **kwargs)


# The contexts of others.


def of(given: object) -> RequestContext:
    """Ours for a context: itself, or one in the place of a service's own as long as that lives.

    What we do on that is seen by nobody who has the service's: neither our transactions nor
    our cell. Who asks is as it was at the first time.

    :raises: InvalidInput where it is none of oslo.context's
    """
    if isinstance(given, RequestContext):
        return given
    existing = _stand_ins.get(id(given))
    if existing is None or existing[0]() is not given:
        existing = _stand_in(given)
    return existing[1]


def copy_of(given: object) -> RequestContext:
    """The same request in a context of ours, with no cell and no transaction.

    :raises: InvalidInput where it is none of oslo.context's
    """
    return given.copy() if isinstance(given, RequestContext) else _made_of(given)


# By the number of the object: it may be equal to others, and its transactions are not theirs.
_stand_ins: dict[int, tuple[weakref.ref[Any], RequestContext]] = {}
_lock = threading.Lock()


def _stand_in(given: object) -> tuple[weakref.ref[Any], RequestContext]:
    made = _made_of(given)
    number = id(given)
    with _lock:
        existing = _stand_ins.get(number)
        # Two threads may be the first with one context.
        if existing is None or existing[0]() is not given:
            gone = weakref.ref(given, lambda ref: _forget(number, ref))
            existing = _stand_ins[number] = (gone, made)
    return existing


def _forget(number: int, ref: 'weakref.ref[Any]') -> None:
    # Whose number it was may be somebody else's by now.
    existing = _stand_ins.get(number)
    if existing is not None and existing[0] is ref:
        _stand_ins.pop(number, None)


def _made_of(given: object) -> RequestContext:
    if not isinstance(given, context.RequestContext):
        what = 'a class' if isinstance(given, type) else f'a {type(given).__name__}'
        raise exception.InvalidInput(
            reason='a request context has to be the first argument, such as '
            'nova_cellmap.context.get_admin_context() gives, or any other of oslo.context; '
            f'not {"None" if given is None else what}'
        )
    # Not by its constructor, which may make it the one that this thread's log names.
    made = RequestContext.__new__(RequestContext)
    for name in _ATTRIBUTES:
        value = getattr(given, name, None)
        vars(made)[name] = list(value) if isinstance(value, list) else value
    made.is_admin = given.is_admin
    return made


_ATTRIBUTES: Final = [
    name
    for name in inspect.signature(context.RequestContext.__init__).parameters
    if name not in ('self', 'is_admin', 'overwrite')
]
