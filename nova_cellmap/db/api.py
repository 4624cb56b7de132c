# SPDX-License-Identifier: Apache-2.0
"""The function layer: the only module that queries the mapping database.

Every function takes the request context first, then plain values, and answers
plain values: rows are dicts keyed by column name. A row of ``instance_mapping`` has
one key more, ``cell_mapping``: the row of its cell as a dict, or None where it is in
no cell yet; the rows of one list share the dict of a cell.

Lists have one order, that of creation (``id``), and come in pages: *limit* is the
greatest number of rows (None: all), *marker* the uuid of the last row of the page
before. Times are naive UTC with no fraction of a second, as every supported
database keeps them. uuids are 36 characters, lower case, hyphenated.

Any function may raise :exc:`~nova_cellmap.exception.DatabaseUnreachable`,
:exc:`~nova_cellmap.exception.DatabaseBusy`, :exc:`~nova_cellmap.exception.SchemaMissing`,
:exc:`~nova_cellmap.exception.InvalidInput` (a value that the database cannot hold)
and, for what was not foreseen, :exc:`~nova_cellmap.exception.DatabaseError`. Deadlocks
are tried again, and so are lost connections: always in reads, in writes up to the
commit, whose outcome nobody knows. Inside an open :func:`reader` or :func:`writer`
block nothing is tried again: what failed there is the whole block.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
import contextlib
import datetime
import enum
import functools
import itertools
import operator
import sys
import time
from typing import (
    Any,
    Final,
    NamedTuple,
    NotRequired,
    ParamSpec,
    Protocol,
    TypedDict,
    TypeVar,
)

from oslo_db import exception as db_exc
from oslo_utils import timeutils
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import text
from nova_cellmap import url
from nova_cellmap.context import RequestContext
from nova_cellmap.db import bulk_insert
from nova_cellmap.db import engine
from nova_cellmap.db import errors
from nova_cellmap.db import outcome
from nova_cellmap.db import prepared
from nova_cellmap.db import transaction
from nova_cellmap.db import undecoded
from nova_cellmap.db.caching import cache
from nova_cellmap.db.caching import known_cells
from nova_cellmap.db.error_kinds import Kind
from nova_cellmap.db.schemas import own
from nova_cellmap.db.transaction import Changing
from nova_cellmap.db.transaction import Connected
from nova_cellmap.db.transaction import reads
from nova_cellmap.db.transaction import reads_own
from nova_cellmap.db.transaction import writes

Row = dict[str, Any]
# The uuid of an instance, and what is said of it, as `fact` puts it.
Fact = tuple[str, str]
_P = ParamSpec('_P')
_T = TypeVar('_T')

# The longest IN list in one statement; longer ones are cut into several.
_CHUNK = 1000
# How many rows are written in one transaction: each has to wait for the disk.
_BULK = 5000

_cells = own.cell_mapping
_mappings = own.instance_mapping
_map_progress = own.map_progress
_import_progress = own.import_progress
_CELL_COLUMNS = tuple(column.name for column in _cells.columns)
_CELL_NAMES = frozenset(_CELL_COLUMNS)
_CELL_REQUIRED = ('uuid', 'transport_url', 'database_connection')
# In which a cell differs from one of the same uuid.
_CELL_TELLING = ('name', 'transport_url', 'database_connection')
MAPPING_COLUMNS = tuple(column.name for column in _mappings.columns)
_ID_PLACE = MAPPING_COLUMNS.index('id')
_UUID_PLACE = MAPPING_COLUMNS.index('instance_uuid')
_CELL_PLACE = MAPPING_COLUMNS.index('cell_uuid')
# Of a row, the columns in that order.
columns_of = operator.itemgetter(*MAPPING_COLUMNS)
_MAPPING_NAMES = frozenset(MAPPING_COLUMNS)
_CREATABLE = _MAPPING_NAMES - {'id', 'updated_at'}
_MAPPING_REQUIRED = ('instance_uuid', 'project_id')
_LENGTHS: dict[str, int] = {
    column.name: length
    for column in (*_cells.columns, *_mappings.columns)
    if (length := getattr(column.type, 'length', None))
}
_SHORTEST = min(_LENGTHS.values())


class Expected(enum.Enum):
    """What a caller may expect of a column besides a value."""

    ANYTHING = 'anything'


ANYTHING: Final = Expected.ANYTHING


class Turn(Protocol):
    """Whose turn it is to commit, of transactions that are under way at once."""

    def __call__(self, seconds: float | None) -> bool:
        """Wait until what comes before is committed, at most so long (None: without end).

        :returns: whether it is
        :raises: what it raised
        """


def at_once(seconds: float | None) -> bool:
    """A Turn: nothing comes before."""
    return True


class BulkResult(TypedDict):
    """What became of the mappings that were to be created.

    ``created`` and ``existing`` count those that are new and those that stood already
    with the same cell; ``conflicts`` gives, by instance uuid, the cell that others
    stand with (None: no cell yet). They were left alone. ``ids``, where they were asked
    for, gives the ``id`` of those that are new, by instance uuid.
    """

    created: int
    existing: int
    conflicts: dict[str, str | None]
    ids: NotRequired[dict[str, int]]


class CellBulkResult(TypedDict):
    """What became of the cells that were to be added.

    ``created`` and ``existing`` count those that are new and those that stood already with
    the same values. The others were left alone: ``different`` gives, by uuid, the columns in
    which a cell stands otherwise; ``taken``, by uuid, the column (``name`` or
    ``database_connection``) whose value is another cell's, and that cell's uuid.
    """

    created: int
    existing: int
    different: dict[str, list[str]]
    taken: dict[str, tuple[str, str]]


# Blocks, for callers.
reader = transaction.reader
writer = transaction.writer


def concurrent_writers() -> int:
    """How many transactions that write it pays to have under way at once."""
    return 1 if engine.writer_engine().dialect.name == 'sqlite' else 2


# Cells.


@writes
def cell_mapping_create(context: Changing, values: Mapping[str, Any]) -> Row:
    """Add a cell.

    :param values: ``uuid``, ``transport_url`` and ``database_connection``; perhaps ``name``
        and ``disabled``
    :returns: the row
    :raises: CellMappingExists where its uuid or its name is taken
    """
    values = _known(_CELL_NAMES, values, required=_CELL_REQUIRED)
    with _cell_is_unique(values):
        _insert_one_cell(context, {**values, 'created_at': _now()})
    return _get_cell(context, values['uuid'])


@writes
def cell_mapping_create_bulk(
    context: Changing, cells: Collection[Mapping[str, Any]]
) -> CellBulkResult:
    """Add cells, in one transaction. What stands already is left as it is.

    A cell whose name or database is another cell's is not added. Whether a cell is disabled
    makes it no different.

    :param cells: values as for :func:`cell_mapping_create`, perhaps with ``created_at``
    """
    result = CellBulkResult(created=0, existing=0, different={}, taken={})
    standing = {row.uuid: _cell(row) for row in context.connection.execute(_cells.select())}
    for cell in cells:
        values = _known(_CELL_NAMES, cell, required=_CELL_REQUIRED)
        uuid = values['uuid']
        if uuid in standing:
            names = [name for name in _CELL_TELLING if values.get(name) != standing[uuid][name]]
            if names:
                result['different'][uuid] = names
            else:
                result['existing'] += 1
        elif taken := _taken(values, standing.values()):
            result['taken'][uuid] = taken
        else:
            _insert_cell(context, values)
            standing[uuid] = {'name': None, **values}
            result['created'] += 1
    return result


def _taken(values: Row, others: Iterable[Row]) -> tuple[str, str] | None:
    for name in ('name', 'database_connection'):
        value = values.get(name)
        # 'none' is not a place that two cells could share.
        if value is None or (name != 'name' and url.is_none(value)):
            continue
        for other in others:
            if other[name] == value:
                return name, other['uuid']
    return None


def _insert_cell(context: Changing, values: Row) -> None:
    created_at = values.get('created_at') or _now()
    try:
        _insert_one_cell(context, {**values, 'created_at': created_at})
    except db_exc.DBDuplicateEntry as error:
        _check_id(error, _cells)
        # Somebody added it, or took its name, since we looked. Look again.
        raise db_exc.RetryRequest(error) from error


def _insert_one_cell(context: Changing, values: Row) -> None:
    result: Any = context.connection.execute(_cells.insert().values(values))
    number = int(result.inserted_primary_key[0])
    transaction.prove(context, outcome.inserted(_cells.c.uuid, values['uuid'], number))
    context.noted.note_cells()


@reads_own
def cell_mapping_get_by_uuid(context: Connected, uuid: str) -> Row:
    """The row of a cell.

    :raises: CellMappingNotFound
    """
    return _get_cell(context, uuid)


@reads_own
def cell_mapping_get_by_name(context: Connected, name: str) -> Row:
    """The row of the cell of that name; upper and lower case differ.

    :raises: CellMappingNotFound
    """
    row = context.connection.execute(_cells.select().where(_cells.c.name == name)).first()
    if row is None:
        raise exception.CellMappingNotFound(cell=name)
    return _cell(row)


@reads_own
def cell_mapping_get_all(
    context: Connected,
    *,
    disabled: bool | None = None,
    limit: int | None = None,
    marker: str | None = None,
) -> list[Row]:
    """The cells, in the order of their creation.

    :param disabled: True: only the disabled ones, False: only the others
    :raises: MarkerNotFound, where no such cell is in the list
    """
    filters = {} if disabled is None else {'disabled': disabled}
    return [_cell(row) for row in _page(context, _cells, filters, limit, marker)]


@reads
def cell_mapping_get_by_project_id(
    context: Connected,
    project_id: str,
    *,
    limit: int | None = None,
    marker: str | None = None,
) -> list[Row]:
    """The cells that have at least one mapping of a project.

    :raises: MarkerNotFound, where no such cell is in the list
    """
    rows = _page(context, _cells, {'used_by': project_id}, limit, marker)
    return [_cell(row) for row in rows]


@writes
def cell_mapping_update(context: Changing, uuid: str, values: Mapping[str, Any]) -> Row:
    """Change the columns that *values* names, and no other.

    :returns: the row as it stands then
    :raises: CellMappingNotFound; CellMappingExists where the new name is taken
    """
    values = {'updated_at': _now(), **_known(_CELL_NAMES, values)}
    query = _cells.update().where(_cells.c.uuid == uuid).values(values)
    with _cell_is_unique(values):
        context.connection.execute(query)
    transaction.prove(context, outcome.updated(_cells.c.uuid, uuid, values))
    context.noted.note_cells()
    return _get_cell(context, uuid)


@writes
def cell_mapping_destroy(context: Changing, uuid: str) -> None:
    """Remove a cell, and its resume point with it.

    :raises: CellMappingNotFound; CellMappingInUse where it still has mappings
    """
    try:
        deleted = _delete(context, _cells.delete(), _cells.c.uuid, [uuid])
    except db_exc.DBReferenceError:
        raise exception.CellMappingInUse(uuid=uuid) from None
    if not deleted:
        raise exception.CellMappingNotFound(cell=uuid)
    context.noted.note_cells()


def _get_cell(context: Connected, uuid: str) -> Row:
    row = context.connection.execute(_cells.select().where(_cells.c.uuid == uuid)).first()
    if row is None:
        raise exception.CellMappingNotFound(cell=uuid)
    return _cell(row)


@contextlib.contextmanager
def _cell_is_unique(values: Mapping[str, Any]) -> Iterator[None]:
    try:
        yield
    except db_exc.DBDuplicateEntry as error:
        _check_id(error, _cells)
        what = 'name' if 'name' in error.columns else 'uuid'
        raise exception.CellMappingExists(what=what, value=values.get(what)) from None


# One instance's mapping.


def instance_mapping_create(context: RequestContext, values: Mapping[str, Any]) -> Row:
    """Map an instance.

    :param values: ``instance_uuid`` and ``project_id``; perhaps ``cell_uuid``, ``user_id`` and
        ``queued_for_delete``
    :returns: the row
    :raises: InstanceMappingExists; CellMappingNotFound where there is no such cell
    """
    row: Row = {'created_at': _now(), 'updated_at': None, **_complete(values)}
    return _create(context, row)


@writes
def _create(context: Changing, row: Row) -> Row:
    uuid = row['instance_uuid']
    try:
        number = transaction.insert(context, _INSERT, row)
    except errors.DRIVER as error:
        kind = errors.kind_of(error)
        if kind is errors.Kind.DUPLICATE:
            _check_id(error, _mappings)
            raise exception.InstanceMappingExists(uuid=uuid) from None
        if kind is errors.Kind.REFERENCE:
            raise exception.CellMappingNotFound(cell=row['cell_uuid']) from None
        raise
    transaction.prove(context, outcome.inserted(_mappings.c.instance_uuid, uuid, number))
    return _with_cells(context, [{**row, 'id': number}])[0]


_INSERT = prepared.Insert(_mappings, [name for name in MAPPING_COLUMNS if name != 'id'])


def instance_mapping_get_by_instance_uuid(context: RequestContext, instance_uuid: str) -> Row:
    """The row of an instance.

    :raises: InstanceMappingNotFound
    """
    cached = _cache(context)
    if cached is None:
        return _read_mapping(context, instance_uuid)
    with cached.looking_up([instance_uuid]) as lookup:
        if instance_uuid not in lookup.rows:
            row = _read_mapping(context, instance_uuid)
            lookup.fill([row])
            return row
    [row] = _with_known_cells(context, [lookup.rows[instance_uuid]])
    return row


@writes
def instance_mapping_update(
    context: Changing,
    instance_uuid: str,
    values: Mapping[str, Any],
    *,
    expected_cell_uuid: str | Expected | None = ANYTHING,
) -> Row:
    """Change the columns that *values* names, and no other.

    :param expected_cell_uuid: change them only where the mapping stands with this cell
        (None: with no cell)
    :returns: the row as it stands then
    :raises: InstanceMappingNotFound; InstanceMappingConflict where the cell is not the
        expected one; CellMappingNotFound where the new cell does not exist
    """
    values = {'updated_at': _now(), **_known(_MAPPING_NAMES, values)}
    query = _mappings.update().where(_mappings.c.instance_uuid == instance_uuid)
    expected = None
    if expected_cell_uuid is not ANYTHING:
        expected = {'cell_uuid': expected_cell_uuid}
        query = query.where(_mappings.c.cell_uuid.is_not_distinct_from(expected_cell_uuid))
    with _cell_is_there(values):
        result = context.connection.execute(query.values(values))
    if result.rowcount:
        key = _mappings.c.instance_uuid
        transaction.prove(context, outcome.updated(key, instance_uuid, values, expected))
        context.noted.note_mappings([instance_uuid])
    row = _get_mapping(context, instance_uuid)
    if not result.rowcount:
        raise exception.InstanceMappingConflict(
            uuid=instance_uuid, cell_uuid=row['cell_uuid'], expected=expected_cell_uuid
        )
    return row


@writes
def instance_mapping_destroy(context: Changing, instance_uuid: str) -> None:
    """Remove the mapping of an instance.

    :raises: InstanceMappingNotFound
    """
    if not _delete(context, _mappings.delete(), _mappings.c.instance_uuid, [instance_uuid]):
        raise exception.InstanceMappingNotFound(uuid=instance_uuid)
    context.noted.note_mappings([instance_uuid])


def _cache(context: RequestContext) -> cache.Cache | None:
    """What a lookup may use. A transaction has to see what it has changed itself."""
    current = cache.current()
    return None if current is None or transaction.is_open(context) else current


@reads
def _read_mapping(context: Connected, instance_uuid: str) -> Row:
    if not known_cells.known().are_fresh:
        return _get_mapping(context, instance_uuid)
    rows = transaction.rows(context, _LOOKUP, {'uuid': instance_uuid})
    if not rows:
        raise exception.InstanceMappingNotFound(uuid=instance_uuid)
    return _with_cells(context, rows)[0]


def _get_mapping(context: Connected, instance_uuid: str) -> Row:
    """A mapping with its cell, both as they are at one time."""
    if context.own is not context:
        # A replica may have the cell as it was before this process changed it.
        rows = transaction.rows(context, _LOOKUP, {'uuid': instance_uuid})
        if not rows:
            raise exception.InstanceMappingNotFound(uuid=instance_uuid)
        return _with_cells(context, rows)[0]
    since = _since(context)
    try:
        row = context.connection.execute(_LOOKUP_WITH_CELL, {'uuid': instance_uuid}).first()
    except (ValueError, TypeError) as error:
        # SQLAlchemy lets out as it is what it makes of a time that is none.
        raise _misread(f'{error}, where instance_uuid {text.shown(instance_uuid)} is') from error
    if row is None:
        raise exception.InstanceMappingNotFound(uuid=instance_uuid)
    mapping = dict(zip(MAPPING_COLUMNS, row, strict=False))
    mapping['cell_mapping'] = None
    if mapping['cell_uuid'] is not None:
        mapping['cell_mapping'] = _cell(row[len(MAPPING_COLUMNS) :])
        _keep([mapping['cell_mapping']], since)
    return mapping


_LOOKUP = prepared.Query(
    _mappings.select().where(_mappings.c.instance_uuid == sa.bindparam('uuid'))
)
_LOOKUP_WITH_CELL = _LOOKUP.select.add_columns(*_cells.columns).outerjoin(
    _cells, _mappings.c.cell_uuid == _cells.c.uuid
)


@contextlib.contextmanager
def _cell_is_there(values: Mapping[str, Any]) -> Iterator[None]:
    try:
        yield
    except db_exc.DBReferenceError:
        raise exception.CellMappingNotFound(cell=values.get('cell_uuid')) from None


# Lists of mappings.


class Listed(NamedTuple):
    """Mappings as the database gave them, for who makes something of each: dicts take longer.

    :ivar rows: the columns of each, in the order of ``MAPPING_COLUMNS``
    :ivar cells: the row of each cell that one is in, by uuid; None is that of None
    """

    rows: Sequence[Sequence[Any]]
    cells: Mapping[str | None, Row | None]


def instance_mapping_get_all(
    context: RequestContext,
    *,
    project_id: str | None = None,
    cell_uuid: str | None = None,
    include_queued_for_delete: bool = True,
    limit: int | None = None,
    marker: str | None = None,
) -> list[Row]:
    """The mappings of a project, of a cell, of a project in a cell, or all.

    :param include_queued_for_delete: False leaves out what is queued for delete
    :raises: MarkerNotFound, where that instance is not in the list
    """
    listed = instance_mapping_list(
        context,
        project_id=project_id,
        cell_uuid=cell_uuid,
        include_queued_for_delete=include_queued_for_delete,
        limit=limit,
        marker=marker,
    )
    return _as_rows(listed)


def instance_mapping_get_by_cell_id(
    context: RequestContext,
    cell_id: int,
    *,
    limit: int | None = None,
    marker: str | None = None,
) -> list[Row]:
    """The mappings of the cell with that ``id``; none where there is no such cell.

    :raises: MarkerNotFound, where that instance is not in the list
    """
    if not isinstance(cell_id, int) or isinstance(cell_id, bool):
        # MariaDB takes '1x' for 1.
        raise exception.InvalidInput(reason=f'the id of a cell is a number, not {cell_id!r}')
    return _as_rows(instance_mapping_list(context, cell_id=cell_id, limit=limit, marker=marker))


@reads
def instance_mapping_list(
    context: Connected,
    *,
    project_id: str | None = None,
    cell_uuid: str | None = None,
    cell_id: int | None = None,
    include_queued_for_delete: bool = True,
    limit: int | None = None,
    marker: str | None = None,
) -> Listed:
    """As :func:`instance_mapping_get_all` and :func:`instance_mapping_get_by_cell_id`."""
    filters: dict[str, Any] = {
        'project_id': project_id,
        'cell_uuid': cell_uuid,
        'cell_id': cell_id,
        'queued_for_delete': None if include_queued_for_delete else False,
    }
    filters = {name: value for name, value in filters.items() if value is not None}
    rows = _page(context, _mappings, filters, limit, marker)
    return _listed(context, rows)


def _listed(context: Connected, rows: Sequence[Sequence[Any]]) -> Listed:
    wanted = {row[_CELL_PLACE] for row in rows} - {None}
    cells: dict[str | None, Row | None] = {None: None}
    cells.update(_get_cells(context, wanted))
    if not wanted <= cells.keys():
        # Moved and its cell removed since the rows were read: read it anew.
        return as_listed(_with_cells(context, list(map(_mapping, rows))))
    return Listed(rows, cells)


def as_listed(rows: Sequence[Row]) -> Listed:
    """Rows that have their cells, as a list of mappings has them."""
    cells = {row['cell_uuid']: row['cell_mapping'] for row in rows}
    return Listed([columns_of(row) for row in rows], cells)


def _as_rows(listed: Listed) -> list[Row]:
    return [
        {**_mapping(row), 'cell_mapping': listed.cells[row[_CELL_PLACE]]} for row in listed.rows
    ]


def instance_mapping_get_by_instance_uuids(
    context: RequestContext,
    instance_uuids: Iterable[str],
    *,
    limit: int | None = None,
    marker: str | None = None,
) -> list[Row]:
    """The mappings of any number of instances; those without one are left out.

    :raises: MarkerNotFound, where that instance is not in the list
    """
    listed = instance_mapping_list_by_instance_uuids(
        context, instance_uuids, limit=limit, marker=marker
    )
    return _as_rows(listed)


def instance_mapping_list_by_instance_uuids(
    context: RequestContext,
    instance_uuids: Iterable[str],
    *,
    limit: int | None = None,
    marker: str | None = None,
) -> Listed:
    """As :func:`instance_mapping_get_by_instance_uuids`."""
    _check_limit(limit)
    uuids = set(instance_uuids)
    cached = _cache(context)
    if cached is None:
        return _read_page(context, uuids, limit, marker)
    rows: list[Row] = []
    for chunk in _chunks(uuids):
        with cached.looking_up(chunk) as lookup:
            rows += lookup.rows.values()
            missing = [uuid for uuid in chunk if uuid not in lookup.rows]
            if missing:
                read = _read_mappings(context, missing)
                lookup.fill(read)
                rows += read
    page = _page_of([columns_of(row) for row in rows], limit, marker)
    return as_listed(_with_known_cells(context, list(map(_mapping, page))))


@reads
def _read_page(
    context: Connected, uuids: Collection[str], limit: int | None, marker: str | None
) -> Listed:
    return _listed(context, _page_of(_get_mappings(context, uuids), limit, marker))


@reads
def _read_mappings(context: Connected, uuids: Collection[str]) -> list[Row]:
    return list(map(_mapping, _get_mappings(context, uuids)))


def _get_mappings(context: Connected, uuids: Collection[str]) -> list[Sequence[Any]]:
    rows: list[Sequence[Any]] = []
    for chunk in _chunks(uuids):
        # A few statements serve lists of any length: the last uuid fills one up.
        chunk += chunk[-1:] * (-len(chunk) % _LENGTH_STEP)
        values = {_item(place): uuid for place, uuid in enumerate(chunk)}
        rows += transaction.tuples(context, _lookup_of(len(chunk)), values)
    return rows


@functools.lru_cache(maxsize=32)
def _lookup_of(length: int) -> prepared.Query:
    """The lookup of so many."""
    uuid = _mappings.c.instance_uuid
    items = [sa.bindparam(_item(place), type_=uuid.type) for place in range(length)]
    return prepared.Query(_mappings.select().where(uuid.in_(items)))


@functools.cache
def _item(place: int) -> str:
    return f'uuid{place}'


_LENGTH_STEP = 20


def _page_of(
    rows: list[Sequence[Any]], limit: int | None, marker: str | None
) -> Sequence[Sequence[Any]]:
    rows.sort(key=operator.itemgetter(_ID_PLACE))
    if marker is not None:
        uuids = [row[_UUID_PLACE] for row in rows]
        if marker not in uuids:
            raise exception.MarkerNotFound(marker=marker)
        rows = rows[uuids.index(marker) + 1 :]
    return rows[:limit]


@reads
def instance_mapping_scan(context: Connected, last_uuid: str, limit: int) -> list[Fact]:
    """The next *limit* mappings behind an instance uuid, in the order of these.

    Text that is not in the encoding of the database has surrogates.
    """
    query = _SCAN.where(_mappings.c.instance_uuid > last_uuid).limit(limit)
    try:
        found: Sequence[Sequence[Any]] = context.connection.execute(query).all()
    except errors.DRIVER as error:
        if errors.kind_of(error) is not Kind.MISREAD:
            raise
        # One such text must not keep the others from being read.
        found = undecoded.rows(context.connection, query)
        for uuid, _ in found:
            _check_is_text(uuid)
    if found:
        # What is no text at all comes last.
        _check_is_text(found[-1][0])
    return [(uuid, said) for uuid, said in found]


def _check_is_text(uuid: Any) -> None:
    """There is no going on behind what is none."""
    if not isinstance(uuid, str) or any('\ud800' <= each <= '\udfff' for each in uuid):
        raise _misread(f'it has instance_uuid {text.shown(uuid)}')


def _misread(why: str) -> errors.DriverError:
    return errors.DriverError(ValueError(why), Kind.MISREAD)


@reads
def instance_mapping_get_as_stored(context: Connected, instance_uuids: Iterable[str]) -> list[Row]:
    """The mappings of some instances whose values may be none of their columns'.

    Nothing is made of a value: times are as the driver gives them, and text that is not in the
    encoding of the database has surrogates. SQLite keeps anything in any column.
    """
    columns: list[sa.ColumnElement[Any]] = [sa.column(name) for name in MAPPING_COLUMNS]
    query = sa.select(*columns).select_from(_mappings)
    return [
        dict(zip(MAPPING_COLUMNS, row, strict=True))
        for chunk in _chunks(instance_uuids)
        for row in undecoded.rows(
            context.connection, query.where(_mappings.c.instance_uuid.in_(chunk))
        )
    ]


def fact(
    *texts: sa.ColumnElement[Any], queued_for_delete: sa.ColumnElement[bool]
) -> sa.ColumnElement[str]:
    """What is said of an instance, in one text that the database puts together.

    A driver takes the time of a row for each of its columns, and to compare one text takes
    less than to compare four. So long as nobody's id has a separator in it, equal texts say
    the same; what differs is to be looked at again anyway.

    :param texts: the cell's uuid, the project, the user
    :param queued_for_delete: NULL is no
    """
    said: sa.ColumnElement[str] = sa.case((queued_for_delete, '1'), else_='0')
    for each in reversed(texts):
        said = sa.func.coalesce(sa.type_coerce(each, sa.String), _NULL) + SEPARATOR + said
    return said


# ASCII's own separators, of units and of records.
SEPARATOR, _NULL = '\x1f', '\x1e'

_SCAN = sa.select(
    _mappings.c.instance_uuid,
    fact(
        _mappings.c.cell_uuid,
        _mappings.c.project_id,
        _mappings.c.user_id,
        queued_for_delete=_mappings.c.queued_for_delete == sa.true(),
    ),
).order_by(_mappings.c.instance_uuid)


def _with_known_cells(context: RequestContext, rows: list[Row]) -> list[Row]:
    """Give each row its cell, and ask the database only where this process has to."""
    wanted = _cells_of(rows)
    cells = known_cells.known().get(wanted)
    if len(cells) < len(wanted):
        return _read_cells(context, rows)
    for row in rows:
        row['cell_mapping'] = cells.get(row['cell_uuid'])
    return rows


@reads
def _read_cells(context: Connected, rows: list[Row]) -> list[Row]:
    return _with_cells(context, rows)


def _with_cells(context: Connected, rows: list[Row]) -> list[Row]:
    """Give each row its cell; the rows of one share its dict."""
    cells = _get_cells(context, _cells_of(rows))
    for row in rows:
        uuid = row['cell_uuid']
        if uuid is None:
            row['cell_mapping'] = None
        elif uuid in cells:
            row['cell_mapping'] = cells[uuid]
        else:
            # Moved and its cell removed since the rows were read: read it anew.
            row.update(_get_mapping(context.own, row['instance_uuid']))
    return rows


def _get_cells(context: Connected, uuids: Collection[str]) -> dict[str, Row]:
    """The rows of these cells, by uuid. All cells are read at once, if at all."""
    cells = _known_cells(context, uuids)
    if len(cells) < len(uuids):
        since = _since(context)
        found = context.own.connection.execute(_cells.select())
        cells = {row.uuid: _cell(row) for row in found}
        _keep(cells.values(), since)
    return cells


def _known_cells(context: Connected, uuids: Collection[str]) -> dict[str, Row]:
    noted = context.noted
    # A transaction has to see what it has changed itself, and nobody else has to.
    return {} if noted is not None and noted.have_cells else known_cells.known().get(uuids)


def _since(context: Connected) -> tuple[int, float] | None:
    """What there is to say of cells before they are read; None where they are not for others."""
    noted = context.noted
    if noted is None:
        return known_cells.known().generation, time.monotonic()
    # A transaction may see what was when it began.
    return None if noted.have_cells else (noted.generation, noted.begun_at)


def _keep(cells: Iterable[Row], since: tuple[int, float] | None) -> None:
    if since is not None:
        known_cells.known().keep(cells, *since)


def _cells_of(rows: Iterable[Row]) -> set[str]:
    return {row['cell_uuid'] for row in rows} - {None}


# Counts.


@reads
def instance_mapping_get_counts(
    context: Connected, project_id: str, user_id: str | None = None
) -> dict[str, dict[str, int]]:
    """How many instances a project has, and how many of them are a user's.

    What is queued for delete does not count.

    :returns: ``{'project': {'instances': n}}``, and with a *user_id* also
        ``'user': {'instances': n}``
    """
    theirs = [_mappings.c.project_id == project_id, _not_queued_for_delete()]
    counts = {'project': {'instances': _count(context, *theirs)}}
    if user_id is not None:
        users = _count(context, _mappings.c.user_id == user_id, *theirs)
        counts['user'] = {'instances': users}
    return counts


def instance_mapping_get_count_by_uuids_and_user(
    context: RequestContext, instance_uuids: Iterable[str], user_id: str
) -> int:
    """How many of these instances are a user's. What is queued for delete does not count."""
    # An iterator would have nothing left for a second try.
    return _count_users(context, set(instance_uuids), user_id)


