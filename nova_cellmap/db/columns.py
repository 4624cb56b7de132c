# SPDX-License-Identifier: Apache-2.0
"""The columns that rows of the function layer have, and what can be written to them."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
import datetime
import enum
import itertools
import operator
import sys
from typing import Any, Final, TypeVar

from oslo_utils import timeutils
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap.db import errors
from nova_cellmap.db.schemas import own
from nova_cellmap.db.schemas.schema import Schema

Row = dict[str, Any]
_T = TypeVar('_T')

# The largest number of rows that every database counts.
MOST_ROWS = 2**63 - 1
# The longest IN list in one statement; longer ones are cut into several.
_CHUNK = 1000

# Rows have the columns of the specification in each schema.
CELL_COLUMNS = tuple(own.cell_mapping.columns.keys())
MAPPING_COLUMNS = tuple(own.instance_mapping.columns.keys())
ID_PLACE = MAPPING_COLUMNS.index('id')
UUID_PLACE = MAPPING_COLUMNS.index('instance_uuid')
CELL_PLACE = MAPPING_COLUMNS.index('cell_uuid')
# Of a row, the columns in that order.
columns_of = operator.itemgetter(*MAPPING_COLUMNS)

_CELL_NAMES = frozenset(CELL_COLUMNS)
_CELL_REQUIRED = ('uuid', 'transport_url', 'database_connection')
_MAPPING_NAMES = frozenset(MAPPING_COLUMNS)
_MAPPING_REQUIRED = ('instance_uuid', 'project_id')
_CREATABLE = _MAPPING_NAMES - {'id', 'updated_at'}
_LENGTHS: dict[str, int] = {
    column.key: length
    for column in (*own.cell_mapping.columns, *own.instance_mapping.columns)
    if (length := getattr(column.type, 'length', None))
}
_SHORTEST = min(_LENGTHS.values())


class Expected(enum.Enum):
    """What a caller may expect of a column besides a value."""

    ANYTHING = 'anything'


ANYTHING: Final = Expected.ANYTHING


def not_queued_for_delete(schema: Schema) -> sa.ColumnElement[bool]:
    """Whether a mapping is not queued for delete, written so that an index serves it."""
    queued = schema.mapping_column('queued_for_delete')
    # NULL, wherever it came from, is not queued.
    return sa.or_(queued == sa.false(), queued.is_(None))


def is_set(flag: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether a flag reads as True: somebody may have written 2, which is not ``true`` in SQL."""
    return flag != sa.false()


def is_still(column: sa.ColumnElement[Any], seen: Any) -> sa.ColumnElement[bool]:
    """Whether a column reads as it did before."""
    return is_set(column) if seen is True else column.is_not_distinct_from(seen)


def cells(schema: Schema) -> sa.Select[Any]:
    """The query of all cells: ``CELL_COLUMNS``."""
    return sa.select(*schema.cell_columns(CELL_COLUMNS)).select_from(schema.cell_mapping)


def mappings(schema: Schema) -> sa.Select[Any]:
    """The query of all mappings: ``MAPPING_COLUMNS``."""
    query = sa.select(*schema.mapping_columns(MAPPING_COLUMNS))
    return query.select_from(schema.mappings).where(*schema.is_mapping)


def cell(row: Sequence[Any]) -> Row:
    """A row of ``cell_mapping`` as a dict."""
    return dict(zip(CELL_COLUMNS, row, strict=True))


def mapping(row: Sequence[Any]) -> Row:
    """A row of ``instance_mapping`` as a dict."""
    return dict(zip(MAPPING_COLUMNS, row, strict=True))


def new_cell(values: Mapping[str, Any]) -> Row:
    """Check the values of a cell that is to be added.

    :raises: InvalidInput
    """
    return {'disabled': False, **_checked(_CELL_NAMES, values, required=_CELL_REQUIRED)}


def changed_cell(values: Mapping[str, Any]) -> Row:
    """Check what a cell is to be changed to; answer it with the time.

    :raises: InvalidInput
    """
    return {'updated_at': now(), **_checked(_CELL_NAMES, values)}


def new_mapping(values: Mapping[str, Any]) -> Row:
    """The row of a new mapping; all have the same columns, but perhaps for ``created_at``.

    :raises: InvalidInput
    """
    return _DEFAULTS | _checked(_CREATABLE, values, required=_MAPPING_REQUIRED)


def changed_mapping(values: Mapping[str, Any]) -> Row:
    """Check what a mapping is to be changed to; answer it with the time.

    :raises: InvalidInput
    """
    return {'updated_at': now(), **_checked(_MAPPING_NAMES, values)}


def _checked(columns: Set[str], values: Mapping[str, Any], required: Collection[str] = ()) -> Row:
    if not values.keys() <= columns:
        unknown = values.keys() - columns
        raise exception.InvalidInput(reason=f'no such column: {", ".join(sorted(unknown))}')
    for column, value in values.items():
        # SQLite would keep more than its column is for.
        if (
            type(value) is str
            and len(value) > _SHORTEST
            and len(value) > _LENGTHS.get(column, sys.maxsize)
        ):
            raise exception.InvalidInput(
                reason=f'{column} has {len(value)} characters, the limit is {_LENGTHS[column]}'
            )
    missing = [column for column in required if values.get(column) is None]
    if missing:
        raise exception.InvalidInput(reason=f'without a value: {", ".join(missing)}')
    return dict(values)


def _default(column: sa.Column[Any]) -> Any:
    """What the database would put in: bulk_insert names each column."""
    if column.server_default is None:
        return None
    return {'false': False, '0': 0}[str(getattr(column.server_default, 'arg', None))]


_DEFAULTS: Row = {
    column.key: _default(column)
    for column in own.instance_mapping.columns
    if column.key in _CREATABLE - {*_MAPPING_REQUIRED, 'created_at'}
}


def check_id(error: BaseException, table: sa.Table) -> None:
    """:raises: DatabaseError where a row is refused for the id that the database itself gave it"""
    if errors.is_of_primary_key(error):
        raise exception.DatabaseError(
            reason=f'it gave a new row of {table.name} an id that is taken, as after a restore '
            'that left its sequence or AUTO_INCREMENT behind. Set that past the greatest id.'
        ) from None


def chunks(items: Iterable[_T], size: int = _CHUNK) -> Iterator[list[_T]]:
    """Items in parts that one statement can name."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def now() -> datetime.datetime:
    """The time, as a column keeps it."""
    now: datetime.datetime = timeutils.utcnow()
    return now.replace(microsecond=0)
