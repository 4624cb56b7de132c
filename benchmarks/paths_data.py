# SPDX-License-Identifier: Apache-2.0
"""One mapping in two databases: ours, and one with the schema of Nova."""

from collections.abc import Iterator, Sequence
import contextlib
import dataclasses
import datetime
import itertools
from pathlib import Path
import random
import time
from typing import Any
import uuid

import sqlalchemy as sa

from benchmarks import common
from benchmarks import deployment
from benchmarks import remote
from nova_cellmap.db import bulk_insert
from nova_cellmap.db.schemas import own

# Of all mappings, in one project.
_LARGE_PART = 1 / 5
# Where the runs make mappings of their own.
NEW = 'new'
_TIME = datetime.datetime(2026, 1, 2, 3, 4, 5)
_CHUNK = 5000

_nova_cells = sa.table(
    'cell_mappings',
    *(
        sa.column(name)
        for name in ('created_at', 'id', 'uuid', 'name', 'transport_url', 'database_connection')
    ),
    sa.column('disabled', sa.Boolean),
)
# With the types that bulk_insert asks for.
_nova_mappings = sa.Table(
    'instance_mappings',
    sa.MetaData(),
    sa.Column('created_at', sa.DateTime),
    sa.Column('instance_uuid', sa.String(36)),
    sa.Column('cell_id', sa.Integer),
    sa.Column('project_id', sa.String(255)),
    sa.Column('queued_for_delete', sa.Boolean),
    sa.Column('user_id', sa.String(255)),
)