@reads
def _count_users(context: Connected, uuids: Collection[str], user_id: str) -> int:
    return sum(
        _count(
            context,
            _mappings.c.instance_uuid.in_(chunk),
            _mappings.c.user_id == user_id,
            _not_queued_for_delete(),
        )
        for chunk in _chunks(uuids)
    )


@reads
def instance_mapping_count_by_cell_and_project(
    context: Connected,
) -> list[tuple[str | None, str, int, int]]:
    """How many mappings each project has in each cell, in no order.

    :returns: for each pair that has any: the cell's uuid (None: no cell), the project's id,
        how many mappings, and how many of these are queued for delete
    """
    # The columns of an index, in its order: the database counts as it reads along it.
    key = (_mappings.c.project_id, _mappings.c.queued_for_delete, _mappings.c.cell_uuid)
    query = sa.select(*key, sa.func.count()).group_by(*key)
    counts: dict[tuple[str | None, str], tuple[int, int]] = {}
    for project_id, queued, cell_uuid, number in context.connection.execute(query):
        mappings, deleted = counts.get((cell_uuid, project_id), (0, 0))
        deleted += number if queued else 0
        counts[cell_uuid, project_id] = mappings + number, deleted
    return [(*pair, *count) for pair, count in counts.items()]


def _count(context: Connected, *where: sa.ColumnElement[bool]) -> int:
    query = sa.select(sa.func.count()).select_from(_mappings).where(*where)
    return context.connection.execute(query).scalar_one()


