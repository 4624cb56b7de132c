# SPDX-License-Identifier: Apache-2.0
"""Create import_progress: how far ``cell_v2 import_nova`` has come in a Nova API database.

The code of the release before runs on the result: it does not know the table.
"""

import sqlalchemy as sa

from nova_cellmap.db import schema_change

import_progress = sa.Table(
    'import_progress',
    sa.MetaData(),
    sa.Column('created_at', sa.DateTime),
    sa.Column('updated_at', sa.DateTime),
    sa.Column('source', sa.String(64), primary_key=True),
    sa.Column('last_mapping_id', sa.BigInteger, nullable=False),
    sa.Column('conflicts', sa.BigInteger, nullable=False, server_default='0'),
)


def upgrade(migrate_engine: sa.Engine) -> None:
    with migrate_engine.begin() as connection:
        schema_change.create_table(connection, import_progress)