@dataclasses.dataclass
class Mappings:
    """What is mapped: so many instances in three cells.

    :ivar bulk: how many more are created at once
    :ivar uuids: those of all instances
    :ivar large: of a project with a fifth of all
    :ivar ten_thousand: of a project with 10,000, or a tenth of all where that is less
    """

    size: int
    bulk: int = 10_000
    uuids: list[str] = dataclasses.field(default_factory=list)
    large: list[str] = dataclasses.field(default_factory=list)
    ten_thousand: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.cells = [str(uuid.uuid4()) for _ in remote.CELLS]

    def cell_rows(self) -> Iterator[dict[str, Any]]:
        for number, (cell, name) in enumerate(zip(self.cells, remote.CELLS, strict=True), 1):
            urls = remote.urls(name)
            yield {'id': number, 'uuid': cell, 'name': name, 'created_at': _TIME, **urls}

    def rows(self) -> Iterator[dict[str, Any]]:
        """The same rows each time, with ``cell``, the number of the cell."""
        draw = random.Random(self.size)
        ten_thousand = min(10_000, self.size // 10) / self.size
        for _ in range(self.size):
            instance = str(uuid.UUID(int=draw.getrandbits(128), version=4))
            self.uuids.append(instance)
            place = draw.random()
            if place < _LARGE_PART:
                project = 'large'
                self.large.append(instance)
            elif place < _LARGE_PART + ten_thousand:
                project = 'ten_thousand'
                self.ten_thousand.append(instance)
            else:
                project = f'project-{draw.randrange(max(1, self.size // 500)):026}'
            yield {
                'instance_uuid': instance,
                'cell': draw.randrange(len(self.cells)),
                'project_id': project,
                'user_id': f'{project}-user-{draw.randrange(3)}',
                'queued_for_delete': draw.random() < 0.05,
                'created_at': _TIME,
            }


@contextlib.contextmanager
def databases(folder: Path, server: sa.URL | None) -> Iterator[tuple[sa.URL, sa.URL]]:
    """Two empty databases, ours and Nova's: on a *server*, or SQLite files."""
    if server is None:
        yield tuple(  # type: ignore[misc]
            sa.URL.create('sqlite', database=str(folder / f'{name}.sqlite'))
            for name in ('ours', 'nova')
        )
        return
    prefix = f'bench_{uuid.uuid4().hex[:8]}'
    ours, nova = (server.set(database=f'{prefix}_{name}') for name in ('ours', 'nova'))
    with deployment.databases(server, (ours, nova)):
        yield ours, nova


def make_schema(folder: Path, url: sa.URL) -> Path:
    """Make ours; answer the configuration file."""
    config = deployment.write_config(folder / 'ours.conf', {'api_database': url})
    scripts = common.our_environment().scripts
    common.run([scripts / 'nova-cellmap-manage', '--config-file', config, 'db', 'sync'])
    return config


def make_nova_schema(folder: Path, nova: common.Environment, url: sa.URL) -> Path:
    """Let Nova make its own; answer the configuration file."""
    config = deployment.write_config(folder / 'nova.conf', {'api_database': url, 'database': url})
    common.run([nova.scripts / 'nova-manage', '--config-file', config, 'api_db', 'sync'])
    return config


class Filling:
    """Puts the mappings into our database and, if its URL is given, the same into Nova's."""

    def __init__(
        self, mappings: Mappings, our_url: sa.URL, nova_url: sa.URL | None = None
    ) -> None:
        self._mappings = mappings
        self._rows = mappings.rows()
        self._ours = _engine(our_url)
        self._nova = None if nova_url is None else _engine(nova_url)
        cells = list(mappings.cell_rows())
        with self._ours.begin() as connection:
            connection.execute(own.cell_mapping.insert(), cells)
        if self._nova is not None:
            with self._nova.begin() as connection:
                connection.execute(
                    _nova_cells.insert(), [{**it, 'disabled': False} for it in cells]
                )

    def up_to(self, size: int) -> None:
        """Have so many of them there."""
        while left := size - len(self._mappings.uuids):
            chunk = list(itertools.islice(self._rows, min(left, _CHUNK)))
            numbers = [row.pop('cell') for row in chunk]
            _insert(
                self._ours,
                own.instance_mapping,
                [
                    {**row, 'cell_uuid': self._mappings.cells[number]}
                    for row, number in zip(chunk, numbers, strict=True)
                ],
            )
            if self._nova is not None:
                _insert(
                    self._nova,
                    _nova_mappings,
                    [
                        {**row, 'cell_id': number + 1}
                        for row, number in zip(chunk, numbers, strict=True)
                    ],
                )
        _settle(self._ours, 'instance_mapping')
        if self._nova is not None:
            _settle(self._nova, 'instance_mappings')


def _engine(url: sa.URL) -> sa.Engine:
    """An engine that fills a database quickly; nobody would miss it after a crash."""
    engine = sa.create_engine(url)

    @sa.event.listens_for(engine, 'connect')
    def hurry(connection: Any, _: Any) -> None:
        if engine.dialect.name == 'sqlite':
            connection.execute('PRAGMA synchronous = OFF')
            connection.execute('PRAGMA cache_size = -500000')

    return engine


def forget_new(our_url: sa.URL, nova_url: sa.URL | None = None) -> None:
    """Remove what the runs have made."""
    for url, table in ((our_url, 'instance_mapping'), (nova_url, 'instance_mappings')):
        if url is None:
            continue
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DELETE FROM {table} WHERE project_id = '{NEW}'")
        engine.dispose()


def _insert(engine: sa.Engine, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    with engine.begin() as connection:
        bulk_insert.insert(connection, table, rows)


def _settle(engine: sa.Engine, table: str) -> None:
    """Have the servers know what they have, as they come to by themselves in time."""
    with engine.connect().execution_options(isolation_level='AUTOCOMMIT') as connection:
        match engine.dialect.name:
            case 'postgresql':
                _vacuum(connection, table)
            case 'mysql' | 'mariadb':
                connection.exec_driver_sql(f'ANALYZE TABLE {table}')
    engine.dispose()


def _vacuum(connection: sa.Connection, table: str) -> None:
    # What another one's snapshot may not see yet, such as autovacuum's, it leaves for later: and
    # to count along an index is then to look into the table.
    for _ in range(_VACUUMS):
        connection.exec_driver_sql(f'VACUUM ANALYZE {table}')
        left = connection.exec_driver_sql(
            f"SELECT relpages - relallvisible FROM pg_class WHERE oid = '{table}'::regclass"
        )
        if left.scalar_one() <= 0:
            return
        time.sleep(1)


_VACUUMS = 30
