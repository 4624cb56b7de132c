# SPDX-License-Identifier: Apache-2.0
"""Create map_progress: how far ``cell_v2 map_instances`` has come in a cell.

The code of the release before runs on the result: it does not know the table, whose
rows go with their cell.
"""

import sqlalchemy as sa

from nova_cellmap.db import schema_change

metadata = sa.MetaData()

cell_mapping = sa.Table('cell_mapping', metadata, sa.Column('uuid', sa.String(36)))

map_progress = sa.Table(
    'map_progress',
    metadata,
    sa.Column('created_at', sa.DateTime),
    sa.Column('updated_at', sa.DateTime),
    sa.Column(
        'cell_uuid',
        sa.String(36),
        sa.ForeignKey('cell_mapping.uuid', name='map_progress_cell_uuid_fkey', ondelete='CASCADE'),
        primary_key=True,
    ),
    sa.Column('last_instance_id', sa.BigInteger, nullable=False),
    sa.Column('conflicts', sa.BigInteger, nullable=False, server_default='0'),
)


def upgrade(migrate_engine: sa.Engine) -> None:
    with migrate_engine.begin() as connection:
        schema_change.create_table(connection, map_progress)
