# SPDX-License-Identifier: Apache-2.0
"""Let a mapping name only a cell that there is.

Mappings of cells that cell_mapping lacks keep their cell: a row in its place is
added, disabled and leading nowhere. ``cell_v2 update_cell`` makes it a real one,
``cell_v2 delete_cell`` removes it once nothing is mapped to it.

The code of the release before runs on the result, except that it can no longer map an
instance to a cell that is not there, nor delete a cell that still has mappings.
"""

import logging

from oslo_utils import timeutils
import sqlalchemy as sa

from nova_cellmap.db import schema_change

LOG = logging.getLogger(__name__)

NOWHERE = 'none:///'

metadata = sa.MetaData()

cell_mapping = sa.Table(
    'cell_mapping',
    metadata,
    sa.Column('created_at', sa.DateTime),
    sa.Column('uuid', sa.String(36)),
    sa.Column('name', sa.String(255)),
    sa.Column('transport_url', sa.Text),
    sa.Column('database_connection', sa.Text),
    sa.Column('disabled', sa.Boolean),
)

foreign_key = sa.ForeignKeyConstraint(
    ['cell_uuid'], ['cell_mapping.uuid'], name='instance_mapping_cell_uuid_fkey'
)

instance_mapping = sa.Table(
    'instance_mapping',
    metadata,
    sa.Column('cell_uuid', sa.String(36)),
    sa.Index('instance_mapping_cell_uuid_idx', 'cell_uuid'),
    foreign_key,
)


def upgrade(migrate_engine: sa.Engine) -> None:
    with migrate_engine.begin() as connection:
        schema_change.create_indexes(connection, instance_mapping)
        add_missing_cells(connection)
        schema_change.add_foreign_key(connection, foreign_key)


def add_missing_cells(connection: sa.Connection) -> None:
    for uuid, mappings in missing_cells(connection):
        add_placeholder(connection, uuid)
        LOG.warning(
            'Mappings name cell %s (%d of them), which cell_mapping lacks: a disabled '
            'placeholder was added. Set its URLs with `cell_v2 update_cell`.',
            uuid,
            mappings,
        )


def missing_cells(connection: sa.Connection) -> list[tuple[str, int]]:
    cell_uuid = instance_mapping.c.cell_uuid
    query = (
        sa.select(cell_uuid, sa.func.count())
        .outerjoin_from(instance_mapping, cell_mapping, cell_uuid == cell_mapping.c.uuid)
        .where(cell_uuid.is_not(None), cell_mapping.c.uuid.is_(None))
        .group_by(cell_uuid)
        .order_by(cell_uuid)
    )
    return [(uuid, mappings) for uuid, mappings in connection.execute(query)]


def add_placeholder(connection: sa.Connection, uuid: str) -> None:
    insert = sa.insert(cell_mapping).values(
        created_at=timeutils.utcnow(),
        uuid=uuid,
        transport_url=NOWHERE,
        database_connection=NOWHERE,
        disabled=True,
    )
    connection.execute(insert)
