# SPDX-License-Identifier: Apache-2.0
"""Tests on a real mapping database, on each kind there is."""

import atexit
import os
import sys
from typing import Any, ClassVar
import uuid

import hypothesis
from oslo_config import cfg
import sqlalchemy as sa

import nova_cellmap
from nova_cellmap.context import RequestContext
from nova_cellmap.db import engine as db_engine
from nova_cellmap.db import migration
from nova_cellmap.db.schemas import own
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.objects.base import CellMapObject
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests import fixtures

KINDS = ('sqlite', 'mariadb', 'postgresql')

# A test of a suite runs in several classes, and a database takes the time that it takes.
hypothesis.settings.register_profile(
    'nova_cellmap',
    deadline=None,
    derandomize='CI' in os.environ,
    suppress_health_check=[
        hypothesis.HealthCheck.differing_executors,
        hypothesis.HealthCheck.too_slow,
    ],
)
hypothesis.settings.load_profile('nova_cellmap')

# One database a kind for all tests of the process: its schema takes longer than a test.
_databases: dict[str, fixtures.Database] = {}
_conductors: dict[str, fixtures.Conductor] = {}


def on_each_database(suite: Any) -> None:
    """Have the tests of a class run on each kind of database.

    ``Lookup`` becomes ``LookupSqlite``, ``LookupMariadb`` and ``LookupPostgresql``.
    """
    module = sys.modules[suite.__module__]
    for kind in KINDS:
        name = f'{suite.__name__}{kind.capitalize()}'
        members = {'kind': kind, '__module__': suite.__module__, '__doc__': suite.__doc__}
        setattr(module, name, type(suite)(name, (suite,), members))


def straight_and_through_the_conductor(suite: Any) -> None:
    """Have the tests of a class run on each kind of database, twice.

    ``Moves`` becomes ``MovesSqlite`` ..., and ``MovesConductorSqlite`` ..., in which every
    remotable method goes to a conductor in another process.
    """
    on_each_database(suite)
    members = {'through_conductor': True, '__module__': suite.__module__}
    on_each_database(type(suite)(f'{suite.__name__}Conductor', (suite,), members))


def new_uuid() -> str:
    return str(uuid.uuid4())


class TestCase(tests_base.TestCase):
    """A test with a mapping database of its own, the schema up to date and no rows in it."""

    kind: ClassVar[str] = 'sqlite'
    # Of that kind, which server; None: the only one.
    server: ClassVar[str | None] = None
    through_conductor: ClassVar[bool] = False

    def setUp(self) -> None:
        super().setUp()
        self.database = _database(self.kind, self.server)
        self.conf = self.make_conf()
        nova_cellmap.configure(self.conf)
        self.addCleanup(_empty, self.conf)
        if self.through_conductor:
            CellMapObject.indirection_api = _conductor(self.database).api
            self.addCleanup(setattr, CellMapObject, 'indirection_api', None)
        self.context = RequestContext(user_id='user', project_id='project', overwrite=False)

    def make_conf(self) -> cfg.ConfigOpts:
        return self.database.conf()

    def execute(self, statement: Any) -> Any:
        """Run a statement past the function layer."""
        with db_engine.writer_engine().begin() as connection:
            result = connection.execute(statement)
            return result.all() if result.returns_rows else result.rowcount

    def make_cell(self, **values: Any) -> CellMapping:
        """A cell that is there."""
        needed = {
            'uuid': new_uuid(),
            'transport_url': 'none:///',
            'database_connection': 'none:///',
        }
        cell = CellMapping(self.context, **{**needed, **values})
        cell.create()
        return cell

    def stored_cell(self, **values: Any) -> CellMapping:
        """A cell that is there as no object would store it: of an earlier release, or by hand."""
        cell = self.make_cell()
        self.execute(
            own.cell_mapping.update().where(own.cell_mapping.c.uuid == cell.uuid).values(values)
        )
        return CellMapping.get_by_uuid(self.context, cell.uuid)

    def new_mapping(self, **values: Any) -> InstanceMapping:
        """A mapping that has not been created."""
        owner = {'instance_uuid': new_uuid(), 'project_id': 'project', 'user_id': 'user'}
        return InstanceMapping(self.context, **{**owner, **values})

    def make_mapping(self, **values: Any) -> InstanceMapping:
        """A mapping that is there."""
        mapping = self.new_mapping(**values)
        mapping.create()
        return mapping


def _database(kind: str, server: str | None = None) -> fixtures.Database:
    key = server or kind
    if key not in _databases:
        database = fixtures.Database(kind, server)
        database.setUp()
        atexit.register(database.cleanUp)
        migration.db_sync(engine=database.engine())
        _databases[key] = database
    return _databases[key]


def _conductor(database: fixtures.Database) -> fixtures.Conductor:
    if database.server not in _conductors:
        conductor = fixtures.Conductor(database)
        conductor.setUp()
        atexit.register(conductor.cleanUp)
        _conductors[database.server] = conductor
    return _conductors[database.server]


def _empty(conf: cfg.ConfigOpts) -> None:
    nova_cellmap.configure(conf)
    with db_engine.writer_engine().begin() as connection:
        for table in reversed(own.metadata.sorted_tables):
            connection.execute(sa.delete(table))
    db_engine.dispose()
