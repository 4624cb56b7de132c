# SPDX-License-Identifier: Apache-2.0
"""The tables of the specification, as the latest migration leaves them.

They are SQLAlchemy Core tables: rows leave ``db`` as plain mappings, and the hot
paths pay for no ORM. ``migrate_repo`` holds their history; a test proves on every
database that the two agree.
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from nova_cellmap.db.schemas.schema import Schema

metadata = sa.MetaData()


class Text(sa.types.TypeDecorator[str]):
    """Text that every database keeps and compares alike.

    Anything else is refused before it gets there: MariaDB finds every uuid that begins
    with a letter equal to the number 0, and PostgreSQL keeps no NUL character.
    """

    impl = sa.String
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], str | None]:
        return _checked_text

    def exactly(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """A column of the type as it has to be grouped and sorted."""
        return column


def exactly(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """A column whose text is grouped and sorted as Python does it, whatever its collation is."""
    return column.type.exactly(column) if isinstance(column.type, Text) else column


def _checked_text(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f'{value!r} is not text')
    if '\0' in value:
        raise ValueError('text with a NUL character')
    return value


class LongText(Text):
    """The same, of any length."""

    impl = sa.Text
    cache_ok = True


def exact_collation(dialect: sa.Dialect) -> str:
    """By which MariaDB or MySQL compares text as the other databases do.

    The usual collations take 'P1' for 'p1' and 'a' for 'a '.
    """
    return 'utf8mb4_nopad_bin' if getattr(dialect, 'is_mariadb', False) else 'utf8mb4_0900_bin'


# More than 2^31 rows. On SQLite only INTEGER is an alias of the row id, and it
# holds 64 bits anyway.
BigId = sa.BigInteger().with_variant(sa.Integer, 'sqlite')

cell_mapping = sa.Table(
    'cell_mapping',
    metadata,
    sa.Column('created_at', sa.DateTime),
    sa.Column('updated_at', sa.DateTime),
    sa.Column('id', sa.Integer, primary_key=True, autoincrement=True, nullable=False),
    sa.Column('uuid', Text(36), nullable=False),
    sa.Column('name', Text(255)),
    sa.Column('transport_url', LongText, nullable=False),
    sa.Column('database_connection', LongText, nullable=False),
    sa.Column('disabled', sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index('uniq_cell_mapping0uuid', 'uuid', unique=True),
    sa.Index('uniq_cell_mapping0name', 'name', unique=True),
)

instance_mapping = sa.Table(
    'instance_mapping',
    metadata,
    sa.Column('created_at', sa.DateTime),
    sa.Column('updated_at', sa.DateTime),
    sa.Column('id', BigId, primary_key=True, autoincrement=True, nullable=False),
    sa.Column('instance_uuid', Text(36), nullable=False),
    sa.Column(
        'cell_uuid',
        Text(36),
        sa.ForeignKey('cell_mapping.uuid', name='instance_mapping_cell_uuid_fkey'),
    ),
    sa.Column('project_id', Text(255), nullable=False),
    sa.Column('queued_for_delete', sa.Boolean, server_default=sa.false()),
    sa.Column('user_id', Text(255)),
    sa.Index('uniq_instance_mapping0instance_uuid', 'instance_uuid', unique=True),
    sa.Index('instance_mapping_project_id_id_idx', 'project_id', 'id'),
    sa.Index(
        'instance_mapping_project_id_queued_for_delete_cell_uuid_idx',
        'project_id',
        'queued_for_delete',
        'cell_uuid',
    ),
    sa.Index('instance_mapping_cell_uuid_idx', 'cell_uuid'),
    sa.Index(
        'instance_mapping_user_id_project_id_queued_for_delete_idx',
        'user_id',
        'project_id',
        'queued_for_delete',
    ),
)

# How far map_instances has come in a cell whose run has not ended yet.
map_progress = sa.Table(
    'map_progress',
    metadata,
    sa.Column('created_at', sa.DateTime),
    sa.Column('updated_at', sa.DateTime),
    sa.Column(
        'cell_uuid',
        Text(36),
        sa.ForeignKey('cell_mapping.uuid', name='map_progress_cell_uuid_fkey', ondelete='CASCADE'),
        primary_key=True,
    ),
    # The id, in the cell's own instances table, of the last row that was read.
    sa.Column('last_instance_id', sa.BigInteger, nullable=False),
    # How many instances the run has met so far that are mapped to another cell.
    sa.Column('conflicts', sa.BigInteger, nullable=False, server_default='0'),
)

# How far import_nova has come in a Nova API database whose import has not ended yet.
import_progress = sa.Table(
    'import_progress',
    metadata,
    sa.Column('created_at', sa.DateTime),
    sa.Column('updated_at', sa.DateTime),
    # Which database: a digest of its address.
    sa.Column('source', Text(64), primary_key=True),
    # The id, in its own instance_mappings table, of the last row that was read.
    sa.Column('last_mapping_id', sa.BigInteger, nullable=False),
    # How many of its mappings the import has met so far that could not be taken over.
    sa.Column('conflicts', sa.BigInteger, nullable=False, server_default='0'),
)

schema = Schema('own', cell_mapping, instance_mapping, map_progress, import_progress)
