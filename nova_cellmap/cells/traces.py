# SPDX-License-Identifier: Apache-2.0
"""All that a cell's database has of one instance, for a person to read."""

from collections.abc import Callable, Mapping, Sequence
import contextlib
import dataclasses
from typing import Any

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import text
from nova_cellmap import uuids
from nova_cellmap.cells import database
from nova_cellmap.cells import rows
from nova_cellmap.cells.nova_table import NovaTable
from nova_cellmap.objects.cell_mapping import CellMapping

#: What a row says, by the names of its columns, as far as the release has them.
Row = dict[str, Any]

_NUMBER, _TEXT, _FLAG, _TIME = sa.BigInteger(), sa.Text(), sa.Boolean(), sa.DateTime()
_WRITTEN: Mapping[str, Any] = {'created_at': _TIME, 'updated_at': _TIME}
_INSTANCE: Mapping[str, Any] = {
    'id': _NUMBER,
    **dict.fromkeys(('uuid', 'display_name', 'project_id', 'user_id'), _TEXT),
    **dict.fromkeys(('vm_state', 'task_state'), _TEXT),
    'power_state': _NUMBER,
    **dict.fromkeys(('host', 'node', 'availability_zone'), _TEXT),
    'hidden': _FLAG,
    'deleted': _NUMBER,
    **_WRITTEN,
    **dict.fromkeys(('launched_at', 'terminated_at', 'deleted_at'), _TIME),
}
_SERVICE: Mapping[str, Any] = {
    **dict.fromkeys(('host', 'binary'), _TEXT),
    'disabled': _FLAG,
    'disabled_reason': _TEXT,
    'forced_down': _FLAG,
    'last_seen_up': _TIME,
    'updated_at': _TIME,
    'deleted': _NUMBER,
}
_MIGRATION: Mapping[str, Any] = {
    'id': _NUMBER,
    **dict.fromkeys(('uuid', 'migration_type', 'status'), _TEXT),
    'cross_cell_move': _FLAG,
    **dict.fromkeys(('source_compute', 'dest_compute', 'instance_uuid'), _TEXT),
    'hidden': _FLAG,
    'deleted': _NUMBER,
    **_WRITTEN,
}
# More than one row of an instance is against Nova's constraints; the last migrations tell enough.
_MOST = 10
# Of which a number says more than a flag.
_NUMBERS = ('id', 'power_state')
_FLAGS = ('hidden', 'deleted', 'disabled', 'forced_down', 'cross_cell_move')
_MOST_SHOWN = 255


@dataclasses.dataclass
class Traces:
    """What a cell has of an instance.

    :ivar error: why the cell could not tell, or not all of it
    :ivar instances: its rows, also where they are hidden or deleted
    :ivar shadow_instances: those that Nova has archived
    :ivar services: of the hosts that these rows name, the compute services
    :ivar migrations: the last ones, latest first
    """

    cell: CellMapping
    error: exception.CellError | None = None
    instances: list[Row] = dataclasses.field(default_factory=list)
    shadow_instances: list[Row] = dataclasses.field(default_factory=list)
    services: list[Row] = dataclasses.field(default_factory=list)
    migrations: list[Row] = dataclasses.field(default_factory=list)


def find(cell: CellMapping, uuid: str) -> Traces:
    """What a cell has of an instance; it does not raise where the cell cannot tell."""
    traces = Traces(cell)
    with database.connect(cell) as reader:
        try:
            _find(_Tables(reader, cell), uuid, traces)
        except exception.CellError as error:
            traces.error = error
    return traces


def _find(tables: '_Tables', uuid: str, traces: Traces) -> None:
    traces.instances = tables.instances('instances', uuid)
    hosts = {str(row['host']) for row in traces.instances if row.get('host')}
    # Not every cell's database has these tables, and what is there is told without them.
    with contextlib.suppress(exception.NotACellDatabase):
        traces.shadow_instances = tables.instances('shadow_instances', uuid)
    with contextlib.suppress(exception.NotACellDatabase):
        traces.services = tables.services(hosts)
    with contextlib.suppress(exception.NotACellDatabase):
        traces.migrations = tables.migrations(uuid)


class _Tables:
    """Some tables of a cell, in the shape that its Nova release gave them."""

    def __init__(self, reader: database.Reader, cell: CellMapping) -> None:
        self._reader = reader
        self._cell = cell

    def instances(self, name: str, uuid: str) -> list[Row]:
        forms = [uuid, *uuids.spellings(uuid)]
        return self._rows(name, _INSTANCE, ('id', 'uuid'), lambda table: table['uuid'].in_(forms))

    def services(self, hosts: set[str]) -> list[Row]:
        return self._rows(
            'services',
            _SERVICE,
            ('host', 'binary', 'deleted'),
            lambda table: sa.and_(
                table['host'].in_(sorted(hosts)),
                table['binary'] == 'nova-compute',
                table['deleted'] == 0,
            ),
        )

    def migrations(self, uuid: str) -> list[Row]:
        # The index that serves begins with deleted; a deleted one has its id there.
        return self._rows(
            'migrations',
            _MIGRATION,
            ('instance_uuid', 'deleted'),
            lambda table: sa.and_(table['instance_uuid'] == uuid, table['deleted'] == 0),
        )

    def _rows(
        self,
        name: str,
        types: Mapping[str, Any],
        needed: Sequence[str],
        where: Callable[[NovaTable], sa.ColumnElement[bool]],
    ) -> list[Row]:
        """:raises: CellUnreachable; NotACellDatabase where there is no such table"""
        there = self._reader.column_names(name)
        table = NovaTable(name, there, types, needed, identity=self._cell.identity)
        names = [column for column in types if column in table]
        order = table['id'].desc() if 'id' in table else table['host']

        def query(**options: bool) -> sa.Select[Any]:
            return table.select(names, **options).where(where(table)).order_by(order).limit(_MOST)

        found = self._reader.rows(query(), _MOST, plain=query(is_plain=True))
        return [_shown(names, row) for row in found]


def _shown(names: Sequence[str], row: Sequence[Any]) -> Row:
    return {name: _value(name, value) for name, value in zip(names, row, strict=True)}


def _value(name: str, value: Any) -> Any:
    """A value as a person or a script reads it: a number, true or false, None, or one line."""
    if name in _FLAGS:
        flag = rows.flag_of(value)
        return flag if flag is not None else rows.shown(value)
    if value is None or (name in _NUMBERS and type(value) is int):
        return value
    return text.line(str(rows.text_of(value)), _MOST_SHOWN)
