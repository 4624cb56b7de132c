# SPDX-License-Identifier: Apache-2.0
"""Find a page of a project's list in its index, wherever in the list it is.

PostgreSQL reads along the ids of all projects where the index does not say them, and leaves
out what is not the project's. InnoDB and SQLite keep the id in each index, named or not.

It takes the place of the one that it begins with.

The code of the release before runs on the result: an index changes no answer.
"""

import sqlalchemy as sa

from nova_cellmap.db import schema_change

instance_mapping = sa.Table(
    'instance_mapping',
    sa.MetaData(),
    sa.Column('project_id', sa.String(255)),
    sa.Column('id', sa.BigInteger),
    sa.Index('instance_mapping_project_id_id_idx', 'project_id', 'id'),
)


def upgrade(migrate_engine: sa.Engine) -> None:
    with migrate_engine.begin() as connection:
        schema_change.create_indexes(connection, instance_mapping)
        schema_change.drop_index(connection, instance_mapping, 'instance_mapping_project_id_idx')
