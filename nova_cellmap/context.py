# SPDX-License-Identifier: Apache-2.0
"""Who asks, and in which cell."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, Self

from oslo_context import context
from oslo_db.sqlalchemy import enginefacade

from nova_cellmap import exception

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
class RequestContext(context.RequestContext):
    """A request: its id, user and project, the transaction it is in, and the cell.

    An ``oslo_context.context.RequestContext``, so that logs and RPC know it.
    Every function of :mod:`nova_cellmap.db.api` takes one first. Threads may
    share a context: each has its own transaction.
    """

    if TYPE_CHECKING:
        connection: Connection
        transaction_ctx: Any

    _cell: Cell | None = None

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

    def copy(self) -> Self:
        """The same request, with no cell and no transaction."""
        copied = self.__class__.__new__(self.__class__)
        for name, value in vars(self).items():
            if name not in _NOT_COPIED:
                vars(copied)[name] = list(value) if isinstance(value, list) else value
        return copied


# The second is where oslo.db keeps the transactions of a context.
_NOT_COPIED = ('_cell', '_enginefacade_context')


def get_admin_context(**kwargs: Any) -> RequestContext:
    """A context for work that no user asked for, such as a command's."""
    return RequestContext(is_admin=True, overwrite=False, **kwargs)
