# SPDX-License-Identifier: Apache-2.0
"""Mappings that are created or changed together, in one transaction."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
from typing import Any, NotRequired, Protocol, TypedDict

from oslo_db import exception as db_exc
import sqlalchemy as sa

from nova_cellmap import context as contexts
from nova_cellmap import exception
from nova_cellmap.context import RequestContext
from nova_cellmap.db import bulk_insert
from nova_cellmap.db import cell_mapping
from nova_cellmap.db import columns
from nova_cellmap.db import outcome
from nova_cellmap.db import transaction
from nova_cellmap.db.columns import Row
from nova_cellmap.db.connected import Changing
from nova_cellmap.db.connected import Connected
from nova_cellmap.db.engine import Engines
from nova_cellmap.db.transaction import writes

# How many seconds one batch waits for another while it may keep that from its locks.
_PATIENCE = 2


class BulkResult(TypedDict):
    """What became of the mappings that were to be created.

    ``created`` and ``existing`` count those that are new and those that existed already
    with the same cell; ``conflicts`` gives, by instance uuid, the cell that others
    have (None: no cell yet). They were left alone. ``ids``, where they were asked
    for, gives the ``id`` of those that are new, by instance uuid.
    """

    created: int
    existing: int
    conflicts: dict[str, str | None]
    ids: NotRequired[dict[str, int]]


# Where callers find it: the fingerprint of a released object has this name.
BulkResult.__module__ = 'nova_cellmap.db.api'


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


def concurrent_writers(context: RequestContext) -> int:
    """How many transactions that write it pays to have under way at once."""
    return 1 if contexts.of(context).runtime.part(Engines).writer.dialect.name == 'sqlite' else 2


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows that are created, at first as if none of them existed, and where one does, once more.

    The first run over a cell is the long one, and finds none: to ask for each row
    beforehand costs it a fifth of its time. Within a caller's transaction there is only
    one try, since a statement that fails there may end the transaction.

    :ivar rows: as :func:`~nova_cellmap.db.columns.new_mapping` makes them
    :ivar with_ids: answer the ids of the new ones as well
    :ivar are_placed: those that exist in no cell are mapped to the one of their row
    :ivar turn: when the batch may be committed
    :ivar finish: what else is done in the transaction, with its result
    """

    rows: list[Row]
    with_ids: bool = False
    are_placed: bool = False
    turn: Turn = at_once
    finish: Callable[[Changing, BulkResult], None] | None = None

    def create(self, context: RequestContext) -> BulkResult:
        """
        :raises: CellMappingNotFound where a cell does not exist
        """
        if not transaction.in_transaction(context):
            with contextlib.suppress(_NotAllNewError):
                return _create(context, self, self._insert_all)
        self.turn(None)
        return _create(context, self, self._insert_missing)

    def _insert_all(self, context: Changing) -> BulkResult:
        if not self.rows:
            return self._insert_missing(context)
        # The last row tells a run that is repeated apart, before all are sent for nothing.
        if existing_cells(context, [self.rows[-1]['instance_uuid']]):
            raise _NotAllNewError
        try:
            ids = _insert(context, self.rows, self.with_ids)
        except db_exc.RetryRequest:
            raise _NotAllNewError from None
        return self._result(len(self.rows), 0, {}, ids)

    def _insert_missing(self, context: Changing) -> BulkResult:
        wanted: dict[str, Row] = {}
        for row in self.rows:
            wanted.setdefault(row['instance_uuid'], row)
        cells = existing_cells(context, wanted)
        new = [row for uuid, row in wanted.items() if uuid not in cells]
        ids = _insert(context, new, self.with_ids) if new else {}
        cells.update((row['instance_uuid'], row['cell_uuid']) for row in new)
        others = [row for row in self.rows if row['cell_uuid'] != cells[row['instance_uuid']]]
        conflicts = {row['instance_uuid']: cells[row['instance_uuid']] for row in others}
        result = self._result(len(new), len(self.rows) - len(new) - len(others), conflicts, ids)
        if self.are_placed:
            self._place(context, result)
        return result

    def _result(
        self, created: int, existing: int, conflicts: dict[str, str | None], ids: dict[str, int]
    ) -> BulkResult:
        result = BulkResult(created=created, existing=existing, conflicts=conflicts)
        return {**result, 'ids': ids} if self.with_ids else result

    def _place(self, context: Changing, result: BulkResult) -> None:
        conflicts = result['conflicts']
        unplaced: dict[str, list[str]] = {}
        for row in self.rows if None in conflicts.values() else ():
            if conflicts.get(row['instance_uuid'], '') is None:
                unplaced.setdefault(row['cell_uuid'], []).append(row['instance_uuid'])
        for cell_uuid, uuids in unplaced.items():
            for chunk in columns.chunks(uuids):
                result['created'] += _place(context, cell_uuid, chunk)
                # Another run may have placed them meanwhile: what a transaction saw when it
                # began would have them in no cell still.
                for uuid, cell in existing_cells(context, chunk, are_locked=True).items():
                    if cell not in (cell_uuid, None):
                        conflicts[uuid] = cell
                        continue
                    del conflicts[uuid]
                    # In no cell still: Nova is building it.
                    result['existing'] += cell is None


