# SPDX-License-Identifier: Apache-2.0
"""A cloud's cells, with a mapping of them by Nova and one by us.

Both sides read the same cell databases. Each has a mapping database of its own, made by its own
commands, or both have Nova's, one after the other; and nothing but the databases' addresses in
its configuration.
"""

from collections.abc import Iterable, Iterator, Mapping
import contextlib
import dataclasses
from pathlib import Path
import shutil
from typing import Any
import uuid

import sqlalchemy as sa

from benchmarks import common
from nova_cellmap import nova_cell

OWN, NOVAS = 'own', 'nova'
_CELL0 = 'cell0'
_CELL0_UUID = '00000000-0000-0000-0000-000000000000'


@dataclasses.dataclass
class Side:
    """Nova or us: how to run it, and where its mapping is.

    ``tables`` are those that mapping fills, first that of the instances. ``cells`` has the uuid
    of each cell by its name, ``last_mapped`` what the last run mapped.
    """

    environment: common.Environment
    program: str
    worker: str
    config: Path
    url: sa.URL
    tables: tuple[str, ...]
    cells: dict[str, str] = dataclasses.field(default_factory=dict)
    last_mapped: set[tuple[str, str, str]] = dataclasses.field(default_factory=set)

    def __post_init__(self) -> None:
        self.engine = sa.create_engine(
            self.url, isolation_level='AUTOCOMMIT', poolclass=sa.NullPool
        )

    @property
    def name(self) -> str:
        return self.environment.name

    def command(self, *arguments: str) -> list[str | Path]:
        program = self.environment.scripts / self.program
        return [program, '--config-file', self.config, *arguments]

    def empty(self) -> None:
        """Forget every mapping, and how far any run had come."""
        is_sqlite = self.engine.dialect.name == 'sqlite'
        with self.engine.connect() as connection:
            for table in self.tables:
                # TRUNCATE leaves a server nothing to clear away while the next run goes on.
                verb = 'DELETE FROM' if is_sqlite else 'TRUNCATE TABLE'
                connection.exec_driver_sql(f'{verb} {table}')
            if is_sqlite:
                connection.exec_driver_sql('VACUUM')

    def mapped(self) -> set[tuple[str, str, str]]:
        """Each mapping's instance, project and user."""
        mappings = sa.table(
            self.tables[0], *map(sa.column, ('instance_uuid', 'project_id', 'user_id'))
        )
        # Nova keeps its marker among the mappings, under this name.
        query = sa.select(mappings).where(mappings.c.project_id != 'INSTANCE_MIGRATION_MARKER')
        with self.engine.connect() as connection:
            return {(row[0], row[1], row[2]) for row in connection.execute(query)}


@dataclasses.dataclass
class Deployment:
    nova: Side
    ours: Side
    instances: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.instances.values())


@contextlib.contextmanager
def on_sqlite(
    folder: Path,
    nova: common.Environment,
    *,
    real: Path | None = None,
    sizes: Mapping[str, int] | None = None,
    schema: str = OWN,
) -> Iterator[Deployment]:
    """Cells in SQLite files: copies of a *real* deployment's, or made with those *sizes*.

    :param schema: whose tables our mapping is in
    """
    urls = {}
    if real is not None:
        for file in sorted(real.glob('cell*.sqlite')):
            copy = Path(shutil.copyfile(file, folder / file.name))
            urls[copy.stem] = _sqlite_url(copy)
        if not urls:
            raise common.Failure(f'{real} has no cell*.sqlite')
    else:
        empty = folder / 'empty.sqlite'
        _make_cell(folder, nova, _sqlite_url(empty))
        for seed, (name, size) in enumerate((sizes or {}).items()):
            urls[name] = _sqlite_url(Path(shutil.copyfile(empty, folder / f'{name}.sqlite')))
            _fill(urls[name], size, seed)
    nova_url, our_url = (_sqlite_url(folder / f'{name}.sqlite') for name in ('nova_api', 'ours'))
    yield _deploy(folder, nova, urls, nova_url, our_url, schema)


@contextlib.contextmanager
def on_mariadb(
    folder: Path,
    nova: common.Environment,
    server: sa.URL,
    sizes: Mapping[str, int],
    schema: str = OWN,
) -> Iterator[Deployment]:
    """Cells in databases of their own on a server, which are dropped at the end.

    :param schema: whose tables our mapping is in
    """
    if 'PyMySQL' not in nova.versions:
        raise common.Failure(f'{nova.name}: PyMySQL is not installed in its environment')
    prefix = f'bench_{uuid.uuid4().hex[:8]}'
    names = ('nova_api', 'ours', *sizes)
    # PyMySQL on both sides, whatever driver the tests use.
    server = server.set(drivername='mysql+pymysql')
    urls = {name: server.set(database=f'{prefix}_{name}') for name in names}
    with databases(server, urls.values()):
        for seed, (name, size) in enumerate(sizes.items()):
            _make_cell(folder, nova, urls[name])
            _fill(urls[name], size, seed)
        cells = {name: urls[name] for name in sizes}
        yield _deploy(folder, nova, cells, urls['nova_api'], urls['ours'], schema)


