# SPDX-License-Identifier: Apache-2.0
"""The readers of all cells, and why some of them cannot read."""

from collections.abc import Iterable, Iterator, Sequence
import contextlib
import logging
from typing import Self

from nova_cellmap import exception
from nova_cellmap.cells import database
from nova_cellmap.context import RequestContext
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.objects.cell_mapping import CellMappingList
from nova_cellmap.upkeep.streams import CellReader
from nova_cellmap.upkeep.streams import InstanceRows

LOG = logging.getLogger(__name__)


class Readers:
    """A reader for each cell, while the block lasts.

    :param cells: all cells of the cloud: an instance may be in any of them
    :ivar cells: each by its uuid
    :ivar errors: why a cell could not be read, by its uuid
    """

    def __init__(self, context: RequestContext, cells: Iterable[CellMapping]) -> None:
        self._context = context
        self._readers: dict[str, CellReader] = {}
        self.cells = {cell.uuid: cell for cell in cells}
        self.errors: dict[str, exception.CellError] = {}

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        for cell in self.cells.values():
            self._open(cell)
        return self

    def __exit__(self, *args: object) -> None:
        self._stack.close()

    def __getitem__(self, cell_uuid: str) -> CellReader:
        return self._readers[cell_uuid]

    def all(self) -> list[CellReader]:
        return list(self._readers.values())

    def identity(self, cell_uuid: str) -> str:
        """What a person calls a cell."""
        return self.cells[cell_uuid].identity if cell_uuid in self.cells else cell_uuid

    def place(self, cell_uuid: str) -> str | None:
        """Which database a cell has; None where nobody can tell."""
        return database.place_of(self.cells[cell_uuid]) if cell_uuid in self.cells else None

    def rows_of(self, uuids: Sequence[str]) -> Iterator[tuple[str, InstanceRows]]:
        """The rows of some instances in each cell that can be read, hidden ones too."""
        asked = [
            (cell_uuid, reader.of(uuids))
            for cell_uuid, reader in self._readers.items()
            if cell_uuid not in self.errors
        ]
        for cell_uuid, answer in asked:
            try:
                yield cell_uuid, answer.result()
            except exception.CellError as error:
                self.errors[cell_uuid] = error

    def moves_of(self, uuids: Sequence[str]) -> dict[str, str]:
        """In which state the moves between cells are that are under way, by instance.

        A cell of which that cannot be read is passed over: it may be that only its instances may
        be read.
        """
        moves: dict[str, str] = {}
        for cell_uuid, reader in self._readers.items():
            if cell_uuid not in self.errors:
                try:
                    moves.update(reader.moves_of(uuids).result())
                except exception.CellError as error:
                    LOG.info('Which instances are moved cannot be told: %s', error)
        return moves

    def look_again(self) -> None:
        """Read the cells that have come meanwhile too, and no more those that were changed."""
        for cell in CellMappingList.get_all(self._context):
            known = self.cells.setdefault(cell.uuid, cell)
            if known.database_connection != cell.database_connection:
                self.errors[cell.uuid] = exception.CellUnreachable(
                    cell=cell.identity, reason='its URL was changed meanwhile'
                )
            elif cell.uuid not in self._readers:
                self._open(cell)

    def _open(self, cell: CellMapping) -> None:
        reader = CellReader(cell)
        self._readers[cell.uuid] = reader
        self._stack.callback(reader.close)
