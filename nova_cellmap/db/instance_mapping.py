# SPDX-License-Identifier: Apache-2.0
"""The queries of mappings: one, lists, counts."""

from collections.abc import Collection, Iterable, Mapping, Sequence
import operator
from typing import Any, overload

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import runtime
from nova_cellmap.context import RequestContext
from nova_cellmap.db import cell_mapping
from nova_cellmap.db import columns
from nova_cellmap.db import errors
from nova_cellmap.db import outcome
from nova_cellmap.db import pages
from nova_cellmap.db import statements
from nova_cellmap.db import transaction
from nova_cellmap.db.caching import cache
from nova_cellmap.db.caching.known_cells import KnownCells
from nova_cellmap.db.columns import ANYTHING
from nova_cellmap.db.columns import CELL_PLACE
from nova_cellmap.db.columns import ID_PLACE
from nova_cellmap.db.columns import MAPPING_COLUMNS
from nova_cellmap.db.columns import UUID_PLACE
from nova_cellmap.db.columns import Expected
from nova_cellmap.db.columns import Row
from nova_cellmap.db.connected import Changing
from nova_cellmap.db.connected import Connected
from nova_cellmap.db.schemas.schema import NO_CELL
from nova_cellmap.db.schemas.schema import Schema
from nova_cellmap.db.transaction import reads
from nova_cellmap.db.transaction import writes

# One.


def instance_mapping_create(context: RequestContext, values: Mapping[str, Any]) -> Row:
    """Map an instance.

    :param values: ``instance_uuid`` and ``project_id``; perhaps ``cell_uuid``, ``user_id`` and
        ``queued_for_delete``
    :returns: the row
    :raises: InstanceMappingExists; CellMappingNotFound where there is no such cell
    """
    values = columns.new_mapping(values)
    return _create(context, {'created_at': columns.now(), 'updated_at': None, **values})


@writes
def _create(context: Changing, row: Row) -> Row:
    uuid = row['instance_uuid']
    table = context.schema.instance_mapping
    cell_mapping.check_reference(context, row['cell_uuid'])
    try:
        number = context.insert(_insert(context.schema), row)
    except errors.DRIVER as error:
        kind = errors.kind_of(error)
        if kind is errors.Kind.DUPLICATE:
            columns.check_id(error, table)
            raise exception.InstanceMappingExists(uuid=uuid) from None
        if kind is errors.Kind.REFERENCE:
            raise exception.CellMappingNotFound(cell=row['cell_uuid']) from None
        raise
    transaction.prove(context, outcome.inserted(table.c.instance_uuid, uuid, number))
    return _listed(context, [columns.columns_of({**row, 'id': number})])[0]


@statements.of_schema
def _insert(schema: Schema) -> statements.Insert:
    return statements.Insert(
        schema.instance_mapping, [name for name in MAPPING_COLUMNS if name != 'id']
    )


def instance_mapping_get_by_instance_uuid(context: RequestContext, instance_uuid: str) -> Row:
    """The row of an instance.

    :raises: InstanceMappingNotFound
    """
    cached = _cache(context)
    if cached is None:
        return read(context, instance_uuid)
    [row] = cached.find([instance_uuid], lambda _: [read(context, instance_uuid)])
    return _with_known_cells(context, [columns.columns_of(row)])[0]


@writes
def instance_mapping_update(
    context: Changing,
    instance_uuid: str,
    values: Mapping[str, Any],
    *,
    expected_cell_uuid: str | Expected | None = ANYTHING,
) -> Row:
    """Change the columns that *values* names, and no other.

    :param expected_cell_uuid: change them only where the mapping has this cell (None: no cell)
    :returns: the row as it is then
    :raises: InstanceMappingNotFound; InstanceMappingConflict where the cell is not the
        expected one; CellMappingNotFound where the new cell does not exist
    """
    values = columns.changed_mapping(values)
    table = context.schema.instance_mapping
    is_it = table.c.instance_uuid == instance_uuid
    query = table.update().where(is_it, *context.schema.is_mapping)
    expected = None
    if expected_cell_uuid is not ANYTHING:
        expected = {'cell_uuid': expected_cell_uuid}
        query = query.where(table.c.cell_uuid.is_not_distinct_from(expected_cell_uuid))
    with cell_mapping.must_exist(context, values):
        result = context.connection.execute(query.values(values))
    if result.rowcount:
        proof = outcome.updated(table.c.instance_uuid, instance_uuid, values, expected)
        transaction.prove(context, proof)
        context.noted.note_mappings([instance_uuid])
    row = _get(context, instance_uuid)
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
    table = context.schema.instance_mapping
    query = table.delete().where(*context.schema.is_mapping)
    if not statements.delete(context, query, table.c.instance_uuid, [instance_uuid]):
        raise exception.InstanceMappingNotFound(uuid=instance_uuid)
    context.noted.note_mappings([instance_uuid])


