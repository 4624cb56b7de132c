# SPDX-License-Identifier: Apache-2.0
"""Filling the mapping from a cell's own database."""

from collections.abc import Callable
import dataclasses
import functools
import logging

from nova_cellmap.cells import database
from nova_cellmap.cells import run as cells_run
from nova_cellmap.cells.instances import Instance
from nova_cellmap.cells.instances import Instances
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.objects.cell_mapping import CellMapping

LOG = logging.getLogger(__name__)


@dataclasses.dataclass
class Run(cells_run.Run):
    """A run over a cell's ``instances``; ``hidden`` of the rows were left out."""

    hidden: int = 0


def map_instances(
    context: RequestContext,
    cell: CellMapping,
    *,
    max_count: int | None = None,
    batch_size: int = cells_run.BATCH_SIZE,
    reset: bool = False,
    on_batch: Callable[[Run], None] = lambda run: None,
) -> Run:
    """Map the instances of a cell to it.

    Deleted and soft-deleted ones are mapped as queued for delete, hidden rows are left
    out. What is mapped already is left as it is; an instance that is mapped to another
    cell is a conflict, and so is one without a project: each is logged. A mapping to
    no cell yet becomes one to this cell.

    Each batch is one transaction together with the point that it has come to. A run
    that was stopped, by *max_count* or by a kill, is gone on from; one that came to the
    end leaves no such point, and the next begins anew. Two at once do no harm.

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
    with database.connect(cell) as connection:
        instances = Instances(connection, cell)
        run.end_id = max(run.first_id, instances.last_id())
        cells_run.go_through(
            run,
            functools.partial(_read, instances),
            functools.partial(_map, context, cell),
            functools.partial(_note, cell, run),
            max_count=max_count,
            batch_size=batch_size,
            on_batch=on_batch,
        )
    if run.done:
        db_api.map_progress_clear(context, cell.uuid)
    return run


def _resume(context: RequestContext, cell: CellMapping) -> Run:
    stopped = db_api.map_progress_get(context, cell.uuid)
    if stopped is None:
        return Run()
    last_id = stopped['last_instance_id']
    LOG.info('Going on after instance number %d of cell %s', last_id, cell.identity)
    return Run(first_id=last_id, last_id=last_id, conflicts=stopped['conflicts'])


@dataclasses.dataclass
class _Batch:
    """Rows of a cell's ``instances``, and the mappings that are to be made of them."""

    last_id: int
    rows: int
    hidden: int
    mappings: list[db_api.Row]
    ownerless: list[str]


def _read(instances: Instances, last_id: int, limit: int) -> _Batch | None:
    rows = instances.after(last_id, limit)
    if not rows:
        return None
    shown = [instance for instance in rows if not instance.hidden]
    return _Batch(
        last_id=rows[-1].id,
        rows=len(rows),
        hidden=len(rows) - len(shown),
        mappings=[_values(instance) for instance in shown if instance.project_id is not None],
        ownerless=[instance.uuid for instance in shown if instance.project_id is None],
    )


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
    return db_api.instance_mapping_map_batch(
        context,
        cell.uuid,
        batch.mappings,
        last_instance_id=batch.last_id,
        unmappable=len(batch.ownerless),
        turn=turn,
    )


def _note(cell: CellMapping, run: Run, batch: _Batch, result: db_api.BulkResult) -> None:
    problems = [
        *(f'instance {uuid} has no project' for uuid in batch.ownerless),
        *(
            f'instance {uuid} is mapped to cell {other}'
            for uuid, other in result['conflicts'].items()
        ),
    ]
    cells_run.warn(f'cell {cell.identity}', problems, run.conflicts)
    run.created += result['created']
    run.existing += result['existing']
    run.hidden += batch.hidden
    run.conflicts += len(problems)
