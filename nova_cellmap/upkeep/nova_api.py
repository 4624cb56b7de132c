# SPDX-License-Identifier: Apache-2.0
"""What Nova's own API database knows of cells and of the instances in them."""

from collections.abc import Callable, Collection, Iterator, Sequence
import contextlib
import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import url
from nova_cellmap.cells import database
from nova_cellmap.cells import rows
from nova_cellmap.cells.database import Reader
from nova_cellmap.cells.rows import InvalidRow
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.url import place

# The columns that every release of Nova has, and those that one may not have, with their types.
_CELL_NEEDED = ('id', 'uuid', 'name', 'transport_url', 'database_connection')
_CELL_MORE = {'disabled': sa.Boolean, 'created_at': sa.DateTime}
_MAPPING_NEEDED = ('id', 'instance_uuid', 'cell_id', 'project_id')
_MAPPING_MORE = {'user_id': sa.String, 'queued_for_delete': sa.Boolean, 'created_at': sa.DateTime}

_MOST_CELLS = 10_000


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
def connect(connection_url: str) -> Iterator[Reader]:
    """A block in which the database can be read, as a cell's is.

    :raises: NovaDatabaseUnreachable, NotANovaDatabase, also in the block
    """
    cell = CellMapping(uuid=CellMapping.CELL0_UUID, database_connection=connection_url)
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
    :raises: NotANovaDatabase, and what the reader does
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._cells = _Table(reader, 'cell_mappings', _CELL_NEEDED, _CELL_MORE)
        self._mappings = _Table(reader, 'instance_mappings', _MAPPING_NEEDED, _MAPPING_MORE)

    def cells(self) -> list[NovaCell]:
        """All cells, by ``id``."""
        by_id = self._cells.column('id')
        found = self._cells.rows(lambda query: query.order_by(by_id), _MOST_CELLS)
        return [NovaCell(*row) for row in found]

    def after(self, last_id: int, limit: int) -> Page | None:
        """The next rows of ``instance_mappings`` by ``id``; None at the end.

        The rows of Nova's own that map nothing are left out.
        """
        by_id = self._mappings.column('id')

        def behind(query: sa.Select[Any]) -> sa.Select[Any]:
            return query.where(self._is_no_marker(), by_id > last_id).order_by(by_id).limit(limit)

        found = self._mappings.rows(behind, limit)
        ids = [row[0] for row in found]
        if not all(type(number) is int for number in ids) or ids != sorted({last_id, *ids})[1:]:
            raise exception.NotANovaDatabase(
                reason=f'the ids of its instance_mappings are not in order, behind {last_id}'
            )
        return _page(found) if found else None

    def last_id(self) -> int:
        """The greatest ``id`` of ``instance_mappings``; 0 in an empty table."""
        by_id = self._mappings.column('id')
        query = sa.select(by_id).where(self._is_no_marker()).order_by(by_id.desc()).limit(1)
        [*found] = self._reader.rows(query, 1)
        return found[0][0] if found and type(found[0][0]) is int else 0

    def _is_no_marker(self) -> sa.ColumnElement[bool]:
        project_id = self._mappings.column('project_id')
        is_other = sa.func.coalesce(project_id, '').not_in(rows.MARKERS)
        return sa.and_(is_other, self._mappings.column('instance_uuid') != rows.NO_UUID)


class _Table:
    """A table, of which the release may lack some columns."""

    def __init__(
        self, reader: Reader, name: str, needed: Sequence[str], more: dict[str, Any]
    ) -> None:
        there = reader.column_names(name)
        missing = [column for column in needed if column not in there]
        if missing:
            raise exception.NotANovaDatabase(reason=f'its table {name} lacks {", ".join(missing)}')
        self._reader = reader
        columns = dict.fromkeys(needed) | more
        self._table = sa.table(name, *(sa.column(each, type_) for each, type_ in columns.items()))
        self._query = self._select(there, lambda column: column)
        self._plain = self._select(there, _plainly)

    def column(self, name: str) -> sa.ColumnElement[Any]:
        return self._table.c[name]

    def rows(
        self, behind: Callable[[sa.Select[Any]], sa.Select[Any]], most: int
    ) -> Sequence[Sequence[Any]]:
        """All columns that are named, in this order; NULL for those that the release lacks."""
        return self._reader.rows(behind(self._query), most, plain=behind(self._plain))

    def _select(
        self,
        there: Collection[str],
        plain: Callable[[sa.ColumnElement[Any]], sa.ColumnElement[Any]],
    ) -> sa.Select[Any]:
        columns = self._table.columns
        return sa.select(
            *(plain(each) if each.name in there else sa.null() for each in columns)
        ).select_from(self._table)


def _plainly(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """The same without a type, so that nothing has to be of it."""
    return sa.type_coerce(rows.plainly(column, str(column.key)), sa.types.NullType())


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
