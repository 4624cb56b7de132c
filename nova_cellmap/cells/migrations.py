# SPDX-License-Identifier: Apache-2.0
"""Which instances Nova is moving to another cell."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from nova_cellmap.cells import rows
from nova_cellmap.cells.database import Reader
from nova_cellmap.cells.nova_table import NovaTable

_COLUMNS: dict[str, Any] = {
    **dict.fromkeys(('instance_uuid', 'status'), sa.Text()),
    'deleted': sa.Integer(),
    'cross_cell_move': sa.Boolean(),
}
# The statuses of one that is at its end; Nova's own list of them.
_ENDED = ('confirmed', 'reverted', 'error', 'failed', 'completed', 'cancelled', 'done')
# So many of them an instance may have under way, in a table that something else has filled.
_MOST_OF_ONE = 10


class Migrations:
    """The ``migrations`` table of a cell.

    :raises: CellUnreachable; NotACellDatabase where there is no such table
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._there = reader.column_names('migrations')

    def moves_of(self, uuids: Collection[str]) -> dict[str, str]:
        """In which state the moves to another cell are that are under way, by instance.

        Before Train there are none.
        """
        if not _COLUMNS.keys() <= set(self._there):
            return {}
        table = NovaTable(
            'migrations',
            self._there,
            _COLUMNS,
            _COLUMNS,
            uuid='instance_uuid',
            identity='a cell',
        )
        most = _MOST_OF_ONE * len(uuids)
        status = table['status']
        # A text of no type is one of the column's own for each kind of database.
        is_move = table['cross_cell_move'].op('=', is_comparison=True)(sa.text("'1'"))
        query = table.select(('instance_uuid', 'status')).where(
            table['deleted'] == 0,
            table['instance_uuid'].in_(list(uuids)),
            sa.or_(status.is_(None), status.not_in(_ENDED)),
            is_move,
        )
        found = self._reader.rows(query.limit(most), most, plain=query.limit(most))
        return {rows.text_of(uuid): rows.shown(status) for uuid, status in found}
