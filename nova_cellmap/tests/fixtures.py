# SPDX-License-Identifier: Apache-2.0
"""What tests set up, for those of nova_cellmap and of its consumers."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import Any
import uuid

import fixtures
from oslo_config import cfg
import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import conf
from nova_cellmap import exception
from nova_cellmap import runtime
from nova_cellmap.conductor import caller as conductor_caller
from nova_cellmap.conductor import rpcapi
from nova_cellmap.db import engine as db_engine
from nova_cellmap.db import migration
from nova_cellmap.db import resume_files
from nova_cellmap.db import session
from nova_cellmap.db.schemas import own
from nova_cellmap.tests import nova_schema
from nova_cellmap.tests import stock_paths
from nova_cellmap.upkeep import journal

# The servers' addresses.
_VARIABLES = {
    'mariadb': 'NOVA_CELLMAP_TEST_MARIADB_URL',
    'postgresql': 'NOVA_CELLMAP_TEST_POSTGRESQL_URL',
    'pgbouncer': 'NOVA_CELLMAP_TEST_PGBOUNCER_URL',
    'rabbitmq': 'NOVA_CELLMAP_TEST_RABBITMQ_URL',
    'memcached': 'NOVA_CELLMAP_TEST_MEMCACHED_URL',
}


# What the URLs of the tests' own servers have, and cells share with them.
MORE_URL_PARAMETERS = ['ssl_disabled']


def engine(url: str | sa.URL, **options: Any) -> sa.Engine:
    """SQLAlchemy's own engine, whose sessions are the same whatever a server's defaults are."""
    made = sa.create_engine(url, **options)
    session.settle(made, 300)
    return made


class Database(fixtures.Fixture):
    """An empty database, which is gone afterwards.

    :param kind: ``sqlite``, ``mariadb`` or ``postgresql``; the servers are those that
        ``NOVA_CELLMAP_TEST_MARIADB_URL`` and ``NOVA_CELLMAP_TEST_POSTGRESQL_URL`` name
    :param server: ``pgbouncer`` for the one before PostgreSQL, of
        ``NOVA_CELLMAP_TEST_PGBOUNCER_URL``
    :param created_with: what a server is told of it, in SQL
    :param schema: whose tables :meth:`make_schema` makes: ``own`` or ``nova``
    :ivar url: where the database is, as ``[api_database] connection`` takes it
    """

    def __init__(
        self,
        kind: str,
        server: str | None = None,
        created_with: str = '',
        schema: str = 'own',
    ) -> None:
        self.kind = kind
        self.schema = schema
        self.created_with = created_with
        if schema == 'nova':
            self.created_with = created_with or nova_schema.CREATED_WITH[kind]
        self.server = server or kind

    def _setUp(self) -> None:  # noqa: N802
        folder = self.useFixture(fixtures.TempDir()).path
        # With Nova's tables resume points are files.
        self.state_path = folder if self.schema == 'nova' else None
        if self.kind == 'sqlite':
            self.url = f'sqlite:///{folder}/nova_cellmap.sqlite'
        else:
            self.url = self._create()
        self.addCleanup(self._let_go)

    def _let_go(self) -> None:
        # What is bound to it would keep a server from dropping it.
        with contextlib.suppress(exception.NotConfigured):
            bound = runtime.default()
            bound.close()
            if bound.conf.api_database.connection == self.url:
                runtime.set_default(None)

    def conf(self, **overrides: Any) -> cfg.ConfigOpts:
        """A configuration that names the database.

        :param overrides: more options of ``[api_database]``
        """
        made = conf.new(args=[], config_files=[])
        for option, value in {'connection': self.url, **overrides}.items():
            made.set_override(option, value, group='api_database')
        made.set_override('more_url_parameters', MORE_URL_PARAMETERS, group='cells')
        if self.state_path is not None:
            made.set_override('state_path', self.state_path)
        return made

    def make_schema(self) -> None:
        """Make the tables."""
        engine = self.engine()
        if self.schema == 'nova':
            nova_schema.make(engine)
        else:
            migration.db_sync(engine=engine)

    def empty(self) -> None:
        """Remove all rows that a test may have made."""
        with self.engine().begin() as connection:
            if self.schema == 'nova':
                for name in nova_schema.TABLES:
                    connection.execute(sa.text(f'DELETE FROM {name}'))
            else:
                for table in reversed(own.metadata.sorted_tables):
                    connection.execute(sa.delete(table))
        runtime.default().close()
        if self.state_path is not None:
            shutil.rmtree(pathlib.Path(self.state_path, resume_files.FOLDER), ignore_errors=True)
            pathlib.Path(self.state_path, journal.FILE).unlink(missing_ok=True)

    def engine(self) -> sa.Engine:
        """The application's writer engine, after binding the process to the database."""
        # The file need not survive a loss of power.
        made = nova_cellmap.configure(self.conf(sqlite_synchronous=False))
        return made.part(db_engine.Engines).writer

    def _create(self) -> str:
        server = sa.make_url(_server_url(self.server))
        name = f'nova_cellmap_{uuid.uuid4().hex}'
        force = ' WITH (FORCE)' if self.kind == 'postgresql' else ''
        _execute(server, f'CREATE DATABASE {name} {self.created_with}')
        self.addCleanup(_execute, server, f'DROP DATABASE {name}{force}')
        return server.set(database=name).render_as_string(hide_password=False)


