# SPDX-License-Identifier: Apache-2.0
"""Tests on a real mapping database, on each kind there is."""

import atexit
import sys
from typing import Any, ClassVar
import uuid

from oslo_config import cfg
import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import runtime
from nova_cellmap.context import RequestContext
from nova_cellmap.db import engine as db_engine
from nova_cellmap.db.schemas.detection import Detected
from nova_cellmap.db.schemas.schema import Schema
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.objects.base import CellMapObject
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests import fixtures

KINDS = ('sqlite', 'mariadb', 'postgresql')

# One database a kind for all tests of the process: its schema takes longer than a test.
_databases: dict[tuple[str, str], fixtures.Database] = {}
_conductors: dict[tuple[str, str], fixtures.Conductor] = {}


def on_each_database(suite: Any) -> None:
    """Have the tests of a class run on each kind of database, with our own tables.

    ``Lookup`` becomes ``LookupSqlite``, ``LookupMariadb`` and ``LookupPostgresql``.
    """
    module = sys.modules[suite.__module__]
    for kind in KINDS:
        name = f'{suite.__name__}{kind.capitalize()}'
        setattr(module, name, _derived(suite, name, kind=kind))


def on_both_schemas(suite: Any) -> None:
    """Have the tests of a class run on each kind of database, with our own tables and Nova's.

    ``Lookup`` becomes ``LookupSqlite`` ..., and ``LookupNovaSqlite`` ...
    """
    on_each_database(suite)
    on_each_database(_derived(suite, f'{suite.__name__}Nova', schema='nova'))


def straight_and_through_the_conductor(suite: Any) -> None:
    """Have the tests of a class run on both schemas, twice.

    ``Moves`` becomes ``MovesSqlite``, ``MovesNovaSqlite`` ..., and ``MovesConductorSqlite`` ...,
    in which every remotable method goes to a conductor in another process.
    """
    on_both_schemas(suite)
    on_both_schemas(_derived(suite, f'{suite.__name__}Conductor', through_conductor=True))


def _derived(suite: Any, name: str, **members: Any) -> Any:
    members = {**members, '__module__': suite.__module__, '__doc__': suite.__doc__}
    return type(suite)(name, (suite,), members)


def new_uuid() -> str:
    return str(uuid.uuid4())


class TestCase(tests_base.TestCase):
    """A test with a mapping database of its own, the schema up to date and no rows in it."""

    kind: ClassVar[str] = 'sqlite'
    # Of that kind, which server; None: the only one.
    server: ClassVar[str | None] = None
    # Whose tables: own or nova.
    schema: ClassVar[str] = 'own'
    through_conductor: ClassVar[bool] = False

    def setUp(self) -> None:
        super().setUp()
        self.database = _database(self.kind, self.server, self.schema)
        self.conf = self.make_conf()
        nova_cellmap.configure(self.conf)
        self.addCleanup(self.database.empty)
        if self.through_conductor:
            CellMapObject.indirection_api = _conductor(self.database).api
            self.addCleanup(setattr, CellMapObject, 'indirection_api', None)
        self.context = RequestContext(user_id='user', project_id='project', overwrite=False)

    def make_conf(self) -> cfg.ConfigOpts:
        return self.database.conf()

    def execute(self, statement: Any) -> Any:
        """Run a statement past the function layer."""
        with db_engine.of().writer.begin() as connection:
            result = connection.execute(statement)
            return result.all() if result.returns_rows else result.rowcount

    @property
    def cell_table(self) -> sa.Table:
        return self.tables.cell_mapping

    @property
    def mapping_table(self) -> sa.Table:
        return self.tables.instance_mapping

    @property
    def tables(self) -> Schema:
        """The tables that are there."""
        detected = runtime.default().part(Detected)
        if detected.found is not None:
            return detected.found
        with db_engine.of().writer.connect() as connection:
            return detected.schema(connection)

    def make_replica(self) -> fixtures.Database:
        """Another database, with what this one has now. It stays as it is."""
        replica = self.useFixture(fixtures.Database(self.kind, schema=self.schema))
        replica.make_schema()
        nova_cellmap.configure(self.conf)
        copies = sa.create_engine(replica.url, poolclass=sa.NullPool)
        with copies.begin() as connection:
            for table in self.cell_table.metadata.sorted_tables:
                # By their keys: Nova's table calls the column of a cell's uuid by another name.
                keys = table.c.keys()
                rows = [dict(zip(keys, row, strict=True)) for row in self.execute(table.select())]
                if rows:
                    connection.execute(table.insert(), rows)
        return replica

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
            self.cell_table.update().where(self.cell_table.c.uuid == cell.uuid).values(values)
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


def _database(kind: str, server: str | None = None, schema: str = 'own') -> fixtures.Database:
    key = server or kind, schema
    if key not in _databases:
        database = fixtures.Database(kind, server, schema=schema)
        database.setUp()
        atexit.register(database.cleanUp)
        database.make_schema()
        _databases[key] = database
    return _databases[key]


def _conductor(database: fixtures.Database) -> fixtures.Conductor:
    key = database.server, database.schema
    if key not in _conductors:
        options = {} if database.state_path is None else {'state_path': database.state_path}
        conductor = fixtures.Conductor(database, {'DEFAULT': options})
        conductor.setUp()
        atexit.register(conductor.cleanUp)
        _conductors[key] = conductor
    return _conductors[key]
