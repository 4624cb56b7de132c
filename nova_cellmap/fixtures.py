# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the tests of nova_cellmap's consumers.

They are used with the fixtures library: ``pip install nova-cellmap[fixtures]``. ::

    class TestMine(testtools.TestCase):
        def setUp(self):
            super().setUp()
            self.useFixture(fixtures.Database())
            self.useFixture(fixtures.Conductor())
            [self.cell] = self.useFixture(fixtures.Cells(1)).cells
"""

from collections.abc import Iterator
import contextlib
import pathlib
import types
from typing import Any

import fixtures
from oslo_config import cfg
import oslo_messaging
from oslo_serialization import jsonutils
import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import conf
from nova_cellmap import nova_cell
from nova_cellmap.conductor import cells as conductor_cells
from nova_cellmap.conductor import dispatcher
from nova_cellmap.conductor import manager
from nova_cellmap.conductor import rpc
from nova_cellmap.conductor import rpcapi
from nova_cellmap.conf import conductor as conductor_options
from nova_cellmap.context import RequestContext
from nova_cellmap.context import get_admin_context
from nova_cellmap.db import migration
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import base


class Database(fixtures.Fixture):
    """A mapping database of the test's own, to which the process is bound.

    An SQLite file with the schema up to date and nothing in it.

    :ivar conf: the configuration that names it
    """

    conf: cfg.ConfigOpts

    def _setUp(self) -> None:
        self.conf = conf.new(args=[], config_files=[])
        self.conf.set_override('state_path', self.useFixture(fixtures.TempDir()).path)
        made = nova_cellmap.configure(self.conf)
        self.addCleanup(made.close)
        migration.db_sync()


class Conductor(fixtures.Fixture):
    """Remotable methods go to a conductor, as in a service without a database.

    It is in this process, with no message queue between, but everything that would
    travel is serialized there and back: what would not arrive is not there either.

    :param page_size: the greatest number of objects that one call may name, bring or return
    :param cells: what there is to read of cells, as ``[conductor] cells`` says
    :param cells_writable: whether cells can be added, changed and removed
    """

    def __init__(
        self,
        page_size: int = 1000,
        cells: str = conductor_options.WITHOUT_URLS,
        *,
        cells_writable: bool = False,
    ) -> None:
        self._page_size = page_size
        self._policy = conductor_cells.Policy(cells, writable=cells_writable)

    def _setUp(self) -> None:
        before = base.CellMapObject.indirection_api
        self.addCleanup(setattr, base.CellMapObject, 'indirection_api', before)
        caller = _InProcess(
            dispatcher.Dispatcher(
                manager.ConductorManager(self._page_size, self._policy),
                manager.Serializer(),
                self._page_size,
            )
        )
        base.CellMapObject.indirection_api = rpcapi.ConductorAPI(caller, self._page_size)


class Cells(fixtures.Fixture):
    """Cells with databases of Nova's shape, registered in the mapping.

    :param count: how many, besides cell0; they are named cell1, cell2, ...
    :param instances: how many instances each has, see :func:`~.nova_cell.fill`
    :ivar cells: the CellMapping objects, cell0 first
    """

    cells: list[CellMapping]

    def __init__(self, count: int = 2, instances: int = 0, **shares: float) -> None:
        self._count = count
        self._instances = instances
        self._shares: dict[str, Any] = shares

    def _setUp(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.cells = [self._make(folder, number) for number in range(self._count + 1)]

    def add(self, cell: CellMapping, **values: Any) -> str:
        """Put an instance into a cell; answer its uuid. See :func:`~.nova_cell.add`."""
        return nova_cell.add(self._engine(cell.database_connection), **values)

    def _make(self, folder: pathlib.Path, number: int) -> CellMapping:
        url = f'sqlite:///{folder}/cell{number}.sqlite'
        database = self._engine(url)
        nova_cell.create(database)
        nova_cell.fill(database, self._instances, seed=number, **self._shares)
        cell = CellMapping(
            get_admin_context(),
            name=f'cell{number}',
            transport_url='none:///',
            database_connection=url,
        )
        if number == 0:
            cell.uuid = CellMapping.CELL0_UUID
        with _directly():
            cell.create()
        return cell

    def _engine(self, url: str) -> sa.Engine:
        return sa.create_engine(url, poolclass=sa.NullPool)


class _InProcess:
    """Calls the conductor's methods with what would arrive there."""

    def __init__(self, far_side: dispatcher.Dispatcher) -> None:
        self._far_side = far_side
        self._serializer = base.CellMapObjectSerializer()

    def __call__(self, context: RequestContext, name: str, **arguments: Any) -> Any:
        given = {
            key: self._serializer.serialize_entity(context, value)
            for key, value in arguments.items()
        }
        asked = {**_TARGET, 'method': name, 'args': given}
        incoming = types.SimpleNamespace(
            message=_over_the_wire(asked),
            ctxt=_over_the_wire(self._serializer.serialize_context(context)),
            client_timeout=None,
        )
        with _directly():
            try:
                answer = _over_the_wire(self._far_side.dispatch(incoming))
            except oslo_messaging.ExpectedException as expected:
                raise expected.exc_info[1] from None
        return self._serializer.deserialize_entity(context, answer)

    def close(self) -> None:
        """There is nothing to close."""


_TARGET = {'namespace': rpc.NAMESPACE, 'version': rpc.VERSION}


@contextlib.contextmanager
def _directly() -> Iterator[None]:
    """Have remotable methods run in this process, as the conductor has them."""
    api, base.CellMapObject.indirection_api = base.CellMapObject.indirection_api, None
    try:
        yield
    finally:
        base.CellMapObject.indirection_api = api


def _over_the_wire(value: Any) -> Any:
    return jsonutils.loads(jsonutils.dumps(value))
