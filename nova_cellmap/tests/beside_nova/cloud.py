# SPDX-License-Identifier: Apache-2.0
"""A whole Nova in this process: API, scheduler, conductor, placement, and two cells.

It is the environment of Nova's own functional tests. Only the hypervisors are fakes, and the
services about Nova. Every database is a file, and is recorded in cell_mappings by its URL, so
that other processes can work on it. What Nova does to its process for that is not undone: only a
process of its own imports this module, with ``ENVIRONMENT``.
"""

# It forbids eventlet: before anything that would bring it.
import nova.tests.functional  # noqa: F401

# isort: split
from collections.abc import Iterator
import contextlib
import logging
import pathlib
import sqlite3
import sys
import threading
import time
from typing import Any

import fixtures
from nova import context as nova_context
from nova import objects
from nova.policies import base as base_policies
from nova.policies import servers as servers_policies
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional import integrated_helpers
from nova.tests.functional.api import client
import sqlalchemy as sa

# Far more than any step takes.
_SECONDS = 120
_RATIOS = ('cpu_allocation_ratio', 'ram_allocation_ratio', 'disk_allocation_ratio')


def _begin_late(
    connection: sa.Connection,
    cursor: Any,
    statement: str,
    parameters: Any,
    context: Any,
    executemany: bool,
) -> tuple[str, Any]:
    """Begin a transaction of Nova's where it first writes.

    oslo.db has SQLite begin it before its first read. SQLite then refuses at once, as locked,
    that it writes after another transaction has been committed; other databases have it wait.
    """
    if statement == 'BEGIN':
        dbapi_connection: Any = connection.connection.dbapi_connection
        dbapi_connection.isolation_level = ''
        statement = 'SELECT 1'
    return statement, parameters


class _CellDatabases(nova_fixtures.CellDatabases):  # type: ignore[misc]
    """Nova's, which knows the cell that was targeted last, here of each thread.

    Nova's own tests have one thing going on at a time, and one such cell for all threads.
    """

    def __init__(self) -> None:
        self._of_thread = threading.local()
        super().__init__()

    def setUp(self) -> None:
        super().setUp()
        # The cell that was added last is none that was targeted.
        self._last_ctxt_mgr = self._default_ctxt_mgr

    @property
    def _last_ctxt_mgr(self) -> Any:
        return getattr(self._of_thread, 'manager', self._default_ctxt_mgr)

    @_last_ctxt_mgr.setter
    def _last_ctxt_mgr(self, manager: Any) -> None:
        self._of_thread.manager = manager

    @contextlib.contextmanager
    def _wrap_target_cell(self, context: Any, cell: Any) -> Iterator[Any]:
        previous = self._last_ctxt_mgr
        if cell is not None:
            self._last_ctxt_mgr = self._ctxt_mgrs[cell.database_connection]
        try:
            with self._real_target_cell(context, cell) as targeted:
                yield targeted
        finally:
            self._last_ctxt_mgr = previous


