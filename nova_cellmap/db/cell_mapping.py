# SPDX-License-Identifier: Apache-2.0
"""The queries of cells."""

from collections.abc import Collection, Iterable, Iterator, Mapping
import contextlib
import time
from typing import Any, TypedDict

from oslo_db import exception as db_exc
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import url
from nova_cellmap.db import columns
from nova_cellmap.db import outcome
from nova_cellmap.db import pages
from nova_cellmap.db import statements
from nova_cellmap.db import transaction
from nova_cellmap.db.caching.known_cells import KnownCells
from nova_cellmap.db.columns import Row
from nova_cellmap.db.connected import Changing
from nova_cellmap.db.connected import Connected
from nova_cellmap.db.resume_files import ResumeFiles
from nova_cellmap.db.schemas.schema import Schema
from nova_cellmap.db.transaction import reads
from nova_cellmap.db.transaction import reads_own
from nova_cellmap.db.transaction import writes

# In which a cell differs from one of the same uuid.
_CELL_TELLING = ('name', 'transport_url', 'database_connection')


class CellBulkResult(TypedDict):
    """What became of the cells that were to be added.

    ``created`` and ``existing`` count those that are new and those that existed already with
    the same values. The others were left alone: ``different`` gives, by uuid, the columns in
    which an existing cell differs; ``taken``, by uuid, the column (``name`` or
    ``database_connection``) whose value is another cell's, and that cell's uuid.
    """

    created: int
    existing: int
    different: dict[str, list[str]]
    taken: dict[str, tuple[str, str]]


@writes
def cell_mapping_create(context: Changing, values: Mapping[str, Any]) -> Row:
    """Add a cell.

    :param values: ``uuid``, ``transport_url`` and ``database_connection``; perhaps ``name``
        and ``disabled``
    :returns: the row
    :raises: CellMappingExists where its uuid or its name is taken
    """
    values = columns.new_cell(values)
    _check_name(context, values)
    with _is_unique(context.schema, values):
        _insert(context, {**values, 'created_at': columns.now()})
    return _get(context, values['uuid'])


@writes
def cell_mapping_create_bulk(
    context: Changing, cells: Collection[Mapping[str, Any]]
) -> CellBulkResult:
    """Add cells, in one transaction. What exists already is left as it is.

    A cell whose name or database is another cell's is not added. Whether a cell is disabled
    makes it no different.

    :param cells: values as for :func:`cell_mapping_create`, perhaps with ``created_at``
    """
    result = CellBulkResult(created=0, existing=0, different={}, taken={})
    found = context.connection.execute(columns.cells(context.schema))
    existing = {row['uuid']: row for row in map(columns.cell, found)}
    for each in cells:
        values = columns.new_cell(each)
        uuid = values['uuid']
        if uuid in existing:
            names = [name for name in _CELL_TELLING if values.get(name) != existing[uuid][name]]
            if names:
                result['different'][uuid] = names
            else:
                result['existing'] += 1
        elif taken := _taken(values, existing.values()):
            result['taken'][uuid] = taken
        else:
            _insert_or_retry(context, values)
            existing[uuid] = {'name': None, **values}
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


def _insert_or_retry(context: Changing, values: Row) -> None:
    created_at = values.get('created_at') or columns.now()
    try:
        _insert(context, {**values, 'created_at': created_at})
    except db_exc.DBDuplicateEntry as error:
        columns.check_id(error, context.schema.cell_mapping)
        # Somebody added it, or took its name, since we looked. Look again.
        raise db_exc.RetryRequest(error) from error


def _insert(context: Changing, values: Row) -> None:
    table = context.schema.cell_mapping
    result: Any = context.connection.execute(table.insert().values(values))
    number = int(result.inserted_primary_key[0])
    transaction.prove(context, outcome.inserted(table.c.uuid, values['uuid'], number))
    context.noted.note_cells()


@reads_own
def cell_mapping_get_by_uuid(context: Connected, uuid: str) -> Row:
    """The row of a cell.

    :raises: CellMappingNotFound
    """
    return _get(context, uuid)


@reads_own
def cell_mapping_get_by_name(context: Connected, name: str) -> Row:
    """The row of the cell of that name; upper and lower case differ.

    :raises: CellMappingNotFound; CellNameNotUnique
    """
    query = columns.cells(context.schema).where(context.schema.cell_mapping.c.name == name)
    found = list(map(columns.cell, context.connection.execute(query)))
    if not found:
        raise exception.CellMappingNotFound(cell=name)
    if len(found) > 1:
        cells = ', '.join(row['uuid'] for row in found)
        raise exception.CellNameNotUnique(name=name, cells=cells)
    return found[0]


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
    rows = pages.page(context, context.schema.cell_mapping, filters, limit, marker)
    return list(map(columns.cell, rows))


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
    filters = {'used_by': project_id}
    rows = pages.page(context, context.schema.cell_mapping, filters, limit, marker)
    return list(map(columns.cell, rows))


@writes
def cell_mapping_update(context: Changing, uuid: str, values: Mapping[str, Any]) -> Row:
    """Change the columns that *values* names, and no other.

    With another ``database_connection`` its resume point goes: how far the previous one was read
    says nothing of it.

    :returns: the row as it is then
    :raises: CellMappingNotFound; CellMappingExists where the new name is taken
    """
    values = columns.changed_cell(values)
    table = context.schema.cell_mapping
    _check_name(context, {'uuid': uuid, **values})
    with _is_unique(context.schema, values):
        context.connection.execute(table.update().where(table.c.uuid == uuid).values(values))
    transaction.prove(context, outcome.updated(table.c.uuid, uuid, values))
    context.noted.note_cells()
    if 'database_connection' in values and context.schema.map_progress is not None:
        points = context.schema.map_progress
        context.connection.execute(points.delete().where(points.c.cell_uuid == uuid))
    return _get(context, uuid)


