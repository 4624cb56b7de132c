# SPDX-License-Identifier: Apache-2.0
"""Many mappings at once, and resume points with them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from nova_cellmap.context import RequestContext
from nova_cellmap.db import batch
from nova_cellmap.db import cell_mapping
from nova_cellmap.db import columns
from nova_cellmap.db import progress
from nova_cellmap.db import statements
from nova_cellmap.db.batch import Batch
from nova_cellmap.db.batch import BulkResult
from nova_cellmap.db.batch import Turn
from nova_cellmap.db.batch import at_once
from nova_cellmap.db.columns import ANYTHING
from nova_cellmap.db.columns import Expected
from nova_cellmap.db.columns import Row
from nova_cellmap.db.connected import Changing
from nova_cellmap.db.transaction import writes

# How many rows are written in one transaction: each has to wait for the disk.
_BULK = 5000
# What another writer may have changed in a mapping since it was seen: whatever is not the row's.
_SEEN = tuple(
    name
    for name in columns.MAPPING_COLUMNS
    if name not in ('id', 'instance_uuid', 'created_at', 'updated_at')
)


def instance_mapping_create_bulk(
    context: RequestContext, mappings: Iterable[Mapping[str, Any]], *, with_ids: bool = False
) -> BulkResult:
    """Map many instances; each few thousand are one transaction.

    What exists already is left as it is, so that a run which was stopped can be
    repeated.

    :param mappings: values as for :func:`instance_mapping_create`; of several for one
        instance the first counts, and the others as existing already
    :param with_ids: answer the ids of the new ones as well
    :raises: CellMappingNotFound, where a cell does not exist
    """
    total = BulkResult(created=0, existing=0, conflicts={})
    ids: dict[str, int] = {}
    for chunk in columns.chunks(mappings, _BULK):
        rows = list(map(columns.new_mapping, chunk))
        result = Batch(rows, with_ids=with_ids).create(context)
        total['created'] += result['created']
        total['existing'] += result['existing']
        total['conflicts'].update(result['conflicts'])
        ids.update(result.get('ids', {}))
    return {**total, 'ids': ids} if with_ids else total


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

    def note(context: Changing, result: BulkResult) -> None:
        conflicts = len(result['conflicts']) + unmappable
        progress.note_map(context, cell_uuid, last_instance_id, conflicts)

    rows = [columns.new_mapping({**values, 'cell_uuid': cell_uuid}) for values in mappings]
    return Batch(rows, are_placed=True, turn=turn, finish=note).create(context)


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

    :param mappings: values as for :func:`instance_mapping_create`, perhaps with
        ``created_at``
    :param source: which database, as for :func:`import_progress_get`
    :param last_mapping_id: the ``id`` there of the last row read
    :param unmappable: how many rows were read that no mapping can be made of; they are
        noted as conflicts
    :param turn: as for :func:`instance_mapping_map_batch`
    :raises: CellMappingNotFound
    """
    rows = list(map(columns.new_mapping, mappings))
    cellless = {row['instance_uuid'] for row in rows if row['cell_uuid'] is None}

    def note(context: Changing, result: BulkResult) -> None:
        for uuid in cellless & result['conflicts'].keys():
            del result['conflicts'][uuid]
            result['existing'] += 1
        conflicts = len(result['conflicts']) + unmappable
        progress.note_import(context, source, last_mapping_id, conflicts)

    return Batch(rows, are_placed=True, turn=turn, finish=note).create(context)


