# SPDX-License-Identifier: Apache-2.0
"""Create instance_mapping: which cell holds an instance.

There are no ``deleted`` columns: a mapping outlives its instance until it is purged.

The code of the release before: there is none.
"""

import sqlalchemy as sa

from nova_cellmap.db import schema_change

instance_mapping = sa.Table(
    'instance_mapping',
    sa.MetaData(),
    sa.Column('created_at', sa.DateTime),
    sa.Column('updated_at', sa.DateTime),
    sa.Column('id', sa.Integer, primary_key=True, autoincrement=True, nullable=False),
    sa.Column('instance_uuid', sa.String(36), nullable=False),
    sa.Column('cell_uuid', sa.String(36), nullable=False),
    sa.Column('project_id', sa.String(255), nullable=False),
    sa.Index('uniq_instance_mapping0instance_uuid', 'instance_uuid', unique=True),
)


def upgrade(migrate_engine: sa.Engine) -> None:
    with migrate_engine.begin() as connection:
        schema_change.create_table(connection, instance_mapping)