def _cache(context: RequestContext) -> cache.Cache | None:
    """What a lookup may use. A transaction has to see what it has changed itself."""
    current = cache.of(runtime.of(context))
    return None if current is None or transaction.is_open(context) else current


@reads
def read(context: Connected, instance_uuid: str) -> Row:
    """Look a mapping up in the database."""
    if not context.runtime.part(KnownCells).are_fresh:
        return _get(context, instance_uuid)
    return _get_with_known_cell(context, instance_uuid)


def _get_with_known_cell(context: Connected, instance_uuid: str) -> Row:
    rows = context.tuples(_lookup(context.schema), {'uuid': instance_uuid})
    if not rows:
        raise exception.InstanceMappingNotFound(uuid=instance_uuid)
    return _listed(context, rows)[0]


def _get(context: Connected, instance_uuid: str) -> Row:
    """A mapping with its cell, both as they are at one time."""
    if context.own is not context:
        # A replica may have the cell as it was before this process changed it.
        return _get_with_known_cell(context, instance_uuid)
    since = cell_mapping.since(context)
    query = _lookup_with_cell(context.schema)
    found = query.executed(context.connection, {'uuid': instance_uuid})
    if not found:
        raise exception.InstanceMappingNotFound(uuid=instance_uuid)
    [row] = found
    mapping = columns.mapping(row[: len(MAPPING_COLUMNS)])
    mapping['cell_mapping'] = None
    if mapping['cell_uuid'] is not None:
        mapping['cell_mapping'] = columns.cell(row[len(MAPPING_COLUMNS) :])
        cell_mapping.keep(context, [mapping['cell_mapping']], since)
    return mapping


@statements.of_schema
def _lookup(schema: Schema) -> statements.Query:
    return statements.Query(
        columns.mappings(schema).where(
            schema.instance_mapping.c.instance_uuid == sa.bindparam('uuid')
        )
    )


@statements.of_schema
def _lookup_with_cell(schema: Schema) -> statements.Query:
    of_mapping = schema.mapping_columns(MAPPING_COLUMNS)
    return statements.Query(
        sa.select(*of_mapping, *schema.cell_columns(columns.CELL_COLUMNS))
        .select_from(schema.with_cells)
        .where(schema.instance_mapping.c.instance_uuid == sa.bindparam('uuid'), *schema.is_mapping)
    )


# Lists.


class MappingRows(Sequence[Row]):
    """Mappings, each of which becomes a row when it is asked for.

    A list of objects is built on the columns: dicts take longer.

    :ivar columns: of each, in the order of ``MAPPING_COLUMNS``
    :ivar cells: the row of each cell that one is in, by uuid
    """

    def __init__(self, columns: Sequence[Sequence[Any]], cells: Mapping[str, Row]) -> None:
        self.columns = columns
        self.cells = cells

    def __len__(self) -> int:
        return len(self.columns)

    @overload
    def __getitem__(self, place: int) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...

    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return list(map(self._row, self.columns[place]))
        return self._row(self.columns[place])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __repr__(self) -> str:
        return repr(list(self))

    def _row(self, columns: Sequence[Any]) -> Row:
        row: Row = dict(zip(MAPPING_COLUMNS, columns))  # noqa: B905 - it is slower
        row['cell_mapping'] = self.cells.get(columns[CELL_PLACE])
        return row


def instance_mapping_get_all(
    context: RequestContext,
    *,
    project_id: str | None = None,
    cell_uuid: str | None = None,
    include_queued_for_delete: bool = True,
    limit: int | None = None,
    marker: str | None = None,
) -> MappingRows:
    """The mappings of a project, of a cell, of a project in a cell, or all.

    :param include_queued_for_delete: False leaves out what is queued for delete
    :raises: MarkerNotFound, where that instance is not in the list
    """
    filters: dict[str, Any] = {
        'project_id': project_id,
        'cell_uuid': cell_uuid,
        'queued_for_delete': None if include_queued_for_delete else False,
    }
    filters = {name: value for name, value in filters.items() if value is not None}
    return _list(context, filters, limit, marker)


