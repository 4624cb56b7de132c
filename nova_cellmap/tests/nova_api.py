# SPDX-License-Identifier: Apache-2.0
"""Nova API databases: the tables that say which cell has which instance.

They are those of Nova 34. Everything is made from a seed: the same numbers give the same
database.
"""

from collections.abc import Collection, Iterator
import datetime
import itertools
import random
from typing import Any
import uuid

import sqlalchemy as sa

from nova_cellmap import nova_cell

# The columns that came with a release of Nova, and may be missing in an older one.
LATER = ('disabled', 'queued_for_delete', 'user_id')

# The project, and the user, of the row in which Nova keeps where map_instances was stopped.
MARKER = 'INSTANCE_MIGRATION_MARKER'

metadata = sa.MetaData()

cell_mappings = sa.Table(
    'cell_mappings',
    metadata,
    *(sa.Column(name, sa.DateTime) for name in ('created_at', 'updated_at')),
    sa.Column('id', sa.Integer, primary_key=True),
    sa.Column('uuid', sa.String(36), nullable=False),
    sa.Column('name', sa.String(255)),
    sa.Column('transport_url', sa.Text),
    sa.Column('database_connection', sa.Text),
    sa.Column('disabled', sa.Boolean),
    sa.UniqueConstraint('uuid', name='uniq_cell_mappings0uuid'),
    sa.Index('uuid_idx', 'uuid'),
    **nova_cell.MYSQL,
)

instance_mappings = sa.Table(
    'instance_mappings',
    metadata,
    *(sa.Column(name, sa.DateTime) for name in ('created_at', 'updated_at')),
    sa.Column('id', sa.Integer, primary_key=True),
    sa.Column('instance_uuid', sa.String(36), nullable=False),
    sa.Column('cell_id', sa.Integer, sa.ForeignKey('cell_mappings.id')),
    sa.Column('project_id', sa.String(255), nullable=False),
    sa.Column('queued_for_delete', sa.Boolean),
    sa.Column('user_id', sa.String(255)),
    sa.UniqueConstraint('instance_uuid', name='uniq_instance_mappings0instance_uuid'),
    sa.Index('instance_uuid_idx', 'instance_uuid'),
    sa.Index('project_id_idx', 'project_id'),
    sa.Index('instance_mappings_user_id_project_id_idx', 'user_id', 'project_id'),
    **nova_cell.MYSQL,
)

_BATCH = 5000
_START = datetime.datetime(2026, 1, 1)


def create(engine: sa.Engine, without: Collection[str] = ()) -> None:
    """Make the tables, *without* some columns as in an older release of Nova."""
    tables = sa.MetaData()
    for table in metadata.sorted_tables:
        columns = [column._copy() for column in table.columns if column.name not in without]
        sa.Table(table.name, tables, *columns, **nova_cell.MYSQL)
    (tables if without else metadata).create_all(engine)


def empty(engine: sa.Engine) -> None:
    """Remove all rows."""
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())


def add_cell(engine: sa.Engine, **values: Any) -> int:
    """Add a cell; answer its id."""
    row = {
        'uuid': str(uuid.uuid4()),
        'transport_url': 'none:///',
        'database_connection': 'none:///',
        'created_at': _START,
        **values,
    }
    _insert(engine, cell_mappings.name, row)
    query = sa.select(cell_mappings.c.id).where(cell_mappings.c.uuid == row['uuid'])
    with engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def add(engine: sa.Engine, **values: Any) -> str:
    """Add a mapping, of no cell unless *values* say otherwise; answer its instance's uuid."""
    row = {
        'instance_uuid': str(uuid.uuid4()),
        'project_id': 'project',
        'created_at': _START,
        **values,
    }
    _insert(engine, instance_mappings.name, row)
    return str(row['instance_uuid'])


def fill(
    engine: sa.Engine,
    count: int,
    *,
    cells: Collection[int | None],
    seed: int = 0,
    projects: int = 10,
    queued_for_delete: float = 0.1,
) -> None:
    """Add *count* mappings.

    :param cells: the ids of the cells that they are in, in turn
    :param queued_for_delete: which part of them is
    """
    rows = _rows(count, cells, seed, projects, queued_for_delete)
    while batch := list(itertools.islice(rows, _BATCH)):
        with engine.begin() as connection:
            connection.execute(instance_mappings.insert(), batch)


def _insert(engine: sa.Engine, table: str, row: dict[str, Any]) -> None:
    # The columns of the row alone: an older release may lack the others.
    insert = sa.table(table, *map(sa.column, row)).insert().values(row)
    with engine.begin() as connection:
        connection.execute(insert)


def _rows(
    count: int, cells: Collection[int | None], seed: int, projects: int, queued: float
) -> Iterator[dict[str, Any]]:
    dice = random.Random(seed)
    owners = [(nova_cell.hex_id(dice), nova_cell.hex_id(dice)) for _ in range(projects)]
    for number, cell_id in zip(range(count), itertools.cycle(cells), strict=False):
        project_id, user_id = dice.choice(owners)
        yield {
            'instance_uuid': str(uuid.UUID(int=dice.getrandbits(128), version=4)),
            'cell_id': cell_id,
            'project_id': project_id,
            'user_id': user_id,
            'queued_for_delete': dice.random() < queued,
            'created_at': _START + datetime.timedelta(seconds=number),
        }
