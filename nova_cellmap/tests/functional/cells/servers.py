# SPDX-License-Identifier: Apache-2.0
"""Servers that do not do what they should, and a look at those that do."""

import pathlib
import socket
import time

import sqlalchemy as sa

from nova_cellmap.tests import base
from nova_cellmap.tests import fixtures


def silent_port(case: base.TestCase) -> int:
    """A port whose server takes connections and never says a word."""
    server = socket.create_server(('127.0.0.1', 0), backlog=100)
    case.addCleanup(server.close)
    port: int = server.getsockname()[1]
    return port


def refusing_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        port: int = server.getsockname()[1]
        return port


def mariadb_at(port: int) -> str:
    return f'mysql+pymysql://nova:sekret@127.0.0.1:{port}/nova_cell'


def connections_to(database: sa.Engine) -> int:
    """How many connections there are to a database, without the test's own."""
    database.dispose()
    if database.dialect.name == 'sqlite':
        return _descriptors_of(str(database.url.database))
    if database.dialect.name == 'postgresql':
        beside = database.url.set(database='postgres')
        query = 'SELECT count(*) FROM pg_stat_activity WHERE datname = :name'
    else:
        beside = database.url.set(database='information_schema')
        query = 'SELECT count(*) FROM processlist WHERE db = :name'
    engine = sa.create_engine(beside, poolclass=sa.NullPool)
    with engine.connect() as connection:
        name = {'name': database.url.database}
        return int(connection.execute(sa.text(query), name).scalar_one())


def wait_for_no_connections_to(database: sa.Engine) -> None:
    """A server takes a moment to see that a client has gone."""
    end = time.monotonic() + 10
    while left := connections_to(database):
        if time.monotonic() > end:
            raise AssertionError(f'{left} connections are left')
        time.sleep(0.05)


def _descriptors_of(path: str) -> int:
    links = pathlib.Path('/proc/self/fd').iterdir()
    return sum(str(link.readlink()) == path for link in links if link.is_symlink())


def kill_connections_to(nova: sa.Engine) -> None:
    """Have its server end them."""
    nova.dispose()
    if nova.dialect.name == 'sqlite':
        return
    if nova.dialect.name == 'postgresql':
        beside = nova.url.set(database='postgres')
        query = 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name'
    else:
        beside = nova.url.set(database='information_schema')
        query = 'SELECT id FROM processlist WHERE db = :name'
    engine = fixtures.engine(beside, poolclass=sa.NullPool)
    with engine.connect() as connection:
        rows = connection.execute(sa.text(query), {'name': nova.url.database}).all()
        if nova.dialect.name != 'postgresql':
            for row in rows:
                connection.exec_driver_sql(f'KILL {row.id}')
