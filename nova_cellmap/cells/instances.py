# SPDX-License-Identifier: Apache-2.0
"""What a cell knows of its instances."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap.db import api as db_api
from nova_cellmap.objects.cell_mapping import CellMapping

# The columns that mapping needs, and those that a release of Nova may not have.
_NEEDED = ('id', 'uuid', 'project_id', 'user_id', 'deleted', 'vm_state')
_SINCE_TRAIN = ('hidden',)
# What a person wants to see of an instance, as far as the release has it.
_SHOWN = (
    'uuid',
    'display_name',
    'vm_state',
    'task_state',
    'host',
    'node',
    'availability_zone',
    'created_at',
    'launched_at',
    'deleted_at',
)
# nova.compute.vm_states.SOFT_DELETED: deleted for its user, restorable for a while.
_SOFT_DELETED = 'soft-delete'


class Instance(NamedTuple):
    """A row of ``instances``, as far as the mapping is concerned.

    ``id`` is the row's number in its cell. ``deleted`` says that it is gone for good,
    ``queued_for_delete`` that it is deleted or soft-deleted, ``hidden`` that it is the
    other half of a move: the instance is in another cell.
    """

    id: int
    uuid: str
    project_id: str | None
    user_id: str | None
    deleted: bool
    queued_for_delete: bool
    hidden: bool


class Instances:
    """The ``instances`` table of a cell, in the shape that its Nova release gave it.

    :param connection: from :func:`nova_cellmap.cells.database.connect`
    :raises: NotACellDatabase
    """

    def __init__(self, connection: sa.Connection, cell: CellMapping) -> None:
        self._connection = connection
        self._columns = _columns(connection, cell)
        # Only what is read, as plain columns: the types are the database's own affair.
        self._table = sa.table('instances', *map(sa.column, self._columns))
        self._cell_uuid = cell.uuid
        self._facts = self._facts_query()

    def after(self, last_id: int, limit: int) -> list[Instance]:
        """The next rows by ``id``, deleted and hidden ones too; none at the end."""
        table = self._table
        query = self._needed().where(table.c.id > last_id).order_by(table.c.id).limit(limit)
        return [_instance(row) for row in self._connection.execute(query).all()]

    def facts_after(self, last_uuid: str, limit: int) -> list[db_api.Fact]:
        """What the mapping should say of the next rows by ``uuid``, hidden ones left out."""
        query = self._facts.where(self._table.c.uuid > last_uuid).limit(limit)
        return [(uuid, said) for uuid, said in self._connection.execute(query).all()]

    def of(self, uuids: Collection[str]) -> dict[str, Instance]:
        """The rows of up to a thousand instances, by uuid; deleted and hidden ones too."""
        query = self._needed().where(self._table.c.uuid.in_(uuids))
        return {row.uuid: _instance(row) for row in self._connection.execute(query)}

    def get(self, uuid: str) -> Instance | None:
        """The row of an instance, also where it is deleted or hidden."""
        query = self._needed().where(self._table.c.uuid == uuid)
        row = self._connection.execute(query).first()
        return None if row is None else _instance(row)

    def describe(self, uuid: str) -> dict[str, Any]:
        """What a person wants to see of an instance; empty where it is not there."""
        shown = [self._table.c[name] for name in _SHOWN if name in self._columns]
        query = sa.select(*shown).where(self._table.c.uuid == uuid)
        row = self._connection.execute(query).first()
        return {} if row is None else dict(row._mapping)

    def has_live(self) -> bool:
        """Whether any instance is not deleted, soft-deleted and hidden ones included."""
        deleted = sa.func.coalesce(self._table.c.deleted, 0)
        query = sa.select(self._table.c.id).where(deleted == 0).limit(1)
        return self._connection.execute(query).first() is not None

    def last_id(self) -> int:
        """The greatest ``id``; 0 in an empty table."""
        query = sa.select(sa.func.max(self._table.c.id))
        return self._connection.execute(query).scalar() or 0

    def _facts_query(self) -> sa.Select[Any]:
        column = self._table.c
        is_deleted = sa.or_(column.deleted != 0, column.vm_state == _SOFT_DELETED)
        said = db_api.fact(
            sa.literal(self._cell_uuid),
            column.project_id,
            column.user_id,
            queued_for_delete=is_deleted,
        )
        query = sa.select(column.uuid, said).order_by(column.uuid)
        if 'hidden' in self._columns:
            query = query.where(sa.or_(column.hidden.is_(None), sa.not_(column.hidden)))
        return query

    def _needed(self) -> sa.Select[Any]:
        return sa.select(*(self._table.c[name] for name in _NEEDED), self._hidden())

    def _hidden(self) -> sa.ColumnElement[Any]:
        return self._table.c.hidden if 'hidden' in self._columns else sa.null()


def _columns(connection: sa.Connection, cell: CellMapping) -> Sequence[str]:
    there = _names(connection, cell)
    missing = [name for name in _NEEDED if name not in there]
    if missing:
        raise exception.NotACellDatabase(
            cell=cell.identity, reason=f'its table instances lacks {", ".join(missing)}'
        )
    return [name for name in {*_NEEDED, *_SINCE_TRAIN, *_SHOWN} if name in there]


def _names(connection: sa.Connection, cell: CellMapping) -> Collection[str]:
    """The columns of the table, by what a query of no rows answers."""
    query = sa.select(sa.text('*')).select_from(sa.table('instances')).where(sa.false())
    try:
        return connection.execute(query).keys()
    except sa.exc.DBAPIError:
        if sa.inspect(connection).has_table('instances'):
            raise
        raise exception.NotACellDatabase(
            cell=cell.identity, reason='it has no table instances'
        ) from None


def _instance(row: Iterable[Any]) -> Instance:
    number, uuid, project_id, user_id, deleted, vm_state, hidden = row
    return Instance(
        id=number,
        uuid=uuid,
        project_id=project_id,
        user_id=user_id,
        # 0, or the row's own id once it is deleted.
        deleted=bool(deleted),
        queued_for_delete=bool(deleted) or vm_state == _SOFT_DELETED,
        hidden=bool(hidden),
    )
