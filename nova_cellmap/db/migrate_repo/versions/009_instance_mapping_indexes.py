# SPDX-License-Identifier: Apache-2.0
"""Serve the queries that exist: a project's mappings, those not deleted, a user's count.

The code of the release before runs on the result: an index changes no answer.
"""

import sqlalchemy as sa

from nova_cellmap.db import schema_change

instance_mapping = sa.Table(
    'instance_mapping',
    sa.MetaData(),
    sa.Column('project_id', sa.String(255)),
    sa.Column('queued_for_delete', sa.Boolean),
    sa.Column('user_id', sa.String(255)),
    sa.Index('instance_mapping_project_id_idx', 'project_id'),
    sa.Index(
        'instance_mapping_project_id_queued_for_delete_idx', 'project_id', 'queued_for_delete'
    ),
    sa.Index(
        'instance_mapping_user_id_project_id_queued_for_delete_idx',
        'user_id',
        'project_id',
        'queued_for_delete',
    ),
)


def upgrade(migrate_engine: sa.Engine) -> None:
    with migrate_engine.begin() as connection:
        schema_change.create_indexes(connection, instance_mapping)
