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

import pathlib
from typing import Any

import fixtures
from oslo_config import cfg
from oslo_messaging.rpc import dispatcher
from oslo_serialization import jsonutils
import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import conf
from nova_cellmap.conductor import manager
from nova_cellmap.conductor import rpcapi
from nova_cellmap.context import RequestContext
from nova_cellmap.context import get_admin_context
from nova_cellmap.db import engine
from nova_cellmap.db import migration
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import base
from nova_cellmap.tests import nova_cell


class Database(fixtures.Fixture):
    """A mapping database of the test's own, to which the process is bound.

    An SQLite file with the schema up to date and nothing in it.

    :ivar conf: the configuration that names it
    """

    conf: cfg.ConfigOpts

    def _setUp(self) -> None:
        self.conf = conf.new(args=[], config_files=[])
        self.conf.set_override('state_path', self.useFixture(fixtures.TempDir()).path)
        nova_cellmap.configure(self.conf)
        self.addCleanup(engine.dispose)
        migration.db_sync()


class Conductor(fixtures.Fixture):
    """Remotable methods go to a conductor, as in a service without a database.

    It is in this process, with no message queue between, but everything that would
    travel is serialized there and back: what would not arrive is not there either.

    :param page_size: the greatest number of objects that one call may return
    """

    def __init__(self, page_size: int = 1000) -> None:
        self._page_size = page_size

    def _setUp(self) -> None:
        before = base.CellMapObject.indirection_api
        self.addCleanup(setattr, base.CellMapObject, 'indirection_api', before)
        caller = _InProcess(manager.ConductorManager(self._page_size))
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
        cell.create()
        return cell

    def _engine(self, url: str) -> sa.Engine:
        return sa.create_engine(url, poolclass=sa.NullPool)


class _InProcess:
    """Calls the conductor's methods with what would arrive there."""

    def __init__(self, endpoint: manager.ConductorManager) -> None:
        self._endpoint = endpoint
        self._serializer = base.CellMapObjectSerializer()
        self._its_serializer = manager.Serializer()

    def __call__(self, context: RequestContext, name: str, **arguments: Any) -> Any:
        api, base.CellMapObject.indirection_api = base.CellMapObject.indirection_api, None
        try:
            arrived = self._its_serializer.deserialize_context(
                _over_the_wire(self._serializer.serialize_context(context))
            )
            given = {
                key: self._its_serializer.deserialize_entity(
                    arrived, _over_the_wire(self._serializer.serialize_entity(context, value))
                )
                for key, value in arguments.items()
            }
            answer = _over_the_wire(
                self._its_serializer.serialize_entity(
                    arrived, getattr(self._endpoint, name)(arrived, **given)
                )
            )
        except dispatcher.ExpectedException as expected:
            raise expected.exc_info[1] from None
        finally:
            base.CellMapObject.indirection_api = api
        return self._serializer.deserialize_entity(context, answer)

    def close(self) -> None:
        """There is nothing to close."""


def _over_the_wire(value: Any) -> Any:
    return jsonutils.loads(jsonutils.dumps(value))
