# SPDX-License-Identifier: Apache-2.0
"""Create cell_mapping: where a cell's database and message queue are.

The code of the release before: there is none.
"""

import sqlalchemy as sa

from nova_cellmap.db import schema_change

cell_mapping = sa.Table(
    'cell_mapping',
    sa.MetaData(),
    sa.Column('created_at', sa.DateTime),
    sa.Column('updated_at', sa.DateTime),
    sa.Column('id', sa.Integer, primary_key=True, autoincrement=True, nullable=False),
    sa.Column('uuid', sa.String(36), nullable=False),
    sa.Column('name', sa.String(255)),
    sa.Column('transport_url', sa.Text, nullable=False),
    sa.Column('database_connection', sa.Text, nullable=False),
    sa.Index('uniq_cell_mapping0uuid', 'uuid', unique=True),
)


def upgrade(migrate_engine: sa.Engine) -> None:
    with migrate_engine.begin() as connection:
        schema_change.create_table(connection, cell_mapping)
