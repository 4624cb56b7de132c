# SPDX-License-Identifier: Apache-2.0
"""What Nova's own API database knows of cells and of the instances in them."""

from collections.abc import Iterator, Sequence
import contextlib
import datetime
import hashlib
import pathlib
from typing import Any, NamedTuple

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import url
from nova_cellmap.cells import database
from nova_cellmap.objects.cell_mapping import CellMapping

# The columns that every release of Nova has, and those that one may not have, with their types.
_CELL_NEEDED = ('id', 'uuid', 'name', 'transport_url', 'database_connection')
_CELL_MORE = {'disabled': sa.Boolean, 'created_at': sa.DateTime}
_MAPPING_NEEDED = ('id', 'instance_uuid', 'cell_id', 'project_id')
_MAPPING_MORE = {'user_id': sa.String, 'queued_for_delete': sa.Boolean, 'created_at': sa.DateTime}

# Rows that map no instance: where map_instances of Nova was stopped (project and user), and
# what a migration of virtual interfaces left in each cell (instance and project).
_MARKERS = ('INSTANCE_MIGRATION_MARKER', '00000000-0000-0000-0000-000000000000')

_PORTS = {'mysql': 3306, 'postgresql': 5432}
# Parameters of a URL that say where a server is.
_WHERE = ('host', 'port', 'unix_socket')


class NovaCell(NamedTuple):
    """A row of ``cell_mappings``. URLs may be templates, and None where there is none."""

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
    project_id: str | None
    user_id: str | None
    queued_for_delete: bool | None
    created_at: datetime.datetime | None


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
    parsed = sa.make_url(connection_url)
    kind = parsed.get_backend_name().replace('mariadb', 'mysql')
    if kind == 'sqlite':
        place = [str(pathlib.Path(parsed.database or '').resolve())]
    else:
        place = [(parsed.host or '').lower(), str(parsed.port or _PORTS.get(kind))]
        place += [f'{name}={parsed.query.get(name)}' for name in _WHERE]
        place.append(parsed.database or '')
    return hashlib.sha256('\n'.join([kind, *place]).encode()).hexdigest()


@contextlib.contextmanager
def connect(connection_url: str) -> Iterator[sa.Connection]:
    """A connection that reads the database, each statement on its own, as a cell's is read.

    :raises: NovaDatabaseUnreachable, also where the connection is lost inside the block
    """
    place = CellMapping(uuid=CellMapping.CELL0_UUID, database_connection=connection_url)
    try:
        with database.connect(place) as connection:
            yield connection
    except exception.CellUnreachable as error:
        raise exception.NovaDatabaseUnreachable(reason=error.kwargs['reason']) from error


class NovaAPI:
    """The two tables, in the shape that the release of Nova gave them.

    :param connection: from :func:`connect`
    :raises: NotANovaDatabase
    """

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._cells = _select(connection, 'cell_mappings', _CELL_NEEDED, _CELL_MORE)
        mappings = _select(connection, 'instance_mappings', _MAPPING_NEEDED, _MAPPING_MORE)
        self._id, _, _, project_id, *_ = mappings.selected_columns
        is_marker = sa.func.coalesce(project_id, '').in_(_MARKERS)
        self._mappings = mappings.where(sa.not_(is_marker))

    def cells(self) -> list[NovaCell]:
        """All cells, by ``id``."""
        cell_id = self._cells.selected_columns[0]
        return [NovaCell(*row) for row in self._rows(self._cells.order_by(cell_id))]

    def after(self, last_id: int, limit: int) -> list[NovaMapping]:
        """The next rows of ``instance_mappings`` by ``id``; none at the end."""
        query = self._mappings.where(self._id > last_id).order_by(self._id).limit(limit)
        return [NovaMapping(*row) for row in self._rows(query)]

    def last_id(self) -> int:
        """The greatest ``id`` of ``instance_mappings``; 0 in an empty table."""
        query = self._mappings.with_only_columns(self._id).order_by(self._id.desc()).limit(1)
        return self._connection.execute(query).scalar() or 0

    def _rows(self, query: sa.Select[Any]) -> Sequence[Any]:
        try:
            return self._connection.execute(query).all()
        except ValueError as error:
            # SQLite keeps anything in any column.
            raise exception.NotANovaDatabase(reason=str(error)) from error


def _select(
    connection: sa.Connection, name: str, needed: Sequence[str], more: dict[str, Any]
) -> sa.Select[Any]:
    """All columns that are named, in this order; NULL for those that the release lacks."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(name):
        raise exception.NotANovaDatabase(reason=f'it has no table {name}')
    there = {column['name'] for column in inspector.get_columns(name)}
    missing = [column for column in needed if column not in there]
    if missing:
        raise exception.NotANovaDatabase(reason=f'its table {name} lacks {", ".join(missing)}')
    columns = dict.fromkeys(needed) | more
    table = sa.table(name, *(sa.column(column, type_) for column, type_ in columns.items()))
    return sa.select(
        *(table.c[column] if column in there else sa.null() for column in columns)
    ).select_from(table)
