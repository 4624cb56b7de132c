# SPDX-License-Identifier: Apache-2.0
"""What there is to say of Nova's own tables, where they are those of the mapping database."""

from collections.abc import Iterable
import datetime
from typing import NamedTuple

import sqlalchemy as sa

from nova_cellmap.db import columns
from nova_cellmap.db.connected import Connected
from nova_cellmap.db.transaction import reads_own

# What alembic calls the table with the revision of a schema.
_REVISIONS = 'alembic_version'


class NovaSchema(NamedTuple):
    """Nova's tables.

    ``revision`` is that of their last alembic script, or None where a release before alembic
    made them. ``lacks`` are the columns that the release did not have yet.
    """

    revision: str | None
    lacks: tuple[str, ...]


@reads_own
def nova_schema_get(context: Connected) -> NovaSchema | None:
    """Nova's tables; None where the mapping database has our own, or none yet.

    :raises: SchemaAmbiguous; SchemaMissing where ``[api_database] schema`` is ``nova``, and they
        are not there
    """
    schema = context.schema
    if schema.name != 'nova':
        return None
    return NovaSchema(_revision(context.connection), tuple(sorted(schema.lacks)))


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(_REVISIONS):
        return None
    query = sa.select(sa.column('version_num', sa.String)).select_from(sa.table(_REVISIONS))
    found = connection.execute(query).scalars().all()
    return ', '.join(map(str, found)) or None


@reads_own
def build_request_get_by_instance_uuids(
    context: Connected, instance_uuids: Iterable[str]
) -> dict[str, datetime.datetime | None]:
    """Those of some instances that Nova is building: they have a build request.

    Where the tables are not Nova's, nobody is.

    :returns: when each was made, as far as it says so
    """
    table = context.schema.build_request
    if table is None:
        return {}
    query = sa.select(table.c.instance_uuid, table.c.created_at)
    return {
        uuid: created_at
        for chunk in columns.chunks(instance_uuids)
        for uuid, created_at in context.connection.execute(
            query.where(table.c.instance_uuid.in_(chunk))
        )
    }
