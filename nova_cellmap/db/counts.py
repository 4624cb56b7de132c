# SPDX-License-Identifier: Apache-2.0
"""How many mappings there are."""

from collections.abc import Collection, Iterable

import sqlalchemy as sa

from nova_cellmap.context import RequestContext
from nova_cellmap.db import columns
from nova_cellmap.db.connected import Connected
from nova_cellmap.db.schemas import own
from nova_cellmap.db.transaction import reads


@reads
def instance_mapping_get_counts(
    context: Connected, project_id: str, user_id: str | None = None
) -> dict[str, dict[str, int]]:
    """How many instances a project has, and how many of them are a user's.

    What is queued for delete does not count.

    :returns: ``{'project': {'instances': n}}``, and with a *user_id* also
        ``'user': {'instances': n}``
    """
    mappings = context.schema.instance_mapping
    theirs = [
        mappings.c.project_id == project_id,
        columns.not_queued_for_delete(context.schema),
        *context.schema.is_mapping_of(project_id),
    ]
    counts = {'project': {'instances': _count(context, *theirs)}}
    if user_id is not None:
        users = _count(context, context.schema.mapping_column('user_id') == user_id, *theirs)
        counts['user'] = {'instances': users}
    return counts


def instance_mapping_get_count_by_uuids_and_user(
    context: RequestContext, instance_uuids: Iterable[str], user_id: str
) -> int:
    """How many of these instances are a user's. What is queued for delete does not count."""
    # An iterator would have nothing left for a second try.
    return _count_users(context, set(instance_uuids), user_id)


@reads
def _count_users(context: Connected, uuids: Collection[str], user_id: str) -> int:
    mappings = context.schema.instance_mapping
    return sum(
        _count(
            context,
            mappings.c.instance_uuid.in_(chunk),
            context.schema.mapping_column('user_id') == user_id,
            columns.not_queued_for_delete(context.schema),
            *context.schema.is_mapping,
        )
        for chunk in columns.chunks(uuids)
    )


@reads
def instance_mapping_count_by_cell_and_project(
    context: Connected,
) -> list[tuple[str | None, str, int, int]]:
    """How many mappings each project has in each cell, in no order.

    :returns: for each pair that has any: the cell's uuid (None: no cell), the project's id,
        how many mappings, and how many of these are queued for delete
    """
    schema = context.schema
    mappings = schema.instance_mapping
    # The columns of an index, in its order: the database counts as it reads along it.
    key = (
        own.exactly(mappings.c.project_id),
        schema.mapping_column('queued_for_delete'),
        mappings.c.cell_uuid,
    )
    query = sa.select(*key, sa.func.count()).where(*schema.is_mapping).group_by(*key)
    counts: dict[tuple[str | None, str], tuple[int, int]] = {}
    for project_id, queued, cell_uuid, number in context.connection.execute(query):
        so_far, deleted = counts.get((cell_uuid, project_id), (0, 0))
        deleted += number if queued else 0
        counts[cell_uuid, project_id] = so_far + number, deleted
    return [(*pair, *count) for pair, count in counts.items()]


def _count(context: Connected, *where: sa.ColumnElement[bool]) -> int:
    counted = sa.select(sa.func.count()).select_from(context.schema.instance_mapping)
    return context.connection.execute(counted.where(*where)).scalar_one()