class Cloud(integrated_helpers.ProviderUsageBaseTestCase):  # type: ignore[misc]
    """Two cells with a host each; nothing bounds how many servers they hold.

    :ivar folder: where the databases are, and ``nova.conf`` which names them
    """

    NUMBER_OF_CELLS = 2
    compute_driver = 'fake.MediumFakeDriver'

    def setUp(self) -> None:
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        # Where Nova's tests look for the file of its web server's parts.
        (self.folder / 'etc').symlink_to(pathlib.Path(sys.prefix, 'etc'))
        self.flags(state_path=str(self.folder))
        self.flags(reclaim_instance_interval=24 * 3600, **dict.fromkeys(_RATIOS, 1000.0))
        self.flags(instances=-1, cores=-1, ram=-1, group='quota')
        self.flags(response_validation='ignore', group='api')
        module = sys.modules[nova_fixtures.CellDatabases.__module__]
        self.useFixture(
            fixtures.MockPatchObject(module, '_use_file_backed_sqlite_with_wal', self._database)
        )
        # Asked for each server of a host whenever one changes, and used where a driver moves
        # what it offers: none of these does.
        self.useFixture(
            fixtures.MonkeyPatch(
                'nova.scheduler.client.report.SchedulerReportClient'
                '.get_allocations_for_provider_tree',
                lambda *arguments: {},
            )
        )
        sa.event.listen(sa.Engine, 'before_cursor_execute', _begin_late, retval=True)
        self.addCleanup(sa.event.remove, sa.Engine, 'before_cursor_execute', _begin_late)
        super().setUp()
        # In seconds. Nova's tests end sooner with a hundredth, at which hundreds of idle threads
        # take all of the processor.
        self.useFixture(fixtures.MonkeyPatch('futurist._thread.ThreadWorker.MAX_IDLE_FOR', 1))
        # All that is logged at a lower level would be formatted, a third of the time.
        logging.getLogger().setLevel(logging.WARNING)
        self.flags(rpc_response_timeout=_SECONDS, long_rpc_timeout=_SECONDS)
        may_cross = {servers_policies.CROSS_CELL_RESIZE: base_policies.RULE_ADMIN_API}
        self.policy.set_rules(may_cross, overwrite=False)
        for number in (1, 2):
            self._start_compute(f'host{number}', cell_name=f'cell{number}')
        self.image = self.glance.show(None, self.glance.auto_disk_config_disabled_image['id'])
        self.small, self.large = (flavor['id'] for flavor in self.api.get_flavors()[:2])
        self.too_large = self._create_flavor(vcpu=10**6)
        self.config_file = self.folder / 'nova.conf'
        self.config_file.write_text(
            f'[DEFAULT]\nstate_path = {self.folder}\ntransport_url = rabbit://\n'
            f'[api_database]\nconnection = {self._url("api")}\n'
            f'[database]\nconnection = {self._url("cell1")}\n'
        )

    # What Nova's own base asks for.

    def _setup_cells(self) -> None:
        databases = _CellDatabases()
        context = nova_context.get_context()
        for number in range(1 + self.NUMBER_OF_CELLS):
            cell = objects.CellMapping(
                context,
                name=f'cell{number}',
                transport_url='fake://nowhere/',
                database_connection=self._url(f'cell{number}'),
            )
            cell.uuid = (
                f'00000000-0000-0000-0000-{number:012}'
                if number
                else objects.CellMapping.CELL0_UUID
            )
            cell.create()
            self.cell_mappings[cell.name] = cell
            databases.add_cell_database(cell.database_connection, default=number == 1)
        self.useFixture(databases)

    def _database(self, name: str) -> tuple[str, str]:
        url = name if name.startswith('sqlite:') else self._url(name)
        path = url.removeprefix('sqlite:///')
        with sqlite3.connect(path) as connection:
            connection.execute('PRAGMA journal_mode=WAL')
        return f'{url}?timeout={_SECONDS}', path

    def _url(self, name: str) -> str:
        return f'sqlite:///{self.folder}/{name}.sqlite'

    # What users do.

    def boot(self, flavor: str | None = None) -> str:
        """Ask for a server; answer its uuid."""
        server = {
            'name': 'server',
            'imageRef': self.image['id'],
            'flavorRef': flavor or self.small,
            'networks': 'none',
        }
        return str(self.api.post_server({'server': server})['id'])

    def act(self, uuid: str, action: str, **values: Any) -> None:
        self.api.post_server_action(uuid, {action: values or None})

    def delete(self, uuid: str) -> None:
        """Delete a server softly; one that was never active is gone for good."""
        self.api.delete_server(uuid)

    def wait(self, uuid: str, status: str | None) -> None:
        """Wait until a server has the status; None is for one that is gone."""
        deadline = time.monotonic() + _SECONDS
        while not self._has(uuid, status):
            if time.monotonic() > deadline:
                raise AssertionError(f'server {uuid} is not {status} after {_SECONDS} s')
            time.sleep(0.1)

    def _has(self, uuid: str, status: str | None) -> bool:
        try:
            server = self.api.get_server(uuid)
        except client.OpenStackApiNotFoundException:
            if status is None:
                return True
            raise
        if server['status'] == 'ERROR' and status != 'ERROR':
            raise AssertionError(f'server {uuid} failed: {server}')
        return server['status'] == status and not server['OS-EXT-STS:task_state']