@reads_own
def cell_mapping_has_hosts(context: Connected, uuid: str) -> bool:
    """Whether Nova has mapped hosts to a cell, in tables that are Nova's."""
    return _has_hosts(context, uuid)


@writes
def cell_mapping_destroy(context: Changing, uuid: str) -> None:
    """Remove a cell, and its resume point with it.

    :raises: CellMappingNotFound; CellMappingInUse where it still has mappings, CellHasHosts
        where Nova has mapped hosts to it
    """
    table = context.schema.cell_mapping
    _check_hosts(context, uuid)
    _check_mappings(context, uuid)
    try:
        deleted = statements.delete(context, table.delete(), table.c.uuid, [uuid])
    except db_exc.DBReferenceError:
        raise exception.CellMappingInUse(uuid=uuid) from None
    if not deleted:
        raise exception.CellMappingNotFound(cell=uuid)
    context.noted.note_cells()
    if context.schema.map_progress is None:
        resume = context.runtime.part(ResumeFiles)
        context.after.append(lambda: resume.clear('map', uuid))


def _check_hosts(context: Changing, uuid: str) -> None:
    if _has_hosts(context, uuid):
        raise exception.CellHasHosts(uuid=uuid)


def _has_hosts(context: Connected, uuid: str) -> bool:
    hosts, cells = context.schema.host_mapping, context.schema.cell_mapping
    if hosts is None:
        return False
    query = sa.select(hosts.c.cell_id).join(cells, hosts.c.cell_id == cells.c.id).limit(1)
    return context.connection.execute(query.where(cells.c.uuid == uuid)).first() is not None


def _check_name(context: Changing, values: Row) -> None:
    """Check, where no index does, that no other cell has a name.

    Who comes at the same time waits for the cells that are there.

    :raises: CellMappingExists
    """
    name, table = values.get('name'), context.schema.cell_mapping
    if name is None or context.schema.have_cells_unique_names:
        return
    context.connection.execute(sa.select(table.c.id).order_by(table.c.id).with_for_update())
    others = sa.select(table.c.id).where(table.c.name == name, table.c.uuid != values['uuid'])
    if context.connection.execute(others.limit(1)).first():
        raise exception.CellMappingExists(what='name', value=name)


def check_reference(context: Changing, uuid: str | None) -> None:
    """Check, where the database does not, that a mapping may name a cell.

    :raises: CellMappingNotFound
    """
    if uuid is not None and not context.schema.are_cells_checked:
        table = context.schema.cell_mapping
        query = sa.select(table.c.id).where(table.c.uuid == uuid)
        if context.connection.execute(query).first() is None:
            raise exception.CellMappingNotFound(cell=uuid)


def _check_mappings(context: Changing, uuid: str) -> None:
    """:raises: CellMappingInUse, where the database would not see it"""
    if not context.schema.are_cells_checked:
        mappings = context.schema.instance_mapping
        named = sa.select(mappings.c.id).where(mappings.c.cell_uuid == uuid).limit(1)
        if context.connection.execute(named).first() is not None:
            raise exception.CellMappingInUse(uuid=uuid)


def _get(context: Connected, uuid: str) -> Row:
    query = columns.cells(context.schema).where(context.schema.cell_mapping.c.uuid == uuid)
    row = context.connection.execute(query).first()
    if row is None:
        raise exception.CellMappingNotFound(cell=uuid)
    return columns.cell(row)


@contextlib.contextmanager
def _is_unique(schema: Schema, values: Mapping[str, Any]) -> Iterator[None]:
    try:
        yield
    except db_exc.DBDuplicateEntry as error:
        columns.check_id(error, schema.cell_mapping)
        what = 'name' if 'name' in error.columns else 'uuid'
        raise exception.CellMappingExists(what=what, value=values.get(what)) from None


@contextlib.contextmanager
def must_exist(context: Changing, values: Mapping[str, Any]) -> Iterator[None]:
    """A block that writes these values.

    :raises: CellMappingNotFound where there is no such ``cell_uuid``
    """
    check_reference(context, values.get('cell_uuid'))
    try:
        yield
    except db_exc.DBReferenceError:
        raise exception.CellMappingNotFound(cell=values.get('cell_uuid')) from None


# The cells of mappings, which this process knows for a while.


def rows_by_uuid(context: Connected, uuids: Collection[str]) -> dict[str, Row]:
    """The rows of these cells, by uuid. All cells are read at once, if at all."""
    cells = _known(context, uuids)
    if len(cells) < len(uuids):
        before = since(context)
        found = context.own.connection.execute(columns.cells(context.schema))
        cells = {row['uuid']: row for row in map(columns.cell, found)}
        keep(context, cells.values(), before)
    return cells


def _known(context: Connected, uuids: Collection[str]) -> dict[str, Row]:
    noted = context.noted
    # A transaction has to see what it has changed itself, and nobody else has to.
    if noted is not None and noted.have_cells:
        return {}
    return context.runtime.part(KnownCells).get(uuids)


def since(context: Connected) -> tuple[int, float] | None:
    """What there is to say of cells before they are read; None where they are not for others."""
    noted = context.noted
    if noted is None:
        return context.runtime.part(KnownCells).generation, time.monotonic()
    # A transaction may see what was when it began.
    return None if noted.have_cells else (noted.generation, noted.begun_at)


def keep(context: Connected, cells: Iterable[Row], since: tuple[int, float] | None) -> None:
    """Know these cells, which were read after what :func:`since` said."""
    if since is not None:
        context.runtime.part(KnownCells).keep(cells, *since)