def _not_queued_for_delete() -> sa.ColumnElement[bool]:
    # NULL, wherever it came from, is not queued; written so that an index serves it.
    queued = _mappings.c.queued_for_delete
    return sa.or_(queued == sa.false(), queued.is_(None))


# Many mappings at once.


def instance_mapping_create_bulk(
    context: RequestContext, mappings: Iterable[Mapping[str, Any]], *, with_ids: bool = False
) -> BulkResult:
    """Map many instances; each few thousand are one transaction.

    What stands already is left as it is, so that a run which was stopped can be
    repeated.

    :param mappings: values as for :func:`instance_mapping_create`; of several for one
        instance the first counts, and the others as standing already
    :param with_ids: answer the ids of the new ones as well
    :raises: CellMappingNotFound, where a cell does not exist
    """
    total = BulkResult(created=0, existing=0, conflicts={})
    ids: dict[str, int] = {}
    for chunk in _chunks(mappings, _BULK):
        rows = [_complete(values) for values in chunk]
        result = _as_if_new(context, functools.partial(_create_rows, context, rows, with_ids))
        total['created'] += result['created']
        total['existing'] += result['existing']
        total['conflicts'].update(result['conflicts'])
        ids.update(result.get('ids', {}))
    return {**total, 'ids': ids} if with_ids else total


