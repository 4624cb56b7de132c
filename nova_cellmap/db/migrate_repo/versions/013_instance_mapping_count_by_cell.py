# SPDX-License-Identifier: Apache-2.0
"""Serve the counts by cell and project: they read an index and not the table.

It takes the place of the one that it begins with.

The code of the release before runs on the result: an index changes no answer.
"""

import sqlalchemy as sa

from nova_cellmap.db import schema_change

instance_mapping = sa.Table(
    'instance_mapping',
    sa.MetaData(),
    sa.Column('project_id', sa.String(255)),
    sa.Column('queued_for_delete', sa.Boolean),
    sa.Column('cell_uuid', sa.String(36)),
    sa.Index(
        'instance_mapping_project_id_queued_for_delete_cell_uuid_idx',
        'project_id',
        'queued_for_delete',
        'cell_uuid',
    ),
)


def upgrade(migrate_engine: sa.Engine) -> None:
    with migrate_engine.begin() as connection:
        schema_change.create_indexes(connection, instance_mapping)
        schema_change.drop_index(
            connection, instance_mapping, 'instance_mapping_project_id_queued_for_delete_idx'
        )
