# SPDX-License-Identifier: Apache-2.0
"""Taking over what Nova's own API database says of cells and of the instances in them."""

from collections.abc import Callable, Mapping
import dataclasses
import datetime
import functools
import logging

from nova_cellmap.cells import nova_api
from nova_cellmap.cells import run as cells_run
from nova_cellmap.cells.nova_api import NovaAPI
from nova_cellmap.cells.nova_api import NovaCell
from nova_cellmap.cells.nova_api import NovaMapping
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.objects import fields

LOG = logging.getLogger(__name__)

# Where problems are said to be.
_WHERE = "Nova's API database"
# What a cell has in place of a URL that Nova leaves empty.
_NO_URL = 'none:///'


@dataclasses.dataclass
class Run(cells_run.Run):
    """A run over Nova's ``instance_mappings``, after all of its ``cell_mappings``.

    ``cells_created`` of the cells are new, ``cells_existing`` stood already, and
    ``cell_conflicts`` were left alone, because they stand with another name or URL, or their
    name or database is another cell's. These are of this run only: each looks at every cell.
    """

    cells_created: int = 0
    cells_existing: int = 0
    cell_conflicts: int = 0


def import_nova(
    context: RequestContext,
    connection_url: str,
    *,
    max_count: int | None = None,
    batch_size: int = cells_run.BATCH_SIZE,
    reset: bool = False,
    on_batch: Callable[[Run], None] = lambda run: None,
) -> Run:
    """Copy Nova's cells, and then its instance mappings. Nova's database is only read.

    What stands already is left as it is. A cell with the same uuid but another name or URL is
    a conflict; mappings to it are taken over all the same. A cell whose name or database is
    another cell's here is a conflict too, and so is each mapping to it.

    A mapping that stands with another cell is a conflict. One that stands with no cell
    becomes one to the cell that Nova has; one that has a cell here and none in Nova is no
    conflict. Each conflict is logged.

    Each batch is one transaction together with the point that it has come to. A run
    that was stopped, by *max_count* or by a kill, is gone on from; one that came to the
    end leaves no such point, and the next begins anew. Two at once do no harm.

    :param max_count: stop after so many instance mappings of Nova
    :param batch_size: how many rows are read and written at a time
    :param reset: begin at the first mapping, whatever was stopped
    :param on_batch: called after each batch
    :raises: InvalidURL, NovaDatabaseUnreachable, NotANovaDatabase; CellMappingNotFound where a
        cell is removed meanwhile
    """
    nova_api.check(connection_url)
    source = nova_api.source_of(connection_url)
    with nova_api.connect(connection_url) as connection:
        nova = NovaAPI(connection)
        if reset:
            db_api.import_progress_clear(context, source)
        run = _resume(context, source)
        cells = _import_cells(context, nova.cells(), run)
        run.end_id = max(run.first_id, nova.last_id())
        cells_run.go_through(
            run,
            functools.partial(_read, nova, cells),
            functools.partial(_import, context, source),
            functools.partial(_note, run),
            max_count=max_count,
            batch_size=batch_size,
            on_batch=on_batch,
        )
    if run.done:
        db_api.import_progress_clear(context, source)
    return run


def _resume(context: RequestContext, source: str) -> Run:
    stopped = db_api.import_progress_get(context, source)
    if stopped is None:
        return Run()
    last_id = stopped['last_mapping_id']
    LOG.info('Going on after mapping number %d of %s', last_id, _WHERE)
    return Run(first_id=last_id, last_id=last_id, conflicts=stopped['conflicts'])


def _import_cells(
    context: RequestContext, nova_cells: list[NovaCell], run: Run
) -> dict[int | None, str | None]:
    """Add the cells that are missing; answer the uuid of each that is here, by Nova's ``id``.

    None, the id of no cell, has None.
    """
    cells = {cell.id: _cell_values(cell) for cell in nova_cells}
    result = db_api.cell_mapping_create_bulk(context, cells.values())
    problems = [
        f'cell {uuid} stands with another {" and ".join(columns)}'
        for uuid, columns in result['different'].items()
    ]
    problems += [
        f'cell {uuid} with all mappings to it, since its {column} is that of cell {other}'
        for uuid, (column, other) in result['taken'].items()
    ]
    cells_run.warn(_WHERE, problems, 0)
    run.cells_created = result['created']
    run.cells_existing = result['existing']
    run.cell_conflicts = len(problems)
    here = {number: cell['uuid'] for number, cell in cells.items()}
    return {None: None} | {
        number: uuid for number, uuid in here.items() if uuid not in result['taken']
    }


def _cell_values(cell: NovaCell) -> db_api.Row:
    return {
        'uuid': fields.canonical_uuid(cell.uuid),
        'name': cell.name,
        'transport_url': cell.transport_url or _NO_URL,
        'database_connection': cell.database_connection or _NO_URL,
        'disabled': bool(cell.disabled),
        'created_at': _whole_second(cell.created_at),
    }


@dataclasses.dataclass
class _Batch:
    """Rows of Nova's ``instance_mappings``, and what is to be made of them."""

    last_id: int
    rows: int
    mappings: list[db_api.Row]
    problems: list[str]


def _read(
    nova: NovaAPI, cells: Mapping[int | None, str | None], last_id: int, limit: int
) -> _Batch | None:
    rows = nova.after(last_id, limit)
    if not rows:
        return None
    batch = _Batch(rows[-1].id, len(rows), [], [])
    for row in rows:
        if row.project_id is None:
            batch.problems.append(f'instance {row.instance_uuid} has no project')
        elif row.cell_id not in cells:
            batch.problems.append(
                f'instance {row.instance_uuid} is in cell number {row.cell_id}, '
                'which was not taken over'
            )
        else:
            batch.mappings.append(_mapping_values(row, cells[row.cell_id]))
    return batch


def _mapping_values(mapping: NovaMapping, cell_uuid: str | None) -> db_api.Row:
    return {
        'instance_uuid': fields.canonical_uuid(mapping.instance_uuid),
        'cell_uuid': cell_uuid,
        'project_id': mapping.project_id,
        'user_id': mapping.user_id,
        'queued_for_delete': bool(mapping.queued_for_delete),
        'created_at': _whole_second(mapping.created_at),
    }


def _whole_second(time: datetime.datetime | None) -> datetime.datetime | None:
    return None if time is None else time.replace(microsecond=0)


def _import(
    context: RequestContext, source: str, batch: _Batch, turn: db_api.Turn
) -> db_api.BulkResult:
    return db_api.instance_mapping_import_batch(
        context,
        batch.mappings,
        source=source,
        last_mapping_id=batch.last_id,
        unmappable=len(batch.problems),
        turn=turn,
    )


def _note(run: Run, batch: _Batch, result: db_api.BulkResult) -> None:
    problems = batch.problems + [
        f'instance {uuid} is mapped to cell {other}' for uuid, other in result['conflicts'].items()
    ]
    cells_run.warn(_WHERE, problems, run.conflicts)
    run.created += result['created']
    run.existing += result['existing']
    run.conflicts += len(problems)
