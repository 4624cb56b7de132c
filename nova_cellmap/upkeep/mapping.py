# SPDX-License-Identifier: Apache-2.0
"""Filling the mapping from a cell's own database."""

from collections.abc import Callable, Collection, Sequence
import dataclasses
import functools
import logging

from nova_cellmap import exception
from nova_cellmap.cells import database
from nova_cellmap.cells.instances import Instances
from nova_cellmap.cells.rows import Instance
from nova_cellmap.cells.rows import InvalidRow
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.upkeep import apart
from nova_cellmap.upkeep import batches

LOG = logging.getLogger(__name__)


@dataclasses.dataclass
class MapRun(batches.Run):
    """A run over a cell's ``instances``.

    ``hidden`` of the rows were left out. Of the ``conflicts`` that this very run met, ``invalid``
    are rows that no mapping can be made of.
    """

    hidden: int = 0
    invalid: int = 0


def map_instances(
    context: RequestContext,
    cell: CellMapping,
    *,
    max_count: int | None = None,
    batch_size: int = batches.BATCH_SIZE,
    reset: bool = False,
    on_batch: Callable[[MapRun], None] = lambda run: None,
) -> MapRun:
    """Map the instances of a cell to it.

    Deleted and soft-deleted ones are mapped as queued for delete; hidden rows, and the
    rows that migrations of Nova's own left, are left out. What is mapped already is left
    as it is; an instance that is mapped to another cell is a conflict, and so is a row that
    no mapping can be made of, such as one without a project: each is logged, and keeps no
    other from being mapped. A mapping to no cell yet becomes one to this cell.

    Each batch is one transaction together with the point that it has come to. A run
    that was stopped, by *max_count* or by a kill, is gone on from; one that came to the
    end leaves no such point, and the next begins at the first. Two at once do no harm.

    :param max_count: stop after so many rows of the cell's ``instances``
    :param batch_size: how many rows are read and written at a time
    :param reset: begin at the first instance, whatever was stopped
    :param on_batch: called after each batch
    :raises: CellUnreachable, NotACellDatabase; CellMappingNotFound where the cell is
        removed meanwhile
    """
    if reset:
        db_api.map_progress_clear(context, cell.uuid)
    run = _resume(context, cell)
    with database.connect(cell) as reader:
        instances = Instances(reader, cell)
        last_id = instances.last_id()
        if run.first_id > last_id:
            # It was of another database, or the last rows are gone: nobody can tell which.
            LOG.info('Beginning at the first instance: there is none after that number.')
            db_api.map_progress_clear(context, cell.uuid)
            run = MapRun()
        _note_invalid(cell, run, instances.without_an_id())
        run.end_id = last_id
        batches.go_through(
            run,
            functools.partial(_read, instances),
            functools.partial(_map, context, cell),
            functools.partial(_note, cell, run),
            writers=db_api.concurrent_writers(context),
            max_count=max_count,
            batch_size=batch_size,
            on_batch=on_batch,
        )
    if run.done:
        db_api.map_progress_clear(context, cell.uuid)
    return run


def _resume(context: RequestContext, cell: CellMapping) -> MapRun:
    stopped = db_api.map_progress_get(context, cell.uuid)
    if stopped is None:
        return MapRun()
    last_id = stopped['last_instance_id']
    LOG.info('Going on after instance number %d of cell %s', last_id, cell.identity)
    return MapRun(first_id=last_id, last_id=last_id, conflicts=stopped['conflicts'])


@dataclasses.dataclass
class _Batch:
    """Rows of a cell's ``instances`` behind an id, and what is to be made of them."""

    first_id: int
    last_id: int
    rows: int
    hidden: int
    shown: list[Instance]
    invalid: list[InvalidRow]


def _read(instances: Instances, last_id: int, limit: int) -> _Batch | None:
    page = instances.after(last_id, limit)
    if page is None:
        return None
    shown = [instance for instance in page.instances if not instance.hidden]
    hidden = len(page.instances) - len(shown)
    return _Batch(last_id, page.last_id, page.rows, hidden, shown, page.invalid)


def _values(instance: Instance) -> db_api.Row:
    return {
        'instance_uuid': instance.uuid,
        'project_id': instance.project_id,
        'user_id': instance.user_id,
        'queued_for_delete': instance.queued_for_delete,
    }


def _map(
    context: RequestContext, cell: CellMapping, batch: _Batch, turn: db_api.Turn
) -> db_api.BulkResult:
    map_ = functools.partial(db_api.instance_mapping_map_batch, context, cell.uuid)
    try:
        return map_(
            [*map(_values, batch.shown)],
            last_instance_id=batch.last_id,
            unmappable=len(batch.invalid),
            turn=turn,
        )
    except exception.InvalidInput:
        # There is something in one of them that the mapping's database does not take.
        turn(None)
    total = db_api.BulkResult(created=0, existing=0, conflicts={})

    def map_some(some: Sequence[Instance]) -> None:
        result = map_([*map(_values, some)], last_instance_id=batch.first_id)
        total['created'] += result['created']
        total['existing'] += result['existing']
        total['conflicts'].update(result['conflicts'])

    def set_aside(instance: Instance, error: exception.InvalidInput) -> None:
        row = InvalidRow(instance.id, instance.uuid, instance.uuid, str(error))
        batch.invalid.append(row)

    apart.each(batch.shown, map_some, set_aside)
    map_([], last_instance_id=batch.last_id, unmappable=len(batch.invalid))
    return total


def _note(cell: CellMapping, run: MapRun, batch: _Batch, result: db_api.BulkResult) -> None:
    _note_invalid(cell, run, batch.invalid)
    problems = [
        f'instance {uuid} is mapped to cell {other}' for uuid, other in result['conflicts'].items()
    ]
    batches.warn(f'cell {cell.identity}', problems, run.conflicts)
    run.created += result['created']
    run.existing += result['existing']
    run.hidden += batch.hidden
    run.conflicts += len(problems)


def _note_invalid(cell: CellMapping, run: MapRun, rows: Collection[InvalidRow]) -> None:
    batches.warn(f'cell {cell.identity}', [*map(str, rows)], run.conflicts)
    run.invalid += len(rows)
    run.conflicts += len(rows)
