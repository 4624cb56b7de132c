# SPDX-License-Identifier: Apache-2.0
"""Remember which instances are being deleted.

The code of the release before runs on the result: it does not name the column, which
has a default.
"""

import sqlalchemy as sa

from nova_cellmap.db import schema_change

instance_mapping = sa.Table(
    'instance_mapping',
    sa.MetaData(),
    sa.Column('queued_for_delete', sa.Boolean, server_default=sa.false()),
)


def upgrade(migrate_engine: sa.Engine) -> None:
    with migrate_engine.begin() as connection:
        schema_change.add_column(connection, instance_mapping.c.queued_for_delete)