@contextlib.contextmanager
def settings(server: sa.URL, values: Mapping[str, int]) -> Iterator[dict[str, str]]:
    """Hold a MariaDB server at some global settings; answer all that durability depends on."""
    engine = sa.create_engine(server, isolation_level='AUTOCOMMIT')
    with engine.connect() as connection:
        before = {name: _setting(connection, name) for name in values}
        try:
            for name, value in values.items():
                connection.exec_driver_sql(f'SET GLOBAL {name} = {value}')
            yield {name: _setting(connection, name) for name in _DURABILITY}
        finally:
            for name, old in before.items():
                connection.exec_driver_sql(f'SET GLOBAL {name} = {old}')
    engine.dispose()


_DURABILITY = ('version', 'innodb_flush_log_at_trx_commit', 'innodb_doublewrite', 'log_bin')


def _setting(connection: sa.Connection, name: str) -> str:
    return str(connection.exec_driver_sql(f'SELECT @@GLOBAL.{name}').scalar_one())


def _sqlite_url(file: Path) -> sa.URL:
    return sa.URL.create('sqlite', database=str(file.absolute()))


@contextlib.contextmanager
def databases(server: sa.URL, urls: Iterable[sa.URL]) -> Iterator[None]:
    engine = sa.create_engine(server, isolation_level='AUTOCOMMIT', pool_pre_ping=True)
    try:
        with engine.connect() as connection:
            for url in urls:
                connection.exec_driver_sql(f'CREATE DATABASE {url.database}')
        yield
    finally:
        with engine.connect() as connection:
            for url in urls:
                connection.exec_driver_sql(f'DROP DATABASE IF EXISTS {url.database}')
        engine.dispose()


def _make_cell(folder: Path, nova: common.Environment, url: sa.URL) -> None:
    """Give a cell database the whole schema of Nova, by Nova."""
    config = write_config(folder / 'nova-cell.conf', {'database': url})
    program = nova.scripts / 'nova-manage'
    common.run([program, '--config-file', config, 'db', 'sync', '--local_cell'])


def _fill(url: sa.URL, size: int, seed: int) -> None:
    engine = sa.create_engine(url)
    nova_cell.fill(engine, size, seed=seed)
    with engine.begin() as connection:
        # Nova reads these beside each instance, and a deployment has one of each.
        connection.exec_driver_sql(
            'INSERT INTO instance_extra (created_at, deleted, instance_uuid) '
            'SELECT created_at, deleted, uuid FROM instances'
        )
        connection.exec_driver_sql(
            'INSERT INTO instance_info_caches (created_at, deleted, instance_uuid, network_info) '
            "SELECT created_at, deleted, uuid, '[]' FROM instances"
        )
    engine.dispose()


def _deploy(
    folder: Path,
    nova: common.Environment,
    cells: Mapping[str, sa.URL],
    nova_url: sa.URL,
    our_url: sa.URL,
    schema: str,
) -> Deployment:
    theirs = _their_side(folder, nova, nova_url, next(iter(cells.values())))
    common.run(theirs.command('api_db', 'sync'))
    # Nova prints the new cell's uuid only where it is to.
    theirs.cells |= {
        name: _add_cell(theirs, name, url, '--verbose') for name, url in cells.items()
    }
    if schema == NOVAS:
        ours = _our_side(folder, nova_url, theirs.tables)
        ours.cells |= theirs.cells
    else:
        ours = _our_side(folder, our_url, ('instance_mapping', 'map_progress'))
        common.run(ours.command('db', 'sync'))
        ours.cells |= {name: _add_cell(ours, name, url) for name, url in cells.items()}
    return Deployment(theirs, ours, {name: _count(url) for name, url in cells.items()})


def _their_side(folder: Path, nova: common.Environment, url: sa.URL, cell: sa.URL) -> Side:
    return Side(
        environment=nova,
        program='nova-manage',
        worker='nova_worker.py',
        # Nova asks [database] what dialect all cells speak.
        config=write_config(
            folder / 'nova.conf',
            {'api_database': url, 'database': cell},
        ),
        url=url,
        tables=('instance_mappings',),
    )


def _our_side(folder: Path, url: sa.URL, tables: tuple[str, ...]) -> Side:
    return Side(
        environment=common.our_environment(),
        program='nova-cellmap-manage',
        worker='our_worker.py',
        config=write_config(folder / 'nova-cellmap.conf', {'api_database': url}),
        url=url,
        tables=tables,
    )


def _add_cell(side: Side, name: str, url: sa.URL, *options: str) -> str:
    """:returns: the cell's uuid on that side"""
    where = ('--database_connection', _text(url))
    if name == _CELL0:
        common.run(side.command('cell_v2', 'map_cell0', *where))
        return _CELL0_UUID
    # Nova wants them to differ from cell to cell; nobody connects there.
    queue = ('--transport-url', f'fake://{name}/')
    made = common.run(
        side.command('cell_v2', 'create_cell', '--name', name, *where, *queue, *options)
    )
    return made.stdout.split()[-1]


def _count(url: sa.URL) -> int:
    """How many instances there are to map: hidden ones both sides leave out."""
    engine = sa.create_engine(url)
    query = 'SELECT count(*) FROM instances WHERE coalesce(hidden, 0) = 0'
    with engine.connect() as connection:
        count: Any = connection.exec_driver_sql(query).scalar_one()
    engine.dispose()
    return int(count)


def write_config(file: Path, connections: Mapping[str, sa.URL]) -> Path:
    lines = ['[DEFAULT]', f'state_path = {file.parent}']
    for group, url in connections.items():
        # oslo.config takes a single $ for the name of an option.
        lines += [f'[{group}]', f'connection = {_text(url).replace("$", "$$")}']
    file.write_text('\n'.join(lines) + '\n')
    return file


def _text(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)
