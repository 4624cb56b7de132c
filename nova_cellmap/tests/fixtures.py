# SPDX-License-Identifier: Apache-2.0
"""What tests set up, for those of nova_cellmap and of its consumers."""

import os
from typing import Any
import uuid

import fixtures
from oslo_config import cfg
import sqlalchemy as sa

from nova_cellmap import conf
from nova_cellmap.db import engine as db_engine

# The servers' addresses.
_VARIABLES = {
    'mariadb': 'NOVA_CELLMAP_TEST_MARIADB_URL',
    'postgresql': 'NOVA_CELLMAP_TEST_POSTGRESQL_URL',
}


class Database(fixtures.Fixture):
    """An empty database, which is gone afterwards.

    :param kind: ``sqlite``, ``mariadb`` or ``postgresql``; the servers are those that
        ``NOVA_CELLMAP_TEST_MARIADB_URL`` and ``NOVA_CELLMAP_TEST_POSTGRESQL_URL`` name
    :ivar url: where the database is, as ``[api_database] connection`` takes it
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def _setUp(self) -> None:  # noqa: N802
        if self.kind == 'sqlite':
            folder = self.useFixture(fixtures.TempDir()).path
            self.url = f'sqlite:///{folder}/nova_cellmap.sqlite'
        else:
            self.url = self._create()
        self.addCleanup(db_engine.dispose)

    def conf(self, **overrides: Any) -> cfg.ConfigOpts:
        """A configuration that names the database.

        :param overrides: more options of ``[api_database]``
        """
        made = conf.new(args=[], config_files=[])
        for option, value in {'connection': self.url, **overrides}.items():
            made.set_override(option, value, group='api_database')
        return made

    def engine(self) -> sa.Engine:
        """The application's writer engine, after binding the process to the database."""
        # The file need not survive a loss of power.
        db_engine.configure(self.conf(sqlite_synchronous=False))
        return db_engine.writer_engine()

    def _create(self) -> str:
        server = sa.make_url(_server_url(self.kind))
        name = f'nova_cellmap_{uuid.uuid4().hex}'
        force = ' WITH (FORCE)' if self.kind == 'postgresql' else ''
        _execute(server, f'CREATE DATABASE {name}')
        self.addCleanup(_execute, server, f'DROP DATABASE {name}{force}')
        return server.set(database=name).render_as_string(hide_password=False)


def _server_url(kind: str) -> str:
    variable = _VARIABLES[kind]
    if variable not in os.environ:
        raise AssertionError(
            f'{variable} is not set: run the tests with tools/test, which starts the servers.'
        )
    return os.environ[variable]


def _execute(server: sa.URL, statement: str) -> None:
    engine = sa.create_engine(server, isolation_level='AUTOCOMMIT', poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