@writes
def _create_rows(context: Changing, rows: list[Row], with_ids: bool, all_new: bool) -> BulkResult:
    return _create_missing(context, rows, all_new, with_ids)


def instance_mapping_map_batch(
    context: RequestContext,
    cell_uuid: str,
    mappings: Sequence[Mapping[str, Any]],
    *,
    last_instance_id: int,
    unmappable: int = 0,
    turn: Turn = at_once,
) -> BulkResult:
    """Map a batch of a cell's instances and note how far the cell has been read.

    Both happen or neither. An instance that was mapped to no cell yet is mapped to
    this one, and counts as created.

    :param mappings: values as for :func:`instance_mapping_create`, without ``cell_uuid``
    :param last_instance_id: the ``id`` in the cell's ``instances`` of the last row read
    :param unmappable: how many rows were read that no mapping can be made of; they are
        noted as conflicts
    :param turn: of several batches that are under way at once, the one whose turn it is
        is committed
    :raises: CellMappingNotFound
    """
    rows = [_complete({**values, 'cell_uuid': cell_uuid}) for values in mappings]
    attempt = functools.partial(
        _map_rows, context, rows, cell_uuid, last_instance_id, unmappable, turn
    )
    return _as_if_new(context, attempt, turn)


@writes
def _map_rows(
    context: Changing,
    rows: list[Row],
    cell_uuid: str,
    last_instance_id: int,
    unmappable: int,
    turn: Turn,
    all_new: bool,
) -> BulkResult:
    result = _create_or_place(context, rows, all_new)
    _take(turn)
    _note_progress(
        context,
        _map_progress,
        {'cell_uuid': cell_uuid},
        {'last_instance_id': last_instance_id},
        len(result['conflicts']) + unmappable,
    )
    return result