@writes
def instance_mapping_update_bulk(
    context: Changing, changes: Collection[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> list[str]:
    """Change many mappings, in one transaction: those that are still as they were seen.

    :param changes: of each mapping the row as it was seen, and the columns to change
    :returns: the instances whose mappings were changed
    :raises: CellMappingNotFound where a new cell does not exist
    """
    alike: dict[Any, list[str]] = {}
    for seen, values in changes:
        key = tuple(values.items()), _seen(seen)
        alike.setdefault(key, []).append(seen['instance_uuid'])
    return [
        uuid
        for (values, seen), uuids in alike.items()
        for uuid in _update_alike(context, uuids, dict(values), _as_seen(context, seen))
    ]


def _update_alike(
    context: Changing, uuids: list[str], values: Row, as_seen: Sequence[sa.ColumnElement[bool]]
) -> list[str]:
    values = columns.changed_mapping(values)
    with cell_mapping.must_exist(context, values):
        return batch.update_each(context, values, as_seen, uuids)


def _seen(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _SEEN)


def _as_seen(context: Changing, seen: Sequence[Any]) -> list[sa.ColumnElement[bool]]:
    """Whether a mapping is still as it was seen."""
    mappings = context.schema.instance_mapping
    return [
        columns.is_still(mappings.c[name], value) for name, value in zip(_SEEN, seen, strict=True)
    ]


def instance_mapping_move_bulk(
    context: RequestContext,
    instance_uuids: Iterable[str],
    *,
    from_cell_uuid: str | None,
    to_cell_uuid: str,
) -> int:
    """Map those of some instances to a cell that are mapped to another one, in one transaction.

    :param from_cell_uuid: that other one; None: those that are mapped to no cell
    :returns: how many were
    :raises: CellMappingNotFound where there is no cell *to_cell_uuid*
    """
    # An iterator would have nothing left for a second try.
    return _move(context, sorted(set(instance_uuids)), from_cell_uuid, to_cell_uuid)


@writes
def _move(
    context: Changing, uuids: Collection[str], from_cell_uuid: str | None, to_cell_uuid: str
) -> int:
    is_from = context.schema.instance_mapping.c.cell_uuid.is_not_distinct_from(from_cell_uuid)
    values = columns.changed_mapping({'cell_uuid': to_cell_uuid})
    with cell_mapping.must_exist(context, values):
        return batch.update(context, values, [is_from], uuids)


def instance_mapping_destroy_bulk(
    context: RequestContext,
    instance_uuids: Iterable[str],
    *,
    expected_cell_uuid: str | Expected | None = ANYTHING,
) -> int:
    """Remove the mappings of any number of instances, in one transaction.

    :param expected_cell_uuid: only those that have this cell (None: no cell)
    :returns: how many there were
    """
    # An iterator would have nothing left for a second try.
    return _destroy(context, set(instance_uuids), expected_cell_uuid)


@writes
def _destroy(
    context: Changing, uuids: Collection[str], expected_cell_uuid: str | Expected | None
) -> int:
    mappings = context.schema.instance_mapping
    where: list[sa.ColumnElement[bool]] = []
    if expected_cell_uuid is not ANYTHING:
        where.append(mappings.c.cell_uuid.is_not_distinct_from(expected_cell_uuid))
    where += context.schema.is_mapping
    query = mappings.delete().where(*where)
    return sum(
        statements.delete(context, query, mappings.c.instance_uuid, chunk)
        for chunk in batch.locked_chunks(context, where, uuids)
    )


@writes
def instance_mapping_destroy_seen(
    context: Changing, mappings: Collection[Mapping[str, Any]]
) -> list[str]:
    """Remove many mappings, in one transaction: those that are still as they were seen.

    :param mappings: the rows as they were seen
    :returns: the instances whose mappings were removed
    """
    alike: dict[Any, list[str]] = {}
    for row in mappings:
        alike.setdefault(_seen(row), []).append(row['instance_uuid'])
    return [
        uuid
        for seen, uuids in alike.items()
        for uuid in _destroy_alike(context, uuids, _as_seen(context, seen))
    ]


def _destroy_alike(
    context: Changing, uuids: list[str], as_seen: Sequence[sa.ColumnElement[bool]]
) -> list[str]:
    mappings = context.schema.instance_mapping
    where = [*as_seen, *context.schema.is_mapping]
    query = mappings.delete().where(*where)
    removed: list[str] = []
    for locked in batch.each_locked(context, where, uuids):
        statements.delete(context, query, mappings.c.instance_uuid, locked)
        removed += locked
    return removed
