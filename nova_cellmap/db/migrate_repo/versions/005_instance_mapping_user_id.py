# SPDX-License-Identifier: Apache-2.0
"""Remember whose instance it is, so that quota can be counted without asking the cells.

The code of the release before runs on the result: it does not name the column, which
may be NULL.
"""

import sqlalchemy as sa

from nova_cellmap.db import schema_change

instance_mapping = sa.Table(
    'instance_mapping',
    sa.MetaData(),
    sa.Column('user_id', sa.String(255)),
)


def upgrade(migrate_engine: sa.Engine) -> None:
    with migrate_engine.begin() as connection:
        schema_change.add_column(connection, instance_mapping.c.user_id)