class Conductor(fixtures.Fixture):
    """A conductor in another process, on the RabbitMQ of ``NOVA_CELLMAP_TEST_RABBITMQ_URL``.

    :param database: the database that it works on
    :param options: more options, as ``{group: {option: value}}``
    :ivar api: what to set as ``indirection_api``, to have remotable methods go there
    :ivar conf: the configuration of a client of it
    """

    def __init__(
        self, database: Database, options: dict[str, dict[str, Any]] | None = None
    ) -> None:
        self.database = database
        self.options = options or {}

    def _setUp(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.config_file = folder / 'conductor.conf'
        self.log_file = folder / 'conductor.log'
        self.config_file.write_text(self._config())
        self.conf = conf.new(args=[], config_files=[str(self.config_file)])
        self.start()
        self.addCleanup(self.stop)
        caller = conductor_caller.Caller(self.conf)
        self.addCleanup(caller.close)
        caller.wait(60)
        self.api = rpcapi.ConductorAPI(caller, self.conf.conductor.page_size)

    def start(self) -> None:
        command = [sys.executable, '-W', 'ignore', '-m', stock_paths.CONDUCTOR]
        files = ['--config-file', str(self.config_file), '--log-file', str(self.log_file)]
        # Not this process's own output: its reader would wait for a conductor that outlives it.
        with self.log_file.open('ab') as log:
            self.process = subprocess.Popen(
                [*command, *files], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def stop(self, sent: int = signal.SIGTERM) -> int:
        """Send it a signal and wait for its end; answer its exit status."""
        self.process.send_signal(sent)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            log = self.log_file.read_text(errors='replace')
            raise AssertionError(f'it does not end; the end of its log:\n{log[-8000:]}') from None
        finally:
            self.process.kill()

    def _config(self) -> str:
        groups: dict[str, dict[str, Any]] = {
            'DEFAULT': {'transport_url': _server_url('rabbitmq'), 'rpc_response_timeout': 30},
            'api_database': {'connection': self.database.url},
            'cells': {'more_url_parameters': ','.join(MORE_URL_PARAMETERS)},
            # Of its own: the tests of other processes have conductors too.
            'conductor': {
                'topic': f'conductor-{uuid.uuid4().hex}',
                'workers': 1,
                'cells': 'full',
                'cells_writable': True,
            },
        }
        for group, options in self.options.items():
            groups[group] = {**groups.get(group, {}), **options}
        lines = []
        for group, options in groups.items():
            lines += [f'[{group}]', *(f'{name} = {value}' for name, value in options.items())]
        return '\n'.join(lines)


class Memcached(fixtures.Fixture):
    """A memcached of the test's own, which it may kill.

    :param arguments: more of the program's
    :ivar address: where it is, as ``[cache] memcache_servers`` takes it; the same when it is
        started again
    """

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments

    def _setUp(self) -> None:
        program = shutil.which('memcached')
        if program is None:
            raise AssertionError('there is no memcached: run the tests with tools/test')
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
        self.address = f'127.0.0.1:{port}'
        self._command = [program, '--listen=127.0.0.1', f'--port={port}', '--user=memcache']
        self.start()
        self.addCleanup(self.kill)

    def start(self) -> None:
        self._process = subprocess.Popen(
            [*self._command, *self.arguments], stdin=subprocess.DEVNULL
        )
        host, port = self.address.split(':')
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection((host, int(port))):
                return
            time.sleep(0.01)
        raise AssertionError(f'no memcached came to {self.address}')

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def use_cache(
    conf: cfg.ConfigOpts, *addresses: str, prefix: str | None = None, **options: Any
) -> None:
    """Have lookups cached, by the memcached of ``NOVA_CELLMAP_TEST_MEMCACHED_URL`` or by others.

    :param addresses: of others
    :param prefix: which rows are shared; by default with nobody
    :param options: more of ``[cache]``
    """
    values = {
        'enabled': True,
        'backend': 'dogpile.cache.pymemcache',
        'memcache_servers': list(addresses) or [_server_url('memcached')],
        'config_prefix': prefix or uuid.uuid4().hex,
    }
    conf.set_override('caching', True, group='cells')
    for option, value in {**values, **options}.items():
        conf.set_override(option, value, group='cache')


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
