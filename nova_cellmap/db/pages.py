# SPDX-License-Identifier: Apache-2.0
"""Lists in pages.

The rows after a marker are found by key, so that a page far down costs what the first does.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap.db import columns
from nova_cellmap.db import statements
from nova_cellmap.db.connected import Connected
from nova_cellmap.db.schemas.schema import Schema


def page(
    context: Connected,
    table: sa.Table,
    filters: Mapping[str, Any],
    limit: int | None,
    marker: str | None,
) -> Sequence[Sequence[Any]]:
    """The rows of a page, in the order of ``id``.

    :param filters: names of ``_FILTERS``, each with its value
    :raises: MarkerNotFound; InvalidInput where *limit* is no number of rows
    """
    check_limit(limit)
    values = dict(filters)
    if marker is not None:
        marked = _marker_query(context.schema, table, *filters)
        found = context.tuples(marked, {**filters, 'marker': marker})
        if not found:
            raise exception.MarkerNotFound(marker=marker)
        [(values['last_id'],)] = found
    if limit is not None and limit <= columns.MOST_ROWS:
        values['limit'] = limit
    return context.tuples(page_query(context.schema, table, *values), values)


def check_limit(limit: int | None) -> None:
    """:raises: InvalidInput where it is no number of rows"""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
        raise exception.InvalidInput(reason=f'limit {limit!r} is not a number of rows')


@statements.of_schema
def _marker_query(schema: Schema, table: sa.Table, *filters: str) -> statements.Query:
    key = table.c.uuid if table is schema.cell_mapping else table.c.instance_uuid
    where = [_FILTERS[name](schema) for name in filters]
    if table is schema.instance_mapping:
        where += schema.is_mapping
    return statements.Query(sa.select(table.c.id).where(key == sa.bindparam('marker'), *where))


@statements.of_schema
def page_query(schema: Schema, table: sa.Table, *names: str) -> statements.Query:
    """The query of a page.

    :param names: of its parameters: those of ``_FILTERS``, ``last_id`` and ``limit``
    """
    of_table = columns.cells if table is schema.cell_mapping else columns.mappings
    query = of_table(schema).order_by(table.c.id)
    for name in names:
        if name == 'limit':
            query = query.limit(sa.bindparam('limit', type_=sa.Integer))
        elif name == 'last_id':
            query = query.where(table.c.id > sa.bindparam('last_id'))
        else:
            query = query.where(_FILTERS[name](schema))
    return statements.Query(query)


def _is_in_cell_of_id(schema: Schema) -> sa.ColumnElement[bool]:
    found = sa.select(schema.cell_key).where(schema.cell_mapping.c.id == sa.bindparam('cell_id'))
    return schema.instance_mapping.c.cell_uuid == found.scalar_subquery()


def _is_used_by(schema: Schema) -> sa.ColumnElement[bool]:
    mappings = schema.instance_mapping
    is_theirs = mappings.c.project_id == sa.bindparam('used_by')
    used = sa.select(mappings.c.cell_uuid).where(is_theirs, *schema.is_mapping)
    return schema.cell_key.in_(used.distinct())


# What a list may be of, in terms of a parameter of the same name.
_FILTERS: dict[str, Callable[[Schema], sa.ColumnElement[bool]]] = {
    'project_id': lambda schema: (
        schema.instance_mapping.c.project_id == sa.bindparam('project_id')
    ),
    'cell_uuid': lambda schema: schema.instance_mapping.c.cell_uuid == sa.bindparam('cell_uuid'),
    'cell_id': _is_in_cell_of_id,
    'queued_for_delete': columns.not_queued_for_delete,
    'disabled': lambda schema: schema.is_disabled == sa.bindparam('disabled'),
    'used_by': _is_used_by,
}
