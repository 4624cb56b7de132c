# SPDX-License-Identifier: Apache-2.0
"""Resume points: how far map_instances and import_nova have come."""

import functools

from oslo_db import exception as db_exc
import sqlalchemy as sa

from nova_cellmap.db import cell_mapping
from nova_cellmap.db import columns
from nova_cellmap.db import outcome
from nova_cellmap.db import transaction
from nova_cellmap.db.columns import Row
from nova_cellmap.db.connected import Changing
from nova_cellmap.db.connected import Connected
from nova_cellmap.db.resume_files import ResumeFiles
from nova_cellmap.db.transaction import reads_own
from nova_cellmap.db.transaction import writes


@reads_own
def map_progress_get(context: Connected, cell_uuid: str) -> Row | None:
    """How far the run that was stopped had come in a cell.

    :returns: ``last_instance_id``, the ``id`` in the cell's ``instances`` of the last row that
        was dealt with, and ``conflicts``, how many were met; None where no run was stopped
    """
    table = context.schema.map_progress
    if table is None:
        return _files(context).get('map', cell_uuid)
    return _get(context, table, 'last_instance_id', {'cell_uuid': cell_uuid})


@writes
def map_progress_clear(context: Changing, cell_uuid: str) -> None:
    """Let the next run begin at the cell's first instance."""
    table = context.schema.map_progress
    if table is None:
        context.after.append(functools.partial(_files(context).clear, 'map', cell_uuid))
    else:
        _clear(context, table, {'cell_uuid': cell_uuid})


@reads_own
def import_progress_get(context: Connected, source: str) -> Row | None:
    """How far the import that was stopped had come in another database.

    :param source: which database, in 64 characters
    :returns: ``last_mapping_id``, the ``id`` there of the last row that was dealt with, and
        ``conflicts``, how many were met; None where no import was stopped
    """
    table = context.schema.import_progress
    if table is None:
        return _files(context).get('import', source)
    return _get(context, table, 'last_mapping_id', {'source': source})


@writes
def import_progress_clear(context: Changing, source: str) -> None:
    """Let the next import from a database begin at its first mapping."""
    table = context.schema.import_progress
    if table is None:
        context.after.append(functools.partial(_files(context).clear, 'import', source))
    else:
        _clear(context, table, {'source': source})


def note_map(context: Changing, cell_uuid: str, last_instance_id: int, conflicts: int) -> None:
    """Note how far a cell has been read, and how many more conflicts were met.

    :raises: CellMappingNotFound
    """
    of, come_to = {'cell_uuid': cell_uuid}, {'last_instance_id': last_instance_id}
    table = context.schema.map_progress
    if table is None:
        cell_mapping.check_exists(context, cell_uuid)
        note = functools.partial(_files(context).note, 'map', cell_uuid, come_to, conflicts)
        context.after.append(note)
    else:
        _note(context, table, of, come_to, conflicts)


def note_import(context: Changing, source: str, last_mapping_id: int, conflicts: int) -> None:
    """The same of another database."""
    of, come_to = {'source': source}, {'last_mapping_id': last_mapping_id}
    table = context.schema.import_progress
    if table is None:
        note = functools.partial(_files(context).note, 'import', source, come_to, conflicts)
        context.after.append(note)
    else:
        _note(context, table, of, come_to, conflicts)


def _files(context: Connected) -> ResumeFiles:
    return context.runtime.part(ResumeFiles)


def _get(context: Connected, table: sa.Table, come_to: str, of: Row) -> Row | None:
    query = sa.select(table.c[come_to], table.c.conflicts).where(*_equal(table, of))
    row = context.connection.execute(query).first()
    return None if row is None else {come_to: row[0], 'conflicts': row[1]}


def _clear(context: Changing, table: sa.Table, of: Row) -> None:
    context.connection.execute(table.delete().where(*_equal(table, of)))


def _note(context: Changing, table: sa.Table, of: Row, come_to: Row, conflicts: int) -> None:
    if not context.proofs:
        # The conflicts are not to be counted twice.
        place = sa.and_(*_equal(table, {**of, **come_to}))
        transaction.prove(context, outcome.come_to(place))
    now = columns.now()
    update = table.update().where(*_equal(table, of))
    update = update.values(**come_to, conflicts=table.c.conflicts + conflicts, updated_at=now)
    if context.connection.execute(update).rowcount:
        return
    insert = table.insert().values(**of, **come_to, conflicts=conflicts, created_at=now)
    try:
        with cell_mapping.must_exist(of):
            context.connection.execute(insert)
    except db_exc.DBDuplicateEntry as error:
        # Another run noted its own first batch meanwhile.
        raise db_exc.RetryRequest(error) from error


def _equal(table: sa.Table, values: Row) -> list[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in values.items()]