def instance_mapping_get_by_cell_id(
    context: RequestContext,
    cell_id: int,
    *,
    limit: int | None = None,
    marker: str | None = None,
) -> MappingRows:
    """The mappings of the cell with that ``id``; none where there is no such cell.

    :raises: MarkerNotFound, where that instance is not in the list
    """
    if not isinstance(cell_id, int) or isinstance(cell_id, bool):
        # MariaDB takes '1x' for 1.
        raise exception.InvalidInput(reason=f'the id of a cell is a number, not {cell_id!r}')
    if abs(cell_id) > columns.MOST_ROWS:
        # Some databases take it for wrong.
        cell_id = NO_CELL
    return _list(context, {'cell_id': cell_id}, limit, marker)


@reads
def _list(
    context: Connected, filters: Mapping[str, Any], limit: int | None, marker: str | None
) -> MappingRows:
    rows = pages.page(context, context.schema.instance_mapping, filters, limit, marker)
    return _listed(context, rows)


def instance_mapping_get_by_instance_uuids(
    context: RequestContext,
    instance_uuids: Iterable[str],
    *,
    limit: int | None = None,
    marker: str | None = None,
) -> MappingRows:
    """The mappings of any number of instances; those without one are left out.

    :raises: MarkerNotFound, where that instance is not in the list
    """
    pages.check_limit(limit)
    uuids = set(instance_uuids)
    cached = _cache(context)
    if cached is None:
        return _read_page(context, uuids, limit, marker)

    def read_missing(missing: Collection[str]) -> Iterable[Row]:
        return map(columns.mapping, _read_many(context, missing))

    rows: list[Sequence[Any]] = []
    for chunk in columns.chunks(uuids):
        rows += map(columns.columns_of, cached.find(chunk, read_missing))
    return _with_known_cells(context, _page_of(rows, limit, marker))


@reads
def _read_page(
    context: Connected, uuids: Collection[str], limit: int | None, marker: str | None
) -> MappingRows:
    return _listed(context, _page_of(get_many(context, uuids), limit, marker))


@reads
def _read_many(context: Connected, uuids: Collection[str]) -> list[Sequence[Any]]:
    return get_many(context, uuids)


def get_many(context: Connected, uuids: Collection[str]) -> list[Sequence[Any]]:
    """The columns of these instances' mappings, in no order."""
    query = _lookup_many(context.schema)
    # With texts for the driver, one for each length, it takes two thirds of the time, not half.
    rows: list[Sequence[Any]] = []
    for chunk in columns.chunks(uuids):
        rows += query.executed(context.connection, {'uuids': chunk})
    return rows


@statements.of_schema
def _lookup_many(schema: Schema) -> statements.Query:
    is_one = schema.instance_mapping.c.instance_uuid.in_(sa.bindparam('uuids', expanding=True))
    return statements.Query(columns.mappings(schema).where(is_one))


def _page_of(
    rows: list[Sequence[Any]], limit: int | None, marker: str | None
) -> Sequence[Sequence[Any]]:
    rows.sort(key=operator.itemgetter(ID_PLACE))
    if marker is not None:
        uuids = [row[UUID_PLACE] for row in rows]
        if marker not in uuids:
            raise exception.MarkerNotFound(marker=marker)
        rows = rows[uuids.index(marker) + 1 :]
    return rows[:limit]


# Their cells.


def _with_known_cells(context: RequestContext, rows: Sequence[Sequence[Any]]) -> MappingRows:
    """Ask the database for cells only where this process has to."""
    wanted = _cells_of(rows)
    cells = runtime.of(context).part(KnownCells).get(wanted)
    if len(cells) < len(wanted):
        return _with_cells(context, rows)
    return MappingRows(rows, cells)


@reads
def _with_cells(context: Connected, rows: Sequence[Sequence[Any]]) -> MappingRows:
    return _listed(context, rows)


def _listed(context: Connected, rows: Sequence[Sequence[Any]]) -> MappingRows:
    wanted = _cells_of(rows)
    cells = cell_mapping.rows_by_uuid(context, wanted)
    missing = wanted - cells.keys()
    if not missing:
        return MappingRows(rows, cells)
    # Moved and its cell removed since the rows were read: read it again.
    current = []
    for row in rows:
        if row[CELL_PLACE] in missing:
            mapping = _get(context.own, row[UUID_PLACE])
            if mapping['cell_mapping'] is not None:
                cells[mapping['cell_uuid']] = mapping['cell_mapping']
            row = columns.columns_of(mapping)
        current.append(row)
    return MappingRows(current, cells)


def _cells_of(rows: Iterable[Sequence[Any]]) -> set[str]:
    return {row[CELL_PLACE] for row in rows} - {None}
