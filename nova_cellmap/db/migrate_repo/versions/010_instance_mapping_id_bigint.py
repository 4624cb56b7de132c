# SPDX-License-Identifier: Apache-2.0
"""Let there be more than 2^31 mappings in the life of a deployment.

The code of the release before runs on the result: it reads ids and never writes one.
The servers rewrite the table meanwhile, and writers wait for that.
"""

import sqlalchemy as sa

from nova_cellmap.db import schema_change

instance_mapping = sa.Table(
    'instance_mapping',
    sa.MetaData(),
    sa.Column('id', sa.BigInteger, primary_key=True, autoincrement=True, nullable=False),
)


def upgrade(migrate_engine: sa.Engine) -> None:
    with migrate_engine.begin() as connection:
        schema_change.widen_id(connection, instance_mapping.c.id)