class _NotAllNewError(Exception):
    """Some of the rows exist already, or one is there twice."""


@writes
def _create(
    context: Changing, batch: Batch, insert: Callable[[Changing], BulkResult]
) -> BulkResult:
    result = insert(context)
    # Two runs may each have rows that the other waits for, while the client waits for its own
    # previous batch: no database sees that. If our turn does not come in time, roll back and
    # begin again in turn.
    if not batch.turn(_PATIENCE):
        raise _NotAllNewError
    if batch.finish is not None:
        batch.finish(context, result)
    return result


def existing_cells(
    context: Connected, uuids: Collection[str], *, are_locked: bool = False
) -> dict[str, str | None]:
    """The cell of each of these instances that has a mapping.

    :param are_locked: lock their rows, and so read them as they are
    """
    mappings = context.schema.instance_mapping
    cells: dict[str, str | None] = {}
    for chunk in columns.chunks(uuids):
        query = sa.select(mappings.c.instance_uuid, mappings.c.cell_uuid).where(
            mappings.c.instance_uuid.in_(chunk)
        )
        if are_locked:
            query = query.with_for_update()
        cells.update((row[0], row[1]) for row in context.connection.execute(query))
    return cells


def _insert(context: Changing, rows: list[Row], with_ids: bool) -> dict[str, int]:
    """Answer the ids by instance uuid, if they are asked for."""
    mappings = context.schema.instance_mapping
    now = columns.now()
    for row in rows:
        row['created_at'] = row.get('created_at') or now
    stored = context.schema.stored_mapping
    returning = (stored.c.instance_uuid, stored.c.id) if with_ids else ()
    try:
        returned = bulk_insert.insert(
            context.connection, stored, _stored_rows(context, rows), returning
        )
    except db_exc.DBDuplicateEntry as error:
        columns.check_id(error, mappings)
        # Somebody mapped one of them since we looked. Look again, in a new transaction.
        raise db_exc.RetryRequest(error) from error
    except db_exc.DBReferenceError:
        # Which one is not known: a failed transaction answers no questions.
        cells = sorted({row['cell_uuid'] for row in rows} - {None})
        raise exception.CellMappingNotFound(cell=' or '.join(cells)) from None
    transaction.prove(context, outcome.inserted_all(mappings.c.instance_uuid, rows))
    ids = dict(returned)
    if with_ids and not ids:
        # MySQL does not tell.
        for chunk in columns.chunks(row['instance_uuid'] for row in rows):
            query = sa.select(*returning).where(stored.c.instance_uuid.in_(chunk))
            ids.update((uuid, number) for uuid, number in context.connection.execute(query).all())
    return ids


