# SPDX-License-Identifier: Apache-2.0
"""What is said of all instances, for comparison with what the cells say."""

from collections.abc import Iterable, Sequence
import re
from typing import Any

import sqlalchemy as sa

from nova_cellmap import text
from nova_cellmap.db import columns
from nova_cellmap.db import errors
from nova_cellmap.db import statements
from nova_cellmap.db import undecoded
from nova_cellmap.db.columns import MAPPING_COLUMNS
from nova_cellmap.db.columns import Row
from nova_cellmap.db.connected import Connected
from nova_cellmap.db.schemas import own
from nova_cellmap.db.schemas.schema import Schema
from nova_cellmap.db.transaction import reads

# The uuid of an instance, and what is said of it, as `fact` puts it.
Fact = tuple[str, str]

# ASCII's own separators, of units and of records.
_SEPARATOR, _NULL = '\x1f', '\x1e'


def fact(
    *texts: sa.ColumnElement[Any], queued_for_delete: sa.ColumnElement[bool]
) -> sa.ColumnElement[str]:
    """What is said of an instance, in one text that the database puts together.

    A driver takes the time of a row for each of its columns, and to compare one text takes
    less than to compare four. So long as nobody's id has a separator in it, equal texts say
    the same; what differs is to be looked at again anyway.

    :param texts: the cell's uuid, the project, the user
    :param queued_for_delete: NULL is no
    """
    said: sa.ColumnElement[str] = sa.case((queued_for_delete, '1'), else_='0')
    for each in reversed(texts):
        said = sa.func.coalesce(sa.type_coerce(each, sa.String), _NULL) + _SEPARATOR + said
    return said


def cell_of_fact(fact: Fact) -> str:
    """The uuid of the cell that a fact names; where it names none, no uuid."""
    return fact[1].partition(_SEPARATOR)[0]


@reads
def instance_mapping_scan(
    context: Connected, last_uuid: str, limit: int, project_id: str | None = None
) -> list[Fact]:
    """The next *limit* mappings behind an instance uuid, in the order of these.

    Those of a project, or all.

    Text that is not in the encoding of the database has surrogates.
    """
    key = context.schema.instance_mapping.c.instance_uuid
    exactly = own.exactly(key)
    of_project = context.schema.instance_mapping.c.project_id == project_id
    where = () if project_id is None else (of_project,)
    # As it is stored, and not as it is read.
    found = _page(context, sa.type_coerce(key, own.Text()), last_uuid, limit, *where)
    # What is spelled as usual has the same order in every collation: an index serves it.
    if exactly is not key and not _are_usual([last_uuid or _USUAL, *(row[0] for row in found)]):
        found = _page(context, exactly, last_uuid, limit, *where)
    if found:
        # What is no text at all comes last.
        _check_is_text(found[-1][0])
    return [(uuid, said) for uuid, said in found]


def _page(
    context: Connected,
    key: sa.ColumnElement[str],
    last_uuid: str,
    limit: int,
    *where: sa.ColumnElement[bool],
) -> Sequence[Sequence[Any]]:
    columns: list[sa.ColumnElement[Any]] = [key.label('instance_uuid'), _said(context.schema)]
    query = (
        sa.select(*columns).select_from(context.schema.mappings).where(*context.schema.is_mapping)
    )
    query = query.where(key > last_uuid, *where)
    return _facts(context, query.order_by(key).limit(limit))


def _facts(context: Connected, query: sa.Select[Any]) -> Sequence[Sequence[Any]]:
    try:
        found: Sequence[Sequence[Any]] = context.connection.execute(query).all()
    except errors.DRIVER as error:
        if errors.kind_of(error) is not errors.Kind.MISREAD:
            raise
        # One such text must not keep the others from being read.
        found = undecoded.rows(context.connection, query)
        for uuid, _ in found:
            _check_is_text(uuid)
    return found


@statements.of_schema
def _said(schema: Schema) -> sa.ColumnElement[str]:
    cell_uuid, project_id, user_id, queued = schema.mapping_columns(
        ('cell_uuid', 'project_id', 'user_id', 'queued_for_delete')
    )
    return fact(
        own.exactly(cell_uuid), project_id, user_id, queued_for_delete=columns.is_set(queued)
    )


def _are_usual(uuids: Iterable[Any]) -> bool:
    return all(isinstance(each, str) and _UUID.fullmatch(each) for each in uuids)


_UUID = re.compile('[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}')
_USUAL = '00000000-0000-0000-0000-000000000000'


def _check_is_text(uuid: Any) -> None:
    """There is no going on behind what is none."""
    if not isinstance(uuid, str) or not text.is_encodable(uuid):
        raise errors.misread(f'it has instance_uuid {text.shown(uuid)}')


@reads
def instance_mapping_get_as_stored(context: Connected, instance_uuids: Iterable[str]) -> list[Row]:
    """The mappings of some instances whose values may be none of their columns'.

    Nothing is made of a value: times are as the driver gives them, and text that is not in the
    encoding of the database has surrogates. SQLite keeps anything in any column.
    """
    mappings = context.schema.instance_mapping
    stored: list[sa.ColumnElement[Any]] = [
        sa.type_coerce(each, sa.types.NULLTYPE)
        for each in context.schema.mapping_columns(MAPPING_COLUMNS)
    ]
    query = sa.select(*stored).select_from(context.schema.mappings)
    query = query.where(*context.schema.is_mapping)
    return [
        columns.mapping(row)
        for chunk in columns.chunks(instance_uuids)
        for row in undecoded.rows(
            context.connection, query.where(mappings.c.instance_uuid.in_(chunk))
        )
    ]
