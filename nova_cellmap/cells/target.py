# SPDX-License-Identifier: Apache-2.0
"""Working in a cell: on its database, and over its message queue.

::

    with target.target_cell(ctxt, cell) as cctxt:
        with cctxt.cell.reader() as connection:
            rows = connection.execute(query).all()
"""

from collections.abc import Collection, Iterator
import contextlib
import os
from typing import Any, TypeVar

import sqlalchemy as sa

from nova_cellmap import context as contexts
from nova_cellmap import exception
from nova_cellmap import runtime
from nova_cellmap.cells import connections
from nova_cellmap.context import RequestContext
from nova_cellmap.db import errors
from nova_cellmap.db.error_kinds import Kind
from nova_cellmap.objects.cell_mapping import CellMapping

# The connection can be used no more, through no fault of what was asked.
_IS_GONE = (Kind.LOST, Kind.UNUSABLE, Kind.SLOW)

_Context = TypeVar('_Context', bound=RequestContext)


@contextlib.contextmanager
def target_cell(context: _Context, cell_mapping: CellMapping | None) -> Iterator[_Context]:
    """A copy of the context that is targeted at a cell, for the length of a block.

    Of a service's own context, such as Nova's, it is one of ours for the same request. Its
    ``cell`` is a :class:`nova_cellmap.context.Cell`. The context that is given stays as it is,
    and the copy has no transaction of it. Nothing is connected before it is used.

    What connects to a cell is kept open for the next block, by its URLs: a mapping that was
    loaded after an update of the cell leads to the new place at once. It is closed when the
    cell is seen with other URLs, by ``[cells] max_open_cells`` and ``idle_timeout``, or by
    :func:`forget`, but never while a block uses it.

    :param cell_mapping: the cell; None gives a copy with no cell
    """
    copied: Any = contexts.copy_of(context)
    if cell_mapping is None:
        yield copied
        return
    with _connections(copied).using(cell_mapping) as used:
        copied.target(_Cell(copied, cell_mapping, used))
        try:
            yield copied
        finally:
            copied.target(None)


# What is kept open, by the runtime of a context, or by the default one.


def forget(uuids: Collection[str], context: RequestContext | None = None) -> None:
    """Close the connections to cells that are gone; those in use, when they are no longer."""
    _connections(context).forget(uuids)


def forget_all_but(uuids: Collection[str], context: RequestContext | None = None) -> None:
    """Close the connections to all other cells, which are gone."""
    _connections(context).forget_all_but(uuids)


def forget_all(context: RequestContext | None = None) -> None:
    """Close every connection; those in use, when they are no longer."""
    _connections(context).close()


def count_open(context: RequestContext | None = None) -> int:
    """To how many places, of cells, connections are kept open or used."""
    return len(_connections(context))


def _connections(context: RequestContext | None) -> connections.OpenConnections:
    return runtime.of(context).part(connections.OpenConnections)


class _Cell:
    """See :class:`nova_cellmap.context.Cell`."""

    def __init__(
        self, context: RequestContext, mapping: CellMapping, used: connections.Connections
    ) -> None:
        self._context = context
        self._mapping = mapping
        self._connections = used
        self._pid = os.getpid()

    @property
    def uuid(self) -> str:
        return self._mapping.uuid

    @property
    def identity(self) -> str:
        return self._mapping.identity

    @property
    def database(self) -> Any:
        self._check_process()
        return self._connections.database(self._mapping)

    @property
    def transport(self) -> Any:
        self._check_process()
        return self._connections.transport(self._mapping)

    def reader(self) -> contextlib.AbstractContextManager[sa.Connection]:
        return self._block(self._needed_database().reader, commits=False)

    def writer(self) -> contextlib.AbstractContextManager[sa.Connection]:
        return self._block(self._needed_database().writer, commits=True)

    def _needed_database(self) -> Any:
        found = self.database
        if found is None:
            raise exception.CellUnreachable(cell=self.identity, reason='it has none')
        return found

    @contextlib.contextmanager
    def _block(self, mode: Any, commits: bool) -> Iterator[sa.Connection]:
        reached = ended = False
        try:
            with contextlib.ExitStack() as stack:
                with errors.connecting():
                    connection = stack.enter_context(mode.connection.using(self._context))
                reached = True
                yield connection
                ended = True
        except errors.DRIVER as error:
            if reached and errors.kind_of(error) not in _IS_GONE:
                raise
            reason = errors.reason(error)
            if ended and commits:
                reason += ' (during a commit, which may or may not have been made)'
            raise exception.CellUnreachable(cell=self.identity, reason=reason) from error

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise exception.NoCellTargeted()
