# SPDX-License-Identifier: Apache-2.0
"""Let a cell be disabled: no new instances are scheduled to it.

The code of the release before runs on the result: it does not name the column, which
has a default, and goes on scheduling to disabled cells.
"""

import sqlalchemy as sa

from nova_cellmap.db import schema_change

cell_mapping = sa.Table(
    'cell_mapping',
    sa.MetaData(),
    sa.Column('disabled', sa.Boolean, nullable=False, server_default=sa.false()),
)


def upgrade(migrate_engine: sa.Engine) -> None:
    with migrate_engine.begin() as connection:
        schema_change.add_column(connection, cell_mapping.c.disabled)
