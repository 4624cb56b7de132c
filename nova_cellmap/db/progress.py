# SPDX-License-Identifier: Apache-2.0
"""Resume points: how far map_instances and import_nova have come."""

from collections.abc import Callable
import dataclasses
import functools
import hashlib
import operator

from oslo_db import exception as db_exc
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap.db import cell_mapping
from nova_cellmap.db import columns
from nova_cellmap.db import outcome
from nova_cellmap.db import transaction
from nova_cellmap.db.columns import Row
from nova_cellmap.db.connected import Changing
from nova_cellmap.db.connected import Connected
from nova_cellmap.db.resume_files import ResumeFiles
from nova_cellmap.db.schemas.schema import Schema
from nova_cellmap.db.transaction import reads_own
from nova_cellmap.db.transaction import writes
from nova_cellmap.url import place


@reads_own
def map_progress_get(context: Connected, cell_uuid: str) -> Row | None:
    """How far the run that was stopped had come in a cell.

    :returns: ``last_instance_id``, the ``id`` in the cell's ``instances`` of the last row that
        was dealt with, and ``conflicts``, how many were met; None where no run was stopped
    """
    return _MAP.get(context, cell_uuid)


@writes
def map_progress_clear(context: Changing, cell_uuid: str) -> None:
    """Let the next run begin at the cell's first instance."""
    _MAP.clear(context, cell_uuid)


def note_map(context: Changing, cell_uuid: str, last_instance_id: int, conflicts: int) -> None:
    """Note how far a cell has been read, and how many more conflicts were met.

    :raises: CellMappingNotFound
    """
    _MAP.note(context, cell_uuid, last_instance_id, conflicts)


@reads_own
def import_progress_get(context: Connected, source: str) -> Row | None:
    """How far the import that was stopped had come in another database.

    :param source: which database, in 64 characters
    :returns: ``last_mapping_id``, the ``id`` there of the last row that was dealt with, and
        ``conflicts``, how many were met; None where no import was stopped
    """
    return _IMPORT.get(context, source)


@writes
def import_progress_clear(context: Changing, source: str) -> None:
    """Let the next import from a database begin at its first mapping."""
    _IMPORT.clear(context, source)


def note_import(context: Changing, source: str, last_mapping_id: int, conflicts: int) -> None:
    """Note how far another database has been read, and how many more conflicts were met."""
    _IMPORT.note(context, source, last_mapping_id, conflicts)


@dataclasses.dataclass(frozen=True)
class _Progress:
    """The resume points of one command: in their table, or else in files.

    :ivar kind: what the files are named after
    :ivar table: that of a schema; None where it has none
    :ivar key: the column of what is read
    :ivar point: the column of how far
    """

    kind: str
    table: Callable[[Schema], sa.Table | None]
    key: str
    point: str

    def get(self, context: Connected, of: str) -> Row | None:
        table = self.table(context.schema)
        if table is None:
            return _files(context).get(self.kind, of, self._where(context, of) or '')
        query = sa.select(table.c[self.point], table.c.conflicts).where(table.c[self.key] == of)
        row = context.connection.execute(query).first()
        return None if row is None else {self.point: row[0], 'conflicts': row[1]}

    def clear(self, context: Changing, of: str) -> None:
        table = self.table(context.schema)
        if table is None:
            context.after.append(functools.partial(_files(context).clear, self.kind, of))
        else:
            context.connection.execute(table.delete().where(table.c[self.key] == of))

    def note(self, context: Changing, of: str, point: int, conflicts: int) -> None:
        table = self.table(context.schema)
        if table is None:
            self._note_in_file(context, of, point, conflicts)
        else:
            self._note_in_table(context, table, of, point, conflicts)

    def _note_in_file(self, context: Changing, of: str, point: int, conflicts: int) -> None:
        where = self._where(context, of)
        if where is None:
            raise exception.CellMappingNotFound(cell=of)
        come_to = {self.point: point}
        note = functools.partial(_files(context).note, self.kind, of, come_to, conflicts, where)
        context.after.append(note)

    def _where(self, context: Connected, of: str) -> str | None:
        """Which database a cell has now: of another one, how far it was read says nothing.

        None where there is no such cell.
        """
        if self.key != 'cell_uuid':
            return ''
        cells = context.schema.cell_mapping
        query = sa.select(cells.c.database_connection).where(cells.c.uuid == of)
        found: str | None = context.connection.execute(query).scalar()
        try:
            return found and place.digest(found)
        except (sa.exc.ArgumentError, ValueError):
            # A template, with no password in it, or what is no URL.
            return hashlib.sha256(str(found).encode(errors='surrogateescape')).hexdigest()

    def _note_in_table(
        self, context: Changing, table: sa.Table, of: str, point: int, conflicts: int
    ) -> None:
        is_it = table.c[self.key] == of
        if not context.proofs:
            # The conflicts are not to be counted twice.
            place = sa.and_(is_it, table.c[self.point] == point)
            transaction.prove(context, outcome.come_to(place))
        now = columns.now()
        come_to = {self.point: point, 'conflicts': table.c.conflicts + conflicts}
        update = table.update().where(is_it).values(**come_to, updated_at=now)
        if context.connection.execute(update).rowcount:
            return
        row = {self.key: of, self.point: point, 'conflicts': conflicts, 'created_at': now}
        try:
            with cell_mapping.must_exist(context, row):
                context.connection.execute(table.insert().values(row))
        except db_exc.DBDuplicateEntry as error:
            # Another run noted its own first batch meanwhile.
            raise db_exc.RetryRequest(error) from error


def _files(context: Connected) -> ResumeFiles:
    return context.runtime.part(ResumeFiles)


_MAP = _Progress('map', operator.attrgetter('map_progress'), 'cell_uuid', 'last_instance_id')
_IMPORT = _Progress('import', operator.attrgetter('import_progress'), 'source', 'last_mapping_id')