def instance_mapping_import_batch(
    context: RequestContext,
    mappings: Sequence[Mapping[str, Any]],
    *,
    source: str,
    last_mapping_id: int,
    unmappable: int = 0,
    turn: Turn = at_once,
) -> BulkResult:
    """Map a batch of what another database has mapped and note how far that has been read.

    Both happen or neither. An instance that was mapped to no cell yet is mapped to the cell
    that it has there, and counts as created. One that has no cell there is no conflict.

    :param mappings: values as for :func:`instance_mapping_create`, perhaps with ``created_at``
    :param source: which database, as for :func:`import_progress_get`
    :param last_mapping_id: the ``id`` there of the last row read
    :param unmappable: how many rows were read that no mapping can be made of; they are
        noted as conflicts
    :param turn: as for :func:`instance_mapping_map_batch`
    :raises: CellMappingNotFound
    """
    rows = [_complete(values) for values in mappings]
    attempt = functools.partial(
        _import_rows, context, rows, source, last_mapping_id, unmappable, turn
    )
    return _as_if_new(context, attempt, turn)


@writes
def _import_rows(
    context: Changing,
    rows: list[Row],
    source: str,
    last_mapping_id: int,
    unmappable: int,
    turn: Turn,
    all_new: bool,
) -> BulkResult:
    result = _create_or_place(context, rows, all_new)
    _take(turn)
    cellless = {row['instance_uuid'] for row in rows if row['cell_uuid'] is None}
    for uuid in cellless & result['conflicts'].keys():
        del result['conflicts'][uuid]
        result['existing'] += 1
    _note_progress(
        context,
        _import_progress,
        {'source': source},
        {'last_mapping_id': last_mapping_id},
        len(result['conflicts']) + unmappable,
    )
    return result


