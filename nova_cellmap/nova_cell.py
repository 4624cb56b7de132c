# SPDX-License-Identifier: Apache-2.0
"""Cell databases of Nova's shape, with instances in them: for tests.

The ``instances`` table is that of Nova 34, and of its ``migrations`` there is what we read.
Everything is made from a seed: the same numbers give the same cell.
"""

from collections.abc import Iterator
import datetime
import itertools
import random
from typing import Any
import uuid

import sqlalchemy as sa

metadata = sa.MetaData()
# As Nova's own tables have it, whatever a server's defaults are.
MYSQL: dict[str, Any] = {
    'mysql_engine': 'InnoDB',
    'mysql_charset': 'utf8mb4',
    'mysql_row_format': 'DYNAMIC',
}

instances = sa.Table(
    'instances',
    metadata,
    *(sa.Column(name, sa.DateTime) for name in ('created_at', 'updated_at', 'deleted_at')),
    sa.Column('id', sa.Integer, primary_key=True),
    sa.Column('internal_id', sa.Integer),
    *(
        sa.Column(name, sa.String(255))
        for name in ('user_id', 'project_id', 'image_ref', 'kernel_id', 'ramdisk_id')
    ),
    sa.Column('launch_index', sa.Integer),
    sa.Column('key_name', sa.String(255)),
    sa.Column('key_data', sa.Text),
    sa.Column('power_state', sa.Integer),
    sa.Column('vm_state', sa.String(255)),
    sa.Column('memory_mb', sa.Integer),
    sa.Column('vcpus', sa.Integer),
    sa.Column('hostname', sa.String(255)),
    sa.Column('host', sa.String(255)),
    sa.Column('user_data', sa.Text),
    sa.Column('reservation_id', sa.String(255)),
    *(sa.Column(name, sa.DateTime) for name in ('launched_at', 'terminated_at')),
    sa.Column('display_name', sa.String(255)),
    sa.Column('display_description', sa.String(255)),
    sa.Column('availability_zone', sa.String(255)),
    sa.Column('locked', sa.Boolean),
    sa.Column('os_type', sa.String(255)),
    sa.Column('launched_on', sa.Text),
    sa.Column('instance_type_id', sa.Integer),
    sa.Column('vm_mode', sa.String(255)),
    sa.Column('uuid', sa.String(36), nullable=False),
    *(sa.Column(name, sa.String(255)) for name in ('architecture', 'root_device_name')),
    *(sa.Column(name, sa.String(39)) for name in ('access_ip_v4', 'access_ip_v6')),
    *(
        sa.Column(name, sa.String(255))
        for name in ('config_drive', 'task_state', 'default_ephemeral_device')
    ),
    sa.Column('default_swap_device', sa.String(255)),
    sa.Column('progress', sa.Integer),
    *(
        sa.Column(name, sa.Boolean)
        for name in ('auto_disk_config', 'shutdown_terminate', 'disable_terminate')
    ),
    *(sa.Column(name, sa.Integer) for name in ('root_gb', 'ephemeral_gb')),
    *(sa.Column(name, sa.String(255)) for name in ('cell_name', 'node')),
    sa.Column('deleted', sa.Integer),
    sa.Column('locked_by', sa.String(5)),
    sa.Column('cleaned', sa.Integer),
    sa.Column('ephemeral_key_uuid', sa.String(36)),
    sa.Column('hidden', sa.Boolean),
    sa.Column('compute_id', sa.BigInteger),
    sa.UniqueConstraint('uuid', name='uniq_instances0uuid'),
    sa.Index('instances_project_id_idx', 'project_id'),
    sa.Index('instances_uuid_deleted_idx', 'uuid', 'deleted'),
    **MYSQL,
)

migrations = sa.Table(
    'migrations',
    metadata,
    sa.Column('id', sa.Integer, primary_key=True),
    sa.Column('instance_uuid', sa.String(36)),
    sa.Column('status', sa.String(255)),
    sa.Column('cross_cell_move', sa.Boolean),
    sa.Column('deleted', sa.Integer),
    sa.Index('migrations_instance_uuid_and_status_idx', 'deleted', 'instance_uuid', 'status'),
    **MYSQL,
)

# So many rows are one transaction.
BATCH = 5000
_START = datetime.datetime(2026, 1, 1)
_STATES = ('active',) * 7 + ('building', 'stopped', 'error', 'shelved_offloaded')


def create(engine: sa.Engine) -> None:
    """Make the tables of a cell."""
    metadata.create_all(engine)


def fill(
    engine: sa.Engine,
    count: int,
    *,
    seed: int = 0,
    projects: int = 10,
    deleted: float = 0.1,
    soft_deleted: float = 0.05,
    hidden: float = 0.0,
) -> None:
    """Add *count* instances to a cell.

    :param deleted: which part of them is deleted; *soft_deleted* and *hidden* likewise
    """
    rows = _rows(count, seed, projects, deleted, soft_deleted, hidden)
    while batch := list(itertools.islice(rows, BATCH)):
        with engine.begin() as connection:
            connection.execute(instances.insert(), batch)


def add(engine: sa.Engine, **values: Any) -> str:
    """Add one instance, an active one unless *values* say otherwise; answer its uuid."""
    row = {
        'uuid': str(uuid.uuid4()),
        'project_id': 'project',
        'user_id': 'user',
        'vm_state': 'active',
        'deleted': 0,
        'hidden': False,
        'created_at': _START,
        **values,
    }
    with engine.begin() as connection:
        connection.execute(instances.insert().values(row))
    return str(row['uuid'])


def _rows(
    count: int, seed: int, projects: int, deleted: float, soft_deleted: float, hidden: float
) -> Iterator[dict[str, Any]]:
    dice = random.Random(seed)
    owners = [(hex_id(dice), hex_id(dice)) for _ in range(projects)]
    for number in range(1, count + 1):
        project_id, user_id = dice.choice(owners)
        is_deleted = dice.random() < deleted
        yield {
            'uuid': str(uuid.UUID(int=dice.getrandbits(128), version=4)),
            'project_id': project_id,
            'user_id': user_id,
            'vm_state': 'soft-delete' if dice.random() < soft_deleted else dice.choice(_STATES),
            # Nova's own sign: the row's id.
            'deleted': number if is_deleted else 0,
            'deleted_at': _START if is_deleted else None,
            'hidden': dice.random() < hidden,
            'created_at': _START + datetime.timedelta(seconds=number),
            'display_name': f'vm-{number}',
            'hostname': f'vm-{number}',
            'host': f'compute{number % 20}',
            'memory_mb': 2048,
            'vcpus': 2,
        }


def hex_id(dice: random.Random) -> str:
    """An id as Keystone gives them."""
    return f'{dice.getrandbits(128):032x}'
