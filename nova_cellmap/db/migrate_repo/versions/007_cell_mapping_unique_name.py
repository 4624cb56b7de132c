# SPDX-License-Identifier: Apache-2.0
"""Make a cell's name its own, so that a command can take a name for a cell.

Where a name repeats, the oldest cell keeps it and the others get their uuid behind it:
an upgrade does not get stuck on names.

The code of the release before runs on the result, except that it can no longer give a
cell the name of another one.
"""

import itertools
import logging

import sqlalchemy as sa

from nova_cellmap.db import schema_change

LOG = logging.getLogger(__name__)

NAME_LENGTH = 255

cell_mapping = sa.Table(
    'cell_mapping',
    sa.MetaData(),
    sa.Column('id', sa.Integer, primary_key=True),
    sa.Column('uuid', sa.String(36)),
    sa.Column('name', sa.String(NAME_LENGTH)),
    sa.Index('uniq_cell_mapping0name', 'name', unique=True),
)


def upgrade(migrate_engine: sa.Engine) -> None:
    with migrate_engine.begin() as connection:
        rename_duplicates(connection)
        schema_change.create_indexes(connection, cell_mapping)


def rename_duplicates(connection: sa.Connection) -> None:
    cells = connection.execute(
        sa.select(cell_mapping).where(cell_mapping.c.name.is_not(None)).order_by(cell_mapping.c.id)
    ).all()
    names = {cell.name for cell in cells}
    kept: set[str] = set()
    for cell in cells:
        if cell.name not in kept:
            kept.add(cell.name)
            continue
        name = free_name(cell.name, cell.uuid, names)
        names.add(name)
        rename(connection, cell.id, name)
        LOG.warning(
            'Cell %s is named %r like an older cell: it is now named %r.',
            cell.uuid,
            cell.name,
            name,
        )


def free_name(name: str, uuid: str, taken: set[str]) -> str:
    """The name with the uuid behind it, and a number where even that is taken."""
    suffixes = itertools.chain([f' ({uuid})'], (f' ({uuid} {n})' for n in itertools.count(2)))
    names = (name[: NAME_LENGTH - len(suffix)] + suffix for suffix in suffixes)
    return next(name for name in names if name not in taken)


def rename(connection: sa.Connection, cell_id: int, name: str) -> None:
    update = sa.update(cell_mapping).where(cell_mapping.c.id == cell_id).values(name=name)
    connection.execute(update)
