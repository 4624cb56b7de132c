# SPDX-License-Identifier: Apache-2.0
"""What Nova's own API database knows of cells and of the instances in them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import url
from nova_cellmap.cells import database
from nova_cellmap.cells import rows
from nova_cellmap.cells.database import Reader
from nova_cellmap.cells.nova_table import NovaTable
from nova_cellmap.cells.rows import InvalidRow
from nova_cellmap.context import RequestContext
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.url import place

# The columns that are read, with their types, and those of them that every release of Nova has.
_CELL_TYPES: dict[str, Any] = {
    'id': sa.Integer(),
    **dict.fromkeys(('uuid', 'name', 'transport_url', 'database_connection'), sa.Text()),
    'disabled': sa.Boolean(),
    'created_at': sa.DateTime(),
}
_CELL_NEEDED = ('id', 'uuid', 'name', 'transport_url', 'database_connection')
_MAPPING_TYPES: dict[str, Any] = {
    **dict.fromkeys(('id', 'cell_id'), sa.Integer()),
    **dict.fromkeys(('instance_uuid', 'project_id', 'user_id'), sa.Text()),
    'queued_for_delete': sa.Boolean(),
    'created_at': sa.DateTime(),
}
_MAPPING_NEEDED = ('id', 'instance_uuid', 'cell_id', 'project_id')

_MOST_CELLS = 10_000
# Whose tables they are, for messages.
_WHOSE = "Nova's API database"


class NovaCell(NamedTuple):
    """A row of ``cell_mappings``, unchecked. URLs may be templates; None is none."""

    id: int
    uuid: str
    name: str | None
    transport_url: str | None
    database_connection: str | None
    disabled: bool | None
    created_at: datetime.datetime | None


class NovaMapping(NamedTuple):
    """A row of ``instance_mappings``. ``cell_id`` is None where it is in no cell yet."""

    id: int
    instance_uuid: str
    cell_id: int | None
    project_id: str
    user_id: str | None
    queued_for_delete: bool
    created_at: datetime.datetime | None


class Page(NamedTuple):
    """The next rows of ``instance_mappings``: up to which id, and how many, were read."""

    last_id: int
    rows: int
    mappings: list[NovaMapping]
    invalid: list[InvalidRow]


def check(connection_url: str) -> None:
    """:raises: InvalidURL where it cannot be the URL of a database"""
    if url.is_none(connection_url) or url.is_template(connection_url):
        raise exception.InvalidURL(
            reason=f"Not the URL of a database: {url.mask(connection_url)}. Give that of Nova's "
            'API database, as in [api_database] connection of its nova.conf.'
        )
    try:
        url.check_database(connection_url)
    except url.InvalidURL as error:
        raise exception.InvalidURL(reason=str(error)) from None


def source_of(connection_url: str) -> str:
    """Which database it is, in 64 characters: the same for any driver, user and password."""
    return place.digest(connection_url)


@contextlib.contextmanager
def connect(context: RequestContext, connection_url: str) -> Iterator[Reader]:
    """A block in which the database can be read, as a cell's is.

    :raises: NovaDatabaseUnreachable, NotANovaDatabase, also in the block
    """
    cell = CellMapping(context, uuid=CellMapping.CELL0_UUID, database_connection=connection_url)
    try:
        with database.connect(cell) as reader:
            yield reader
    except exception.CellUnreachable as error:
        raise exception.NovaDatabaseUnreachable(reason=error.kwargs['reason']) from error
    except exception.NotACellDatabase as error:
        raise exception.NotANovaDatabase(reason=error.kwargs['reason']) from error


class NovaAPI:
    """The two tables, in the shape that the release of Nova gave them.

    :param reader: from :func:`connect`
    :raises: NotACellDatabase, and what the reader does
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._cells = _table(reader, 'cell_mappings', _CELL_TYPES, _CELL_NEEDED)
        self._mappings = _table(
            reader, 'instance_mappings', _MAPPING_TYPES, _MAPPING_NEEDED, uuid='instance_uuid'
        )

    def cells(self) -> list[NovaCell]:
        """All cells, by ``id``."""
        by_id = self._cells['id']
        found = self._rows(
            self._cells, NovaCell._fields, _MOST_CELLS, lambda query: query.order_by(by_id)
        )
        return [NovaCell(*row) for row in found]

    def after(self, last_id: int, limit: int) -> Page | None:
        """The next rows of ``instance_mappings`` by ``id``; None at the end.

        The rows of Nova's own that map nothing are left out.
        """
        by_id, is_no_marker = self._mappings['id'], self._mappings.is_no_marker()
        found = self._rows(
            self._mappings,
            NovaMapping._fields,
            limit,
            lambda query: query.where(is_no_marker, by_id > last_id).order_by(by_id).limit(limit),
        )
        ids = [row[0] for row in found]
        if not all(type(number) is int for number in ids) or ids != sorted({last_id, *ids})[1:]:
            raise exception.NotANovaDatabase(
                reason=f'the ids of its instance_mappings are not in order, behind {last_id}'
            )
        return _page(found) if found else None

    def last_id(self) -> int:
        """The greatest ``id`` of ``instance_mappings``; 0 in an empty table."""
        by_id = self._mappings['id']
        query = self._mappings.select(['id']).where(self._mappings.is_no_marker())
        [*found] = self._reader.rows(query.order_by(by_id.desc()).limit(1), 1)
        return found[0][0] if found and type(found[0][0]) is int else 0

    def _rows(
        self,
        table: NovaTable,
        names: Sequence[str],
        most: int,
        narrow: Callable[[sa.Select[Any]], sa.Select[Any]],
    ) -> Sequence[Sequence[Any]]:
        """These columns, in this order; NULL for those that the release lacks."""
        query = narrow(table.select(names, is_typed=True))
        return self._reader.rows(query, most, plain=narrow(table.select(names, is_plain=True)))


def _table(
    reader: Reader, name: str, types: Mapping[str, Any], needed: Sequence[str], uuid: str = 'uuid'
) -> NovaTable:
    there = reader.column_names(name)
    return NovaTable(name, there, types, needed, uuid=uuid, identity=_WHOSE)


def _page(found: Sequence[Sequence[Any]]) -> Page:
    page = Page(found[-1][0], len(found), [], [])
    for row in found:
        parsed = _mapping(row)
        if isinstance(parsed, InvalidRow):
            page.invalid.append(parsed)
        elif parsed is not None:
            page.mappings.append(parsed)
    return page


def _mapping(row: Sequence[Any]) -> NovaMapping | InvalidRow | None:
    number, uuid, cell_id, project_id, user_id, queued, created_at = row
    # It has no state and is in no half of a move.
    parsed = rows.parse((number, uuid, project_id, user_id, queued, None, None))
    if parsed is None or isinstance(parsed, InvalidRow):
        return parsed
    reason = '' if cell_id is None else rows.number_problem(cell_id, 'cell_id')
    time = rows.time_of(created_at)
    if created_at is not None and time is None:
        reason = f'created_at, {rows.shown(created_at)}, is no time'
    if reason:
        return InvalidRow(number, parsed.uuid, parsed.uuid, reason)
    return NovaMapping(
        id=number,
        instance_uuid=parsed.uuid,
        cell_id=cell_id,
        project_id=parsed.project_id,
        user_id=parsed.user_id,
        queued_for_delete=parsed.deleted,
        created_at=time,
    )
