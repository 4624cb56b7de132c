# SPDX-License-Identifier: Apache-2.0
"""What Nova's API database has of one instance, beside its mapping."""

from typing import Any

import sqlalchemy as sa

from nova_cellmap.db.columns import Row
from nova_cellmap.db.connected import Connected
from nova_cellmap.db.transaction import reads_own

_TIMES = ('created_at', 'updated_at')


@reads_own
def nova_traces_get(context: Connected, instance_uuid: str) -> dict[str, Row | None] | None:
    """What Nova's tables have of an instance; None where the tables are our own.

    :returns: of ``build_request`` (with ``project_id``), ``request_spec`` and ``server_group``
        (with ``uuid`` and ``name``) the row, with ``created_at`` and ``updated_at``, or None
    """
    if context.schema.name != 'nova':
        return None
    there = set(sa.inspect(context.connection).get_table_names())
    found = {
        name: context.connection.execute(query.limit(1)).first() if tables <= there else None
        for name, (tables, query) in _queries(instance_uuid).items()
    }
    return {name: None if row is None else dict(row._mapping) for name, row in found.items()}


def _queries(instance_uuid: str) -> dict[str, tuple[set[str], sa.Select[Any]]]:
    """What is asked, and of which tables, which a release may not have yet."""
    return {
        'build_request': _of('build_requests', instance_uuid, 'project_id'),
        'request_spec': _of('request_specs', instance_uuid),
        'server_group': _group(instance_uuid),
    }


def _of(table: str, instance_uuid: str, *names: str) -> tuple[set[str], sa.Select[Any]]:
    rows = _table(table, 'instance_uuid', *names, *_TIMES)
    query = sa.select(*(rows.c[name] for name in (*names, *_TIMES)))
    return {table}, query.where(rows.c.instance_uuid == instance_uuid)


def _group(instance_uuid: str) -> tuple[set[str], sa.Select[Any]]:
    groups = _table('instance_groups', 'id', 'uuid', 'name', *_TIMES)
    members = _table('instance_group_member', 'instance_uuid', 'group_id')
    query = sa.select(*(groups.c[name] for name in ('uuid', 'name', *_TIMES)))
    is_its = members.c.instance_uuid == instance_uuid
    return {groups.name, members.name}, query.where(groups.c.id == members.c.group_id, is_its)


def _table(name: str, *columns: str) -> sa.TableClause:
    return sa.table(name, *map(sa.column, columns))
