# SPDX-License-Identifier: Apache-2.0
"""A connection to a cell's own database."""

from collections.abc import Iterator
import contextlib
import pathlib

import sqlalchemy as sa
from sqlalchemy.engine import url as sa_url

from nova_cellmap import exception
from nova_cellmap import url
from nova_cellmap.db import engine as db_engine
from nova_cellmap.db import errors
from nova_cellmap.objects.cell_mapping import CellMapping

# Seconds. A host that does not answer must not hold up a command for minutes.
_CONNECT_TIMEOUT = 10
_READ_TIMEOUT = 60


@contextlib.contextmanager
def connect(cell: CellMapping) -> Iterator[sa.Connection]:
    """A connection that reads a cell's database, each statement on its own.

    No transaction stays open between two statements: a run of hours must not keep
    the cell's server from forgetting old versions of its rows.

    :raises: CellUnreachable, also where the connection is lost inside the block
    """
    with errors_translated(cell):
        with errors.connecting():
            engine = _engine(cell)
        try:
            with errors.connect(engine) as connection:
                yield connection.execution_options(isolation_level='AUTOCOMMIT')
        finally:
            engine.dispose()


@contextlib.contextmanager
def errors_translated(cell: CellMapping) -> Iterator[None]:
    """:raises: CellUnreachable for whatever the driver raises inside the block."""
    try:
        yield
    except errors.DRIVER as error:
        raise exception.CellUnreachable(cell=cell.identity, reason=errors.reason(error)) from error


def engine_url(cell: CellMapping, connect_timeout: int, read_timeout: int) -> str:
    """Where SQLAlchemy finds a cell's database. What the URL itself sets has precedence.

    :param connect_timeout: for how many seconds its host is waited for while connecting
    :param read_timeout: for how many seconds the host may keep silent later; with MySQL and
        MariaDB the database too, also while connecting
    :raises: CellUnreachable where the URL leads nowhere
    """
    plain = _checked_url(cell)
    parameters = _parameters(plain, connect_timeout, read_timeout)
    missing = {name: text for name, text in parameters.items() if name not in plain.query}
    return plain.update_query_dict(missing).render_as_string(hide_password=False)


def _parameters(plain: sa_url.URL, connect_timeout: int, read_timeout: int) -> dict[str, str]:
    backend = plain.get_backend_name()
    driver = plain.get_driver_name()
    parameters = {}
    if backend in ('mysql', 'mariadb', 'postgresql'):
        parameters['connect_timeout'] = str(connect_timeout)
    if backend in ('mysql', 'mariadb'):
        # oslo.db's default, utf8, has no place for a third of Unicode.
        parameters['charset'] = 'utf8mb4'
    if driver in ('pymysql', 'mysqldb'):
        parameters['read_timeout'] = parameters['write_timeout'] = str(read_timeout)
    elif driver in ('psycopg', 'psycopg2'):
        parameters['tcp_user_timeout'] = str(1000 * read_timeout)
        parameters['keepalives_idle'] = str(max(1, read_timeout // 2))
        parameters['keepalives_interval'] = str(max(1, read_timeout // 8))
    return parameters


def _engine(cell: CellMapping) -> sa.Engine:
    # SQLAlchemy's own: oslo.db's connects once more to see whether it can, and waits and tries
    # again. Here the caller tells of a failure at once.
    engine = sa.create_engine(
        engine_url(cell, _CONNECT_TIMEOUT, _READ_TIMEOUT), hide_parameters=True
    )
    errors.watch(engine)
    return engine


def _checked_url(cell: CellMapping) -> sa_url.URL:
    """:raises: CellUnreachable where the URL leads nowhere."""
    text = cell.database_connection
    if url.is_none(text):
        raise exception.CellUnreachable(cell=cell.identity, reason='it has none')
    if url.is_template(text):
        raise exception.CellUnreachable(
            cell=cell.identity,
            reason=f'{url.mask(text)} is a template; set [database] connection to fill it from',
        )
    try:
        url.check_cell_database(text, also=db_engine.conf().cells.more_url_parameters)
        connection_url = url.parse_database(text)
    except url.InvalidURL as error:
        raise exception.CellUnreachable(cell=cell.identity, reason=str(error)) from None
    if connection_url.get_backend_name() == 'sqlite':
        _check_file(cell, connection_url.database)
    return connection_url


def _check_file(cell: CellMapping, path: str | None) -> None:
    # SQLite would make an empty database where there is none.
    if path and not path.startswith((':memory:', 'file:')) and not pathlib.Path(path).is_file():
        raise exception.CellUnreachable(cell=cell.identity, reason=f'there is no file {path}')
