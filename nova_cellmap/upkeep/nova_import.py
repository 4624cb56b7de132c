# SPDX-License-Identifier: Apache-2.0
"""Taking over what Nova's own API database says of cells and of the instances in them."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import datetime
import functools
import logging

from nova_cellmap import exception
from nova_cellmap import uuids
from nova_cellmap.cells import rows
from nova_cellmap.cells.rows import InvalidRow
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api as db_api
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.upkeep import apart
from nova_cellmap.upkeep import batches
from nova_cellmap.upkeep import nova_api
from nova_cellmap.upkeep.nova_api import NovaAPI
from nova_cellmap.upkeep.nova_api import NovaCell
from nova_cellmap.upkeep.nova_api import NovaMapping

LOG = logging.getLogger(__name__)

# Where problems are said to be.
_WHERE = "Nova's API database"
# What a cell has in place of a URL that Nova leaves empty.
_NO_URL = 'none:///'


@dataclasses.dataclass
class ImportRun(batches.Run):
    """A run over Nova's ``instance_mappings``, after all of its ``cell_mappings``.

    ``cells_created`` of the cells are new, ``cells_existing`` stood already, and
    ``cell_conflicts`` were left alone, because they stand with another name or URL, or their
    name or database is another cell's, or cannot be a cell's. These are of this run only: each
    looks at every cell. Of the ``conflicts`` that this very run met, ``invalid`` are rows that no
    mapping can be made of.
    """

    cells_created: int = 0
    cells_existing: int = 0
    cell_conflicts: int = 0
    invalid: int = 0


def import_nova(
    context: RequestContext,
    connection_url: str,
    *,
    max_count: int | None = None,
    batch_size: int = batches.BATCH_SIZE,
    reset: bool = False,
    on_batch: Callable[[ImportRun], None] = lambda run: None,
) -> ImportRun:
    """Copy Nova's cells, and then its instance mappings. Nova's database is only read.

    What exists already is left as it is. A cell with the same uuid but another name or URL is
    a conflict; mappings to it are taken over all the same. A cell whose name or database is
    another cell's here is a conflict too, and so is each mapping to it.

    A mapping to another cell is a conflict. One to no cell
    becomes one to the cell that Nova has; one that has a cell here and none in Nova is no
    conflict, but a row that no mapping can be made of is. Each conflict is logged, and keeps no
    other from being copied.

    Each batch is one transaction together with the point that it has come to. A run
    that was stopped, by *max_count* or by a kill, is gone on from; one that came to the
    end leaves no such point, and the next begins at the first. Two at once do no harm.

    :param max_count: stop after so many instance mappings of Nova
    :param batch_size: how many rows are read and written at a time
    :param reset: begin at the first mapping, whatever was stopped
    :param on_batch: called after each batch
    :raises: InvalidURL, NovaDatabaseUnreachable, NotANovaDatabase; CellMappingNotFound where a
        cell is removed meanwhile
    """
    nova_api.check(connection_url)
    source = nova_api.source_of(connection_url)
    with nova_api.connect(context, connection_url) as reader:
        nova = NovaAPI(reader)
        if reset:
            db_api.import_progress_clear(context, source)
        run = _resume(context, source)
        cells = _import_cells(context, nova.cells(), run)
        run.end_id = max(run.first_id, nova.last_id())
        batches.go_through(
            run,
            functools.partial(_read, nova, cells),
            functools.partial(_import, context, source),
            functools.partial(_note, run),
            writers=db_api.concurrent_writers(context),
            max_count=max_count,
            batch_size=batch_size,
            on_batch=on_batch,
        )
    if run.done:
        db_api.import_progress_clear(context, source)
    return run


def _resume(context: RequestContext, source: str) -> ImportRun:
    stopped = db_api.import_progress_get(context, source)
    if stopped is None:
        return ImportRun()
    last_id = stopped['last_mapping_id']
    LOG.info('Going on after mapping number %d of %s', last_id, _WHERE)
    return ImportRun(first_id=last_id, last_id=last_id, conflicts=stopped['conflicts'])


def _import_cells(
    context: RequestContext, nova_cells: list[NovaCell], run: ImportRun
) -> dict[int | None, str | None]:
    """Add the cells that are missing; answer the uuid of each that is here, by Nova's ``id``.

    None, the id of no cell, has None.
    """
    problems: list[str] = []
    cells: dict[int, db_api.Row] = {}
    for cell in nova_cells:
        try:
            cells[cell.id] = _cell_values(cell)
        except (ValueError, exception.InvalidInput) as error:
            problems.append(
                f'cell number {cell.id}, {rows.shown(cell.uuid)}, with all mappings to it: {error}'
            )
    result = db_api.cell_mapping_create_bulk(context, cells.values())
    problems += [
        f'cell {uuid} has another {" and ".join(columns)}'
        for uuid, columns in result['different'].items()
    ]
    problems += [
        f'cell {uuid} with all mappings to it, since its {column} is that of cell {other}'
        for uuid, (column, other) in result['taken'].items()
    ]
    batches.warn(_WHERE, problems, 0)
    run.cells_created = result['created']
    run.cells_existing = result['existing']
    run.cell_conflicts = len(problems)
    here = {number: cell['uuid'] for number, cell in cells.items()}
    return {None: None} | {
        number: uuid for number, uuid in here.items() if uuid not in result['taken']
    }


def _cell_values(cell: NovaCell) -> db_api.Row:
    """:raises: ValueError, InvalidInput where it says what a cell cannot be"""
    uuid = uuids.canonical(rows.text_of(cell.uuid))
    if uuid is None:
        raise ValueError('its uuid is none')
    disabled = rows.flag_of(cell.disabled)
    if disabled is None:
        raise ValueError(f'disabled is {rows.shown(cell.disabled)}, and no number')
    values = {
        'uuid': uuid,
        'name': rows.text_of(cell.name),
        'transport_url': rows.text_of(cell.transport_url) or _NO_URL,
        'database_connection': rows.text_of(cell.database_connection) or _NO_URL,
        'disabled': disabled,
    }
    # An object takes no other values than a cell may have.
    CellMapping(**values)
    created_at = rows.time_of(cell.created_at)
    return {**values, 'created_at': _whole_second(created_at)}


@dataclasses.dataclass
class _Batch:
    """Rows of Nova's ``instance_mappings`` behind an id, and what is to be made of them.

    ``mappings`` have the ids of the rows that they are made of.
    """

    first_id: int
    last_id: int
    rows: int
    mappings: list[tuple[int, db_api.Row]]
    problems: list[str]
    invalid: list[InvalidRow]


def _read(
    nova: NovaAPI, cells: Mapping[int | None, str | None], last_id: int, limit: int
) -> _Batch | None:
    page = nova.after(last_id, limit)
    if page is None:
        return None
    batch = _Batch(last_id, page.last_id, page.rows, [], [], page.invalid)
    for row in page.mappings:
        if row.cell_id in cells:
            batch.mappings.append((row.id, _mapping_values(row, cells[row.cell_id])))
        else:
            batch.problems.append(
                f'instance {row.instance_uuid} is in cell number {row.cell_id}, '
                'which was not taken over'
            )
    return batch


def _mapping_values(mapping: NovaMapping, cell_uuid: str | None) -> db_api.Row:
    return {
        'instance_uuid': mapping.instance_uuid,
        'cell_uuid': cell_uuid,
        'project_id': mapping.project_id,
        'user_id': mapping.user_id,
        'queued_for_delete': mapping.queued_for_delete,
        'created_at': _whole_second(mapping.created_at),
    }


def _whole_second(time: datetime.datetime | None) -> datetime.datetime | None:
    return None if time is None else time.replace(microsecond=0)


def _import(
    context: RequestContext, source: str, batch: _Batch, turn: db_api.Turn
) -> db_api.BulkResult:
    import_ = functools.partial(db_api.instance_mapping_import_batch, context, source=source)
    problems = len(batch.problems)
    try:
        return import_(
            [values for _, values in batch.mappings],
            last_mapping_id=batch.last_id,
            unmappable=problems + len(batch.invalid),
            turn=turn,
        )
    except exception.InvalidInput:
        # There is something in one of them that the mapping's database does not take.
        turn(None)
    total = db_api.BulkResult(created=0, existing=0, conflicts={})

    def import_some(some: Sequence[tuple[int, db_api.Row]]) -> None:
        result = import_([values for _, values in some], last_mapping_id=batch.first_id)
        total['created'] += result['created']
        total['existing'] += result['existing']
        total['conflicts'].update(result['conflicts'])

    def set_aside(refused: tuple[int, db_api.Row], error: exception.InvalidInput) -> None:
        number, values = refused
        uuid = values['instance_uuid']
        batch.invalid.append(InvalidRow(number, uuid, uuid, str(error)))

    apart.each(batch.mappings, import_some, set_aside)
    import_([], last_mapping_id=batch.last_id, unmappable=problems + len(batch.invalid))
    return total


def _note(run: ImportRun, batch: _Batch, result: db_api.BulkResult) -> None:
    run.invalid += len(batch.invalid)
    problems = [*map(str, batch.invalid), *batch.problems]
    problems += [
        f'instance {uuid} is mapped to cell {other}' for uuid, other in result['conflicts'].items()
    ]
    batches.warn(_WHERE, problems, run.conflicts)
    run.created += result['created']
    run.existing += result['existing']
    run.conflicts += len(problems)
