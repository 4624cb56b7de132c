# SPDX-License-Identifier: Apache-2.0
"""The instances of many cells in one order."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import datetime
import functools
import heapq
import itertools
import operator
from typing import Any, NamedTuple

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import uuids
from nova_cellmap.cells import database
from nova_cellmap.cells import rows
from nova_cellmap.cells import scatter
from nova_cellmap.cells.nova_table import InstancesTable
from nova_cellmap.cells.rows import InvalidRow
from nova_cellmap.context import Cell
from nova_cellmap.context import RequestContext
from nova_cellmap.db import errors
from nova_cellmap.db.error_kinds import Kind
from nova_cellmap.objects.cell_mapping import CellMapping
from nova_cellmap.objects.cell_mapping import CellMappingList

SORT_KEYS = InstancesTable.SORT_KEYS
_NEEDED = ('uuid', 'project_id', 'deleted')


@dataclasses.dataclass(frozen=True)
class Listed:
    """An instance in a list: its cell, and what the cell's table ``instances`` says of it.

    ``values`` has the columns of :data:`SORT_KEYS` as far as the cell's release of Nova has
    them. Times are naive UTC. ``spelled`` is the uuid as the cell spells it, by which it has its
    place in the list.
    """

    cell: CellMapping
    uuid: str
    values: Mapping[str, Any]
    spelled: str = ''


@dataclasses.dataclass(frozen=True)
class Listing:
    """A page of instances, and the cells that are missing in it, by their uuids.

    ``invalid`` are the rows that the cells have at this place of the list and that cannot be
    listed, by the cell's uuid.
    """

    instances: list[Listed]
    failures: dict[str, scatter.Failure | scatter.NoAnswer]
    invalid: dict[str, list[InvalidRow]]


def list_instances(
    context: RequestContext,
    *,
    cells: Iterable[CellMapping] | None = None,
    project_id: str | None = None,
    deleted: bool = False,
    sort_key: str = 'created_at',
    descending: bool = True,
    limit: int | None = None,
    marker: Listed | str | None = None,
    timeout: float | None = None,
) -> Listing:
    """List instances of many cells, in one order.

    Instances with the same value are in the order of their uuids, which runs the same way;
    those without a value come last. Text is ordered by its code points, whatever a cell's
    database would do. A row that is ``hidden`` in a cell is the other half of a move, and is
    left out; so are the rows that migrations of Nova's own left.

    A cell that cannot be read does not keep the others from being listed: it is named in
    ``failures``. Nor does a row that says what cannot be: it is among ``invalid``.

    :param cells: the cells; by default those that the project has mappings in, or all
    :param project_id: only the instances of that project
    :param deleted: also those that are deleted or, as Nova's own list has it, soft-deleted
    :param sort_key: one of :data:`SORT_KEYS`
    :param limit: the greatest number of instances
    :param marker: the last instance of the page before, or its uuid, which has to be looked
        up in its cell
    :param timeout: for how many seconds each cell is waited for; None: ``[cells] timeout``
    :raises: InvalidInput; MarkerNotFound; CellDidNotAnswer where a uuid is the marker and may
        be in a cell that cannot be read
    """
    if sort_key not in SORT_KEYS:
        raise exception.InvalidInput(reason=f'instances cannot be sorted by {sort_key}')
    if limit is not None and limit < 0:
        raise exception.InvalidInput(reason=f'limit cannot be {limit}')
    asked = list(_cells(context, project_id) if cells is None else cells)
    if isinstance(marker, str):
        marker = _find(context, asked, marker, timeout)
    order = _Order(sort_key, descending, marker)
    results = scatter.scatter_gather_cells(
        context, asked, timeout, _read, order, project_id, deleted, limit
    )
    streams = [_listed(results[uuid].cell, found) for uuid, found in results.answers.items()]
    merged = heapq.merge(*streams, key=order.key, reverse=descending)
    invalid = {uuid: found.invalid for uuid, found in results.answers.items() if found.invalid}
    return Listing(list(itertools.islice(merged, limit)), results.failures, invalid)


def _cells(context: RequestContext, project_id: str | None) -> CellMappingList:
    if project_id is None:
        return CellMappingList.get_all(context)
    return CellMappingList.get_by_project_id(context, project_id)


def _find(
    context: RequestContext, cells: Sequence[CellMapping], uuid: str, timeout: float | None
) -> Listed:
    """:raises: MarkerNotFound, CellDidNotAnswer"""
    results = scatter.scatter_gather_cells(
        context, cells, timeout, _read_one, uuids.canonical(uuid) or uuid
    )
    for cell_uuid, found in results.answers.items():
        for instance in _listed(results[cell_uuid].cell, found):
            return instance
    if not results.failures:
        raise exception.MarkerNotFound(marker=uuid)
    failure = next(iter(results.failures.values()))
    raise exception.CellDidNotAnswer(
        cell=failure.cell.identity, reason=f'it may be the cell of the marker {uuid}'
    )


def _listed(cell: CellMapping, found: '_Found') -> Iterator[Listed]:
    return (Listed(cell, row['uuid'], row, spelled) for spelled, row in found.rows)


@dataclasses.dataclass(frozen=True)
class _Order:
    """The order of a list, and the instance that its page begins behind."""

    sort_key: str
    descending: bool
    marker: Listed | None

    def key(self, instance: Listed) -> tuple[Any, ...]:
        value = self._value(instance)
        # Those without a value are last, whichever way the list runs.
        is_late = (value is None) != self.descending
        return is_late, value, instance.spelled or instance.uuid, instance.cell.uuid

    def _value(self, instance: Listed) -> Any:
        if self.sort_key == 'uuid':
            return instance.spelled or instance.uuid
        return instance.values.get(self.sort_key)

    def columns(self, table: InstancesTable) -> list[sa.ColumnElement[Any]]:
        value, uuid = table.ordered(self.sort_key), table.ordered('uuid')
        ends = [value.desc(), uuid.desc()] if self.descending else [value, uuid]
        return [table[self.sort_key].is_(None), *ends]

    def is_behind_marker(self, table: InstancesTable, cell_uuid: str) -> sa.ColumnElement[bool]:
        """Whether a row of that cell comes behind the marker."""
        if self.marker is None:
            return sa.true()
        marked = self._value(self.marker)
        value, uuid = table.ordered(self.sort_key), table.ordered('uuid')
        is_missing = table[self.sort_key].is_(None)
        same_uuid = table.bound('uuid', self.marker.spelled or self.marker.uuid)
        is_next = self._is_behind(uuid, same_uuid)
        if self._is_cell_behind(cell_uuid):
            # The same instance may be in two cells.
            is_next = sa.or_(is_next, uuid == same_uuid)
        if marked is None:
            return sa.and_(is_missing, is_next)
        same = table.bound(self.sort_key, marked)
        is_tied = sa.and_(value == same, is_next)
        return sa.or_(is_missing, self._is_behind(value, same), is_tied)

    def _is_behind(
        self, column: sa.ColumnElement[Any], place: sa.ColumnElement[Any]
    ) -> sa.ColumnElement[bool]:
        compare = operator.lt if self.descending else operator.gt
        behind: sa.ColumnElement[bool] = compare(column, place)
        return behind

    def _is_cell_behind(self, cell_uuid: str) -> bool:
        assert self.marker is not None
        marked = self.marker.cell.uuid
        return cell_uuid < marked if self.descending else cell_uuid > marked


# Where a connection keeps the columns.
_COLUMNS = 'nova_cellmap_instances'


def _table(connection: sa.Connection, cell: Cell, needed: str) -> InstancesTable:
    """The cell's table, whose columns are read once for as long as the connection is kept.

    :param needed: the column that the list is sorted by
    :raises: NotACellDatabase; one of errors.DRIVER
    """
    there = connection.info.get(_COLUMNS)
    if there is None:
        there = database.column_names(connection, 'instances', cell.identity)
        connection.info[_COLUMNS] = there
    return InstancesTable(
        there, (*_NEEDED, needed), dialect=connection.dialect.name, identity=cell.identity
    )


# What runs in the cells.


class _Found(NamedTuple):
    """What a cell has of a page: each row with its uuid as it is spelled there."""

    rows: list[tuple[str, dict[str, Any]]]
    invalid: list[InvalidRow]


_Narrow = Callable[[InstancesTable, sa.Select[Any]], sa.Select[Any]]


def _read(
    context: RequestContext,
    order: _Order,
    project_id: str | None,
    deleted: bool,
    limit: int | None,
) -> _Found:
    cell_uuid = context.cell.uuid

    def narrow(table: InstancesTable, query: sa.Select[Any]) -> sa.Select[Any]:
        query = query.where(order.is_behind_marker(table, cell_uuid))
        if project_id is not None:
            query = query.where(table['project_id'] == project_id)
        if not deleted:
            query = query.where(sa.not_(table.is_deleted()))
        return query.order_by(*order.columns(table))

    found = _Found([], [])
    read = 0
    while True:
        # In the place of those that cannot be listed others are.
        size = None if limit is None else limit - len(found.rows)
        some = _found(context, order.sort_key, narrow, size, read)
        found.rows.extend(some.rows)
        found.invalid.extend(some.invalid)
        read += len(some.rows) + len(some.invalid)
        if not some.invalid or size is None or len(some.rows) + len(some.invalid) < size:
            return found


def _read_one(context: RequestContext, uuid: str) -> _Found:
    def narrow(table: InstancesTable, query: sa.Select[Any]) -> sa.Select[Any]:
        return query.where(table['uuid'] == uuid)

    def narrow_to_any_spelling(table: InstancesTable, query: sa.Select[Any]) -> sa.Select[Any]:
        return query.where(table.digits() == uuid.replace('-', ''))

    found = _found(context, 'uuid', narrow, 1, 0)
    return found if found.rows else _found(context, 'uuid', narrow_to_any_spelling, 1, 0)


# What is no row's fault.
_NOT_A_ROWS = (Kind.LOST, Kind.SLOW, Kind.CROWDED, Kind.LOCKED, Kind.SCHEMA)


def _found(
    context: RequestContext, needed: str, narrow: _Narrow, limit: int | None, offset: int
) -> _Found:
    """:raises: CellUnreachable, NotACellDatabase"""
    attempt = functools.partial(_attempt, context, needed, narrow, limit, offset)
    try:
        return attempt(is_plain=False)
    except errors.DRIVER as error:
        first = error
    except exception.CellUnreachable as error:
        if error.__cause__ is None or errors.kind_of(error.__cause__) in _NOT_A_ROWS:
            raise
        first = error.__cause__
    # A driver or a server that cannot make sense of one value fails with all.
    with contextlib.suppress(*errors.DRIVER, exception.CellUnreachable):
        return attempt(is_plain=True)
    raise exception.CellUnreachable(
        cell=context.cell.identity, reason=errors.reason(first)
    ) from first


def _attempt(
    context: RequestContext,
    needed: str,
    narrow: _Narrow,
    limit: int | None,
    offset: int,
    is_plain: bool,
) -> _Found:
    with context.cell.reader() as connection:
        table = _table(connection, context.cell, needed)
        names = [name for name in SORT_KEYS if name in table]
        query = table.select(names, is_typed=True, is_plain=is_plain)
        query = narrow(table, query.where(table.is_no_marker(), table.is_shown()))
        query = query.limit(limit).offset(offset or None)
        found = _Found([], [])
        for row in database.rows_of(connection, query, limit, is_plain=is_plain):
            _sort_out(dict(zip(names, row, strict=True)), found)
        return found


def _sort_out(values: dict[str, Any], found: _Found) -> None:
    spelled = rows.text_of(values['uuid'])
    uuid = uuids.canonical(spelled)
    problems = [] if uuid else [f'its uuid, {rows.shown(spelled)}, is none']
    for name, value in values.items():
        checked = rows.time_of(value) if name.endswith('_at') else rows.text_of(value)
        if value is not None and not (
            isinstance(checked, datetime.datetime) or rows.is_text(checked)
        ):
            problems.append(f'{name}, {rows.shown(value)}, is not what it should be')
        values[name] = checked
    problems += filter(
        None,
        (
            rows.owner_problem(name, values[name], required=False)
            for name in ('project_id', 'user_id')
            if name in values
        ),
    )
    if uuid is None or problems:
        found.invalid.append(InvalidRow(None, rows.shown(spelled), uuid, '; '.join(problems)))
    elif uuid != rows.NO_UUID:
        found.rows.append((spelled, {**values, 'uuid': uuid}))
