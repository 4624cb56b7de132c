# SPDX-License-Identifier: Apache-2.0
"""Let a mapping have no cell: its instance is not scheduled yet.

The code of the release before runs on the result: the cells that it writes fit, and it
meets mappings without one only where newer code has made them.
"""

import sqlalchemy as sa

from nova_cellmap.db import schema_change

instance_mapping = sa.Table(
    'instance_mapping',
    sa.MetaData(),
    sa.Column('cell_uuid', sa.String(36)),
)


def upgrade(migrate_engine: sa.Engine) -> None:
    with migrate_engine.begin() as connection:
        schema_change.make_nullable(connection, instance_mapping.c.cell_uuid)
