# SPDX-License-Identifier: Apache-2.0
"""Filling the mapping from a cell's own database."""

from collections.abc import Callable, Iterator
from concurrent import futures
import dataclasses
import sys

from oslo_log import log as logging

from nova_cellmap.cells import database
from nova_cellmap.cells.instances import Instance
from nova_cellmap.cells.instances import Instances
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.objects.cell_mapping import CellMapping

LOG = logging.getLogger(__name__)

BATCH_SIZE = 1000

_MOST_WARNINGS = 100


@dataclasses.dataclass
class Run:
    """A run over a cell's instances, and how far it has come.

    ``first_id``, ``last_id`` and ``end_id`` are ids of the cell's ``instances``: after which the
    run began, has come to, and will end as far as is known. ``rows`` of them were read:
    ``created`` mappings are new, ``existing`` stood already, ``hidden`` were left out.
    ``conflicts`` counts the instances that could not be mapped, also in the runs that were
    stopped and that this one goes on from.
    """

    first_id: int = 0
    last_id: int = 0
    end_id: int = 0
    rows: int = 0
    created: int = 0
    existing: int = 0
    hidden: int = 0
    conflicts: int = 0
    done: bool = False


def map_instances(
    context: RequestContext,
    cell: CellMapping,
    *,
    max_count: int | None = None,
    batch_size: int = BATCH_SIZE,
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
        for batch in _batches(instances, run.first_id, max_count, batch_size):
            _map(context, cell, batch, run)
            on_batch(run)
        # Where the count is reached, one row more tells whether that was all.
        run.done = run.rows != max_count or not instances.after(run.last_id, 1)
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


def _batches(
    instances: Instances, last_id: int, max_count: int | None, batch_size: int
) -> Iterator[_Batch]:
    """The instances after *last_id*, each batch read while the one before is written."""
    left = sys.maxsize if max_count is None else max_count
    with futures.ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(_read, instances, last_id, min(batch_size, left))
        while batch := ahead.result():
            left -= batch.rows
            ahead = reader.submit(_read, instances, batch.last_id, min(batch_size, left))
            yield batch


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


def _map(context: RequestContext, cell: CellMapping, batch: _Batch, run: Run) -> None:
    result = db_api.instance_mapping_map_batch(
        context,
        cell.uuid,
        batch.mappings,
        last_instance_id=batch.last_id,
        unmappable=len(batch.ownerless),
    )
    problems = [
        *(f'{uuid} has no project' for uuid in batch.ownerless),
        *(f'{uuid} is mapped to cell {other}' for uuid, other in result['conflicts'].items()),
    ]
    _warn(cell, problems, run.conflicts)
    run.last_id = batch.last_id
    run.rows += batch.rows
    run.created += result['created']
    run.existing += result['existing']
    run.hidden += batch.hidden
    run.conflicts += len(problems)


def _warn(cell: CellMapping, problems: list[str], before: int) -> None:
    """Log the problems of a batch, but not a million of them: *before* is how many there were."""
    for number, problem in enumerate(problems, before + 1):
        if number <= _MOST_WARNINGS:
            LOG.warning('Left as it is, in cell %s: instance %s', cell.identity, problem)
        elif number == _MOST_WARNINGS + 1:
            LOG.warning('More conflicts in cell %s are counted and not shown', cell.identity)