def _stored_rows(context: Changing, rows: list[Row]) -> list[Row]:
    """The rows as they are stored: with what refers to their cells in the database."""
    schema = context.schema
    if schema.stored_mapping is schema.instance_mapping:
        return rows
    query = sa.select(schema.cell_mapping.c.uuid, schema.cell_key)
    keys = {None: None, **dict(map(tuple, context.connection.execute(query)))}
    for row in rows:
        if row['cell_uuid'] not in keys:
            raise exception.CellMappingNotFound(cell=row['cell_uuid'])
    return [{**row, 'cell_uuid': keys[row['cell_uuid']]} for row in rows]


def _place(context: Changing, cell_uuid: str, uuids: Sequence[str]) -> int:
    """Map to a cell those of *uuids* that are mapped to none; answer how many.

    Not those that Nova is building: it is going to map them, and fails where another has.
    """
    cell_mapping.check_reference(context, cell_uuid)
    mappings, requests = context.schema.instance_mapping, context.schema.build_request
    where: list[sa.ColumnElement[bool]] = [mappings.c.cell_uuid.is_(None)]
    if requests is not None:
        where.append(~sa.exists().where(requests.c.instance_uuid == mappings.c.instance_uuid))
    return update(context, {'cell_uuid': cell_uuid, 'updated_at': columns.now()}, where, uuids)


def update(
    context: Changing,
    values: Mapping[str, Any],
    where: Sequence[sa.ColumnElement[bool]],
    uuids: Iterable[str],
) -> int:
    """Change those mappings of these instances that *where* tells; answer how many."""
    where = [*where, *context.schema.is_mapping]
    chunks = locked_chunks(context, where, uuids)
    return sum(_update_chunk(context, values, where, chunk) for chunk in chunks)


def update_each(
    context: Changing,
    values: Mapping[str, Any],
    where: Sequence[sa.ColumnElement[bool]],
    uuids: Iterable[str],
) -> list[str]:
    """The same; answer whose they were."""
    where = [*where, *context.schema.is_mapping]
    changed: list[str] = []
    for locked in each_locked(context, where, uuids):
        _update_chunk(context, values, where, locked)
        changed += locked
    return changed


def _update_chunk(
    context: Changing,
    values: Mapping[str, Any],
    where: Sequence[sa.ColumnElement[bool]],
    uuids: Collection[str],
) -> int:
    mappings = context.schema.instance_mapping
    key = mappings.c.instance_uuid
    query = mappings.update().where(*where, key.in_(uuids)).values(values)
    changed = context.connection.execute(query).rowcount
    if changed:
        transaction.prove(context, outcome.updated_all(key, uuids, values, changed))
    return changed


def each_locked(
    context: Changing, where: Sequence[sa.ColumnElement[bool]], uuids: Iterable[str]
) -> Iterator[list[str]]:
    """Of the uuids, in parts, those whose mappings are as *where* tells: they stay so.

    Of a statement that changes rows, not every database tells which they were.
    """
    for chunk in columns.chunks(uuids):
        # To a database that compares as people do, another spelling may be the same.
        locked = {*_lock(context, where, chunk)}
        if found := [uuid for uuid in chunk if uuid in locked]:
            yield found


def locked_chunks(
    context: Changing, where: Sequence[sa.ColumnElement[bool]], uuids: Iterable[str]
) -> Iterator[list[str]]:
    """The uuids in parts, locked where the cache has to be told that they are changed."""
    for chunk in columns.chunks(uuids):
        yield _lock(context, where, chunk) if context.noted.are_cached else chunk


def _lock(
    context: Changing, where: Sequence[sa.ColumnElement[bool]], uuids: Collection[str]
) -> list[str]:
    """Lock the mappings that are about to be changed, and note that they are.

    Of those that would not be changed others may hold the locks, and the tombstones.
    """
    key = context.schema.instance_mapping.c.instance_uuid
    query = sa.select(key).where(key.in_(uuids), *where).with_for_update()
    locked = list(context.connection.execute(query).scalars())
    context.noted.note_mappings(locked)
    return locked
