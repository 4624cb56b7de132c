# SPDX-License-Identifier: Apache-2.0
"""What Nova's API database has of instances beside their mapping, and mappings of old releases.

The tables are read in pages by ``id``, each as long however little there is to be found.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from nova_cellmap.db import columns
from nova_cellmap.db.columns import Row
from nova_cellmap.db.connected import Connected
from nova_cellmap.db.schemas.nova import Time
from nova_cellmap.db.transaction import reads_own

# The tables with rows of instances, by what a row is.
_TABLES = {
    name: sa.table(
        table,
        sa.column('id', sa.Integer),
        sa.column('instance_uuid', sa.String),
        *(sa.column(each, Time) for each in ('created_at', 'updated_at')),
    )
    for name, table in (
        ('build_request', 'build_requests'),
        ('request_spec', 'request_specs'),
        ('group_member', 'instance_group_member'),
    )
}


class Page(NamedTuple):
    """Some rows: up to which ``id`` was read, and how many; ``found`` are those in question."""

    last_id: int
    rows: int
    found: list[Row]


@reads_own
def nova_rows_after(context: Connected, kind: str, last_id: int, limit: int) -> Page | None:
    """The next rows of a table; None at its end, and where the tables are our own.

    :param kind: ``build_request``: each is found; ``request_spec`` or ``group_member``: those of
        instances without a mapping are
    :returns: rows of ``id``, ``instance_uuid``, ``created_at`` and ``updated_at``
    """
    if context.schema.name != 'nova':
        return None
    table = _TABLES[kind]
    query = sa.select(table).where(table.c.id > last_id).order_by(table.c.id).limit(limit)
    rows: Sequence[Any] = context.connection.execute(query).mappings().all()
    if not rows:
        return None
    found = [dict(row) for row in rows if isinstance(row['instance_uuid'], str)]
    if kind != 'build_request':
        mapped = _mapped(context, found)
        found = [row for row in found if row['instance_uuid'].lower() not in mapped]
    return Page(rows[-1]['id'], len(rows), found)


def _mapped(context: Connected, rows: Sequence[Row]) -> set[str]:
    """The instances of these rows that have a mapping, in lower case: so they are looked up where
    a database takes it for the same."""
    key = context.schema.instance_mapping.c.instance_uuid
    wanted = {row['instance_uuid'] for row in rows}
    return {
        uuid.lower()
        for chunk in columns.chunks(wanted)
        for uuid in context.connection.scalars(sa.select(key).where(key.in_(chunk)))
    }


@reads_own
def nova_unmigrated_after(context: Connected, last_id: int, limit: int) -> Page | None:
    """The next mappings; None at the end, and where the tables are our own.

    Those are found for which Nova does not believe any, but counts in all cells: without
    ``queued_for_delete``, or not queued and without a user.

    :returns: rows of ``id`` and ``instance_uuid``
    """
    schema = context.schema
    if schema.name != 'nova' or schema.lacks & {'user_id', 'queued_for_delete'}:
        return None
    mappings = schema.instance_mapping
    number = mappings.c.id
    page = sa.select(number).where(number > last_id).order_by(number).limit(limit).subquery()
    ends = sa.select(sa.func.max(page.c.id), sa.func.count()).select_from(page)
    end, rows = context.connection.execute(ends).one()
    if end is None:
        return None
    queued, user_id = mappings.c.queued_for_delete, mappings.c.user_id
    is_unmigrated = sa.or_(queued.is_(None), sa.and_(user_id.is_(None), queued == sa.false()))
    query = sa.select(number, mappings.c.instance_uuid).where(
        number > last_id, number <= end, is_unmigrated, *schema.is_mapping
    )
    found = context.connection.execute(query.order_by(number)).mappings()
    return Page(end, rows, [dict(row) for row in found])