@writes
def instance_mapping_update_bulk(
    context: Changing, changes: Collection[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> int:
    """Change many mappings, in one transaction: those that stand as they were seen.

    :param changes: of each mapping the row as it was seen, and the columns to change
    :returns: how many were changed
    :raises: CellMappingNotFound where a new cell does not exist
    """
    alike: dict[Any, list[str]] = {}
    for seen, values in changes:
        key = tuple(values.items()), tuple(seen[name] for name in _SEEN)
        alike.setdefault(key, []).append(seen['instance_uuid'])
    return sum(
        _update_alike(context, uuids, dict(values), dict(zip(_SEEN, seen, strict=True)))
        for (values, seen), uuids in alike.items()
    )


# What another writer may have changed in a mapping since it was seen: whatever is not the row's.
_SEEN = tuple(
    name
    for name in MAPPING_COLUMNS
    if name not in ('id', 'instance_uuid', 'created_at', 'updated_at')
)


def _update_alike(context: Changing, uuids: list[str], values: Row, seen: Row) -> int:
    as_seen = [_mappings.c[name].is_not_distinct_from(value) for name, value in seen.items()]
    values = {'updated_at': _now(), **_known(_MAPPING_NAMES, values)}
    with _cell_is_there(values):
        return sum(
            _update(context, values, as_seen, chunk)
            for chunk in _of_chunks(context, as_seen, uuids)
        )


def instance_mapping_destroy_bulk(
    context: RequestContext,
    instance_uuids: Iterable[str],
    *,
    expected_cell_uuid: str | Expected | None = ANYTHING,
) -> int:
    """Remove the mappings of any number of instances, in one transaction.

    :param expected_cell_uuid: only those that stand with this cell (None: with no cell)
    :returns: how many there were
    """
    where = []
    if expected_cell_uuid is not ANYTHING:
        where.append(_mappings.c.cell_uuid.is_not_distinct_from(expected_cell_uuid))
    # An iterator would have nothing left for a second try.
    return _destroy(context, set(instance_uuids), where)


@writes
def _destroy(
    context: Changing, uuids: Collection[str], where: Sequence[sa.ColumnElement[bool]]
) -> int:
    query = _mappings.delete().where(*where)
    return sum(
        _delete(context, query, _mappings.c.instance_uuid, chunk)
        for chunk in _of_chunks(context, where, uuids)
    )


def _of_chunks(
    context: Changing, where: Sequence[sa.ColumnElement[bool]], uuids: Iterable[str]
) -> Iterator[list[str]]:
    """The uuids in parts, locked where the cache has to be told that they are changed."""
    for chunk in _chunks(uuids):
        yield _lock(context, where, chunk) if context.noted.are_cached else chunk


def _update(
    context: Changing, values: Row, where: Sequence[sa.ColumnElement[bool]], uuids: list[str]
) -> int:
    """Change those of these instances that *where* tells; answer how many."""
    key = _mappings.c.instance_uuid
    query = _mappings.update().where(*where, key.in_(uuids)).values(values)
    changed = context.connection.execute(query).rowcount
    if changed:
        transaction.prove(context, outcome.updated_all(key, uuids, values, changed))
    return changed


def _delete(
    context: Changing, query: sa.Delete, key: sa.Column[str], values: Collection[str]
) -> int:
    """Delete rows by their keys; answer how many there were."""
    query = query.where(key.in_(values))
    if not context.connection.dialect.delete_returning:
        deleted = context.connection.execute(query).rowcount
        if deleted:
            transaction.prove(context, outcome.deleted(key, values))
        return deleted
    # Their numbers tell them from those that others may insert under the same keys.
    number = key.table.c.id
    numbers = context.connection.execute(query.returning(number)).scalars().all()
    if numbers:
        transaction.prove(context, outcome.deleted(number, numbers))
    return len(numbers)


def _lock(
    context: Changing, where: Sequence[sa.ColumnElement[bool]], uuids: Collection[str]
) -> list[str]:
    """Lock the mappings that are about to be changed, and note that they are.

    Of those that would not be changed others may hold the locks, and the tombstones.
    """
    query = sa.select(_mappings.c.instance_uuid).where(_mappings.c.instance_uuid.in_(uuids))
    locked = list(context.connection.execute(query.where(*where).with_for_update()).scalars())
    context.noted.note_mappings(locked)
    return locked


class _NotAllNewError(Exception):
    """Some of the rows stand already, or one is there twice."""


def _as_if_new(
    context: RequestContext, attempt: Callable[[bool], BulkResult], turn: Turn = at_once
) -> BulkResult:
    """Attempt it as if none of its rows stood yet, and where one does, once more.

    The first run over a cell is the long one, and finds none: to ask for each row
    beforehand costs it a fifth of its time. Within a caller's transaction there is only
    one try, since a statement that fails there may end the transaction.
    """
    if not transaction.in_transaction(context):
        with contextlib.suppress(_NotAllNewError):
            return attempt(True)
    turn(None)
    return attempt(False)


def _take(turn: Turn) -> None:
    # Two runs may each have rows that the other waits for, while the client waits for its own
    # batch before: no database sees that. Who has waited in vain begins anew, in turn.
    if not turn(_PATIENCE):
        raise _NotAllNewError


# In seconds.
_PATIENCE = 2


def _create_missing(
    context: Changing, rows: list[Row], all_new: bool, with_ids: bool = False
) -> BulkResult:
    if all_new and rows:
        ids = _insert_new(context, rows, with_ids)
        result = BulkResult(created=len(rows), existing=0, conflicts={})
        return {**result, 'ids': ids} if with_ids else result
    wanted: dict[str, Row] = {}
    for row in rows:
        wanted.setdefault(row['instance_uuid'], row)
    standing = _standing(context, wanted)
    new = [row for uuid, row in wanted.items() if uuid not in standing]
    ids = _insert(context, new, with_ids) if new else {}
    standing.update((row['instance_uuid'], row['cell_uuid']) for row in new)
    conflicting = [row for row in rows if row['cell_uuid'] != standing[row['instance_uuid']]]
    result = BulkResult(
        created=len(new),
        existing=len(rows) - len(new) - len(conflicting),
        conflicts={row['instance_uuid']: standing[row['instance_uuid']] for row in conflicting},
    )
    return {**result, 'ids': ids} if with_ids else result


def _create_or_place(context: Changing, rows: list[Row], all_new: bool) -> BulkResult:
    """Create what is missing, and give those that stand with no cell the one of their row."""
    result = _create_missing(context, rows, all_new)
    conflicts = result['conflicts']
    unplaced: dict[str, list[str]] = {}
    for row in rows if None in conflicts.values() else ():
        if conflicts.get(row['instance_uuid'], '') is None:
            unplaced.setdefault(row['cell_uuid'], []).append(row['instance_uuid'])
    for cell_uuid, uuids in unplaced.items():
        for chunk in _chunks(uuids):
            result['created'] += _place(context, cell_uuid, chunk)
            # Another run may have placed them meanwhile: what a transaction saw when it began
            # would have them in no cell still.
            for uuid, cell in _standing(context, chunk, are_locked=True).items():
                if cell == cell_uuid:
                    conflicts.pop(uuid, None)
                else:
                    conflicts[uuid] = cell
    return result


def _complete(values: Mapping[str, Any]) -> Row:
    """The row of a new mapping; all have the same columns, but perhaps for ``created_at``."""
    return _DEFAULTS | _known(_CREATABLE, values, required=_MAPPING_REQUIRED)


def _default(column: sa.Column[Any]) -> Any:
    """What the database would put in: bulk_insert names each column."""
    if column.server_default is None:
        return None
    return {'false': False, '0': 0}[str(getattr(column.server_default, 'arg', None))]


_DEFAULTS: Row = {
    column.name: _default(column)
    for column in _mappings.columns
    if column.name in _CREATABLE - {*_MAPPING_REQUIRED, 'created_at'}
}


def _insert_new(context: Changing, rows: list[Row], with_ids: bool) -> dict[str, int]:
    # The last row tells a run that is repeated apart, before all are sent in vain.
    if _standing(context, [rows[-1]['instance_uuid']]):
        raise _NotAllNewError
    try:
        return _insert(context, rows, with_ids)
    except db_exc.RetryRequest:
        raise _NotAllNewError from None


def _insert(context: Changing, rows: list[Row], with_ids: bool) -> dict[str, int]:
    """Answer the ids by instance uuid, if they are asked for."""
    now = _now()
    for row in rows:
        row['created_at'] = row.get('created_at') or now
    returning = (_mappings.c.instance_uuid, _mappings.c.id) if with_ids else ()
    try:
        returned = bulk_insert.insert(context.connection, _mappings, rows, returning)
    except db_exc.DBDuplicateEntry as error:
        _check_id(error, _mappings)
        # Somebody mapped one of them since we looked. Look again, in a new transaction.
        raise db_exc.RetryRequest(error) from error
    except db_exc.DBReferenceError:
        # Which one is not known: a failed transaction answers no questions.
        cells = sorted({row['cell_uuid'] for row in rows} - {None})
        raise exception.CellMappingNotFound(cell=' or '.join(cells)) from None
    transaction.prove(context, outcome.inserted_all(_mappings.c.instance_uuid, rows))
    ids = dict(returned)
    if with_ids and not ids:
        # MySQL does not tell.
        for chunk in _chunks(row['instance_uuid'] for row in rows):
            query = sa.select(*returning).where(_mappings.c.instance_uuid.in_(chunk))
            ids.update((uuid, number) for uuid, number in context.connection.execute(query).all())
    return ids


def _standing(
    context: Connected, uuids: Collection[str], *, are_locked: bool = False
) -> dict[str, str | None]:
    """The cell of each of these instances that has a mapping.

    :param are_locked: lock their rows, and so read them as they are
    """
    standing: dict[str, str | None] = {}
    for chunk in _chunks(uuids):
        query = sa.select(_mappings.c.instance_uuid, _mappings.c.cell_uuid).where(
            _mappings.c.instance_uuid.in_(chunk)
        )
        if are_locked:
            query = query.with_for_update()
        standing.update((row[0], row[1]) for row in context.connection.execute(query))
    return standing


def _place(context: Changing, cell_uuid: str, uuids: Sequence[str]) -> int:
    """Map to a cell those of *uuids* that are mapped to none; answer how many."""
    where = [_mappings.c.cell_uuid.is_(None)]
    values: Row = {'cell_uuid': cell_uuid, 'updated_at': _now()}
    return sum(
        _update(context, values, where, chunk) for chunk in _of_chunks(context, where, uuids)
    )


# How far map_instances and import_nova have come.


@reads_own
def map_progress_get(context: Connected, cell_uuid: str) -> Row | None:
    """How far the run that was stopped had come in a cell.

    :returns: ``last_instance_id``, the ``id`` in the cell's ``instances`` of the last row that
        was dealt with, and ``conflicts``, how many were met; None where no run was stopped
    """
    return _get_progress(context, _map_progress.c.last_instance_id, {'cell_uuid': cell_uuid})


@writes
def map_progress_clear(context: Changing, cell_uuid: str) -> None:
    """Let the next run begin at the cell's first instance."""
    _clear_progress(context, _map_progress, {'cell_uuid': cell_uuid})


@reads_own
def import_progress_get(context: Connected, source: str) -> Row | None:
    """How far the import that was stopped had come in another database.

    :param source: which database, in 64 characters
    :returns: ``last_mapping_id``, the ``id`` there of the last row that was dealt with, and
        ``conflicts``, how many were met; None where no import was stopped
    """
    return _get_progress(context, _import_progress.c.last_mapping_id, {'source': source})


@writes
def import_progress_clear(context: Changing, source: str) -> None:
    """Let the next import from a database begin at its first mapping."""
    _clear_progress(context, _import_progress, {'source': source})


def _get_progress(context: Connected, come_to: sa.Column[int], of: Row) -> Row | None:
    table = come_to.table
    query = sa.select(come_to, table.c.conflicts).where(*_equal(table, of))
    row = context.connection.execute(query).first()
    return None if row is None else dict(row._mapping)


def _clear_progress(context: Changing, table: sa.Table, of: Row) -> None:
    context.connection.execute(table.delete().where(*_equal(table, of)))


def _note_progress(
    context: Changing, table: sa.Table, of: Row, come_to: Row, conflicts: int
) -> None:
    if not context.proofs:
        # The conflicts are not to be counted twice.
        place = sa.and_(*_equal(table, {**of, **come_to}))
        transaction.prove(context, outcome.come_to(place))
    update = table.update().where(*_equal(table, of))
    update = update.values(**come_to, conflicts=table.c.conflicts + conflicts, updated_at=_now())
    if context.connection.execute(update).rowcount:
        return
    insert = table.insert().values(**of, **come_to, conflicts=conflicts, created_at=_now())
    try:
        with _cell_is_there(of):
            context.connection.execute(insert)
    except db_exc.DBDuplicateEntry as error:
        # Another run noted its own first batch meanwhile.
        raise db_exc.RetryRequest(error) from error


def _equal(table: sa.Table, values: Row) -> list[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in values.items()]


# What the functions above share.


def _page(
    context: Connected,
    table: sa.Table,
    filters: Mapping[str, Any],
    limit: int | None,
    marker: str | None,
) -> Sequence[Sequence[Any]]:
    """Rows after the marker, found by key: a page far down costs what the first does.

    :param filters: names of ``_FILTERS``, each with its value
    """
    _check_limit(limit)
    values = dict(filters)
    if marker is not None:
        found = transaction.rows(
            context, _marker_query(table, *filters), {**filters, 'marker': marker}
        )
        if not found:
            raise exception.MarkerNotFound(marker=marker)
        values['last_id'] = found[0]['id']
    if limit is not None:
        values['limit'] = limit
    return transaction.tuples(context, _page_query(table, *values), values)


@functools.cache
def _marker_query(table: sa.Table, *filters: str) -> prepared.Query:
    key = table.c.uuid if table is _cells else table.c.instance_uuid
    where = [_FILTERS[name] for name in filters]
    return prepared.Query(sa.select(table.c.id).where(key == sa.bindparam('marker'), *where))


@functools.cache
def _page_query(table: sa.Table, *names: str) -> prepared.Query:
    query = table.select().order_by(table.c.id)
    for name in names:
        if name == 'limit':
            query = query.limit(sa.bindparam('limit', type_=sa.Integer))
        elif name == 'last_id':
            query = query.where(table.c.id > sa.bindparam('last_id'))
        else:
            query = query.where(_FILTERS[name])
    return prepared.Query(query)


# What a list may be of, in terms of a parameter of the same name.
_FILTERS: dict[str, sa.ColumnElement[bool]] = {
    'project_id': _mappings.c.project_id == sa.bindparam('project_id'),
    'cell_uuid': _mappings.c.cell_uuid == sa.bindparam('cell_uuid'),
    'cell_id': _mappings.c.cell_uuid
    == sa.select(_cells.c.uuid).where(_cells.c.id == sa.bindparam('cell_id')).scalar_subquery(),
    'queued_for_delete': _not_queued_for_delete(),
    'disabled': _cells.c.disabled == sa.bindparam('disabled'),
    'used_by': _cells.c.uuid.in_(
        sa.select(_mappings.c.cell_uuid)
        .where(_mappings.c.project_id == sa.bindparam('used_by'))
        .distinct()
    ),
}


def _check_id(error: BaseException, table: sa.Table) -> None:
    """:raises: DatabaseError where a row is refused for the id that the database itself gave it"""
    if errors.is_of_primary_key(error):
        raise exception.DatabaseError(
            reason=f'it gave a new row of {table.name} an id that is taken, as after a restore '
            'that left its sequence or AUTO_INCREMENT behind. Set that past the greatest id.'
        ) from None


def _check_limit(limit: int | None) -> None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
        raise exception.InvalidInput(reason=f'limit {limit!r} is not a number of rows')


def _cell(row: Iterable[Any]) -> Row:
    return dict(zip(_CELL_COLUMNS, row, strict=True))


def _mapping(row: Iterable[Any]) -> Row:
    return dict(zip(MAPPING_COLUMNS, row, strict=True))


def _known(
    columns: Set[str], values: Mapping[str, Any], required: Collection[str] = ()
) -> dict[str, Any]:
    if not values.keys() <= columns:
        unknown = values.keys() - columns
        raise exception.InvalidInput(reason=f'no such column: {", ".join(sorted(unknown))}')
    for column, value in values.items():
        # SQLite would keep more than its column is for.
        if (
            type(value) is str
            and len(value) > _SHORTEST
            and len(value) > _LENGTHS.get(column, sys.maxsize)
        ):
            raise exception.InvalidInput(
                reason=f'{column} has {len(value)} characters, the limit is {_LENGTHS[column]}'
            )
    missing = [column for column in required if values.get(column) is None]
    if missing:
        raise exception.InvalidInput(reason=f'without a value: {", ".join(missing)}')
    return dict(values)


def _chunks(items: Iterable[_T], size: int = _CHUNK) -> Iterator[list[_T]]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def _now() -> datetime.datetime:
    now: datetime.datetime = timeutils.utcnow()
    return now.replace(microsecond=0)
