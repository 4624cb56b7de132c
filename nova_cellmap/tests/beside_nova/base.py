# SPDX-License-Identifier: Apache-2.0
"""Nova and ours in one process, on one database that Nova's tables are in."""

import atexit
import dataclasses
import sys
from typing import Any, ClassVar
import uuid

from nova import context as nova_context
from nova import objects as nova_objects
from nova.conf import CONF
from nova.db.api import api as nova_api_db
from oslo_db.sqlalchemy import enginefacade
from oslo_db.sqlalchemy import test_fixtures
import oslo_messaging
import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import context
from nova_cellmap import objects
from nova_cellmap.db import session
from nova_cellmap.tests import base
from nova_cellmap.tests import fixtures
from nova_cellmap.tests import nova_api
from nova_cellmap.tests import nova_schema

# Those that Nova itself supports.
KINDS = ('sqlite', 'mariadb')

# One database a kind for all tests of the process: its schema takes longer than a test.
_databases: dict[str, fixtures.Database] = {}

nova_objects.register_all()


def on_each_database(suite: Any) -> None:
    """Have the tests of a class run on each kind of database."""
    module = sys.modules[suite.__module__]
    for kind in KINDS:
        name = f'{suite.__name__}{kind.capitalize()}'
        members = {'kind': kind, '__module__': suite.__module__, '__doc__': suite.__doc__}
        setattr(module, name, type(suite)(name, (suite,), members))


def new_uuid() -> str:
    return str(uuid.uuid4())


@dataclasses.dataclass(frozen=True)
class Side:
    """Nova's objects or ours, with a context to call them with."""

    objects: Any
    context: Any

    def make_cell(self, **values: Any) -> Any:
        needed = {
            'uuid': new_uuid(),
            'name': 'cell1',
            'transport_url': 'rabbit://u:p@mq:5672/',
            'database_connection': 'mysql+pymysql://u:p@db/nova_cell1',
        }
        cell = self.objects.CellMapping(self.context, **{**needed, **values})
        cell.create()
        return cell

    def make_mapping(self, **values: Any) -> Any:
        needed = {'instance_uuid': new_uuid(), 'project_id': 'project', 'user_id': 'user'}
        mapping = self.objects.InstanceMapping(self.context, **{**needed, **values})
        mapping.create()
        return mapping

    def mapping(self, uuid: str) -> Any:
        return self.objects.InstanceMapping.get_by_instance_uuid(self.context, uuid)

    def cell(self, uuid: str) -> Any:
        return self.objects.CellMapping.get_by_uuid(self.context, uuid)


class TestCase(base.TestCase):
    """A test with an empty database, which Nova and we are both configured for."""

    kind: ClassVar[str] = 'sqlite'

    def setUp(self) -> None:
        super().setUp()
        self.database = _database(self.kind)
        self.conf = self.database.conf(schema='nova')
        nova_cellmap.configure(self.conf)
        engine = fixtures.engine(self.database.url)
        self.addCleanup(engine.dispose)
        self.addCleanup(nova_api.empty, engine)
        self.engine = engine
        self.ours = Side(objects, context.get_admin_context())
        self.novas = Side(nova_objects, self._novas_context())
        self.both_ways = ((self.ours, self.novas), (self.novas, self.ours))

    def _novas_context(self) -> Any:
        CONF([], project='nova', default_config_files=[])
        # It registers transport_url.
        oslo_messaging.TransportURL(CONF)
        manager = enginefacade.transaction_context()
        manager.configure(connection=self.database.url)
        self.useFixture(
            test_fixtures.ReplaceEngineFacadeFixture(nova_api_db.context_manager, manager)
        )
        engine = manager.writer.get_engine()
        # The defaults of the tests' servers are none that Nova expects.
        session.settle(engine, 300)
        engine.dispose()
        self.addCleanup(engine.dispose)
        return nova_context.get_admin_context()

    def set_bases(self, database: str, queue: str) -> None:
        """What both fill templates from."""
        for conf in (self.conf, CONF):
            conf.set_override('connection', database, group='database')
            conf.set_override('transport_url', queue)
        self.addCleanup(CONF.clear_override, 'connection', group='database')
        self.addCleanup(CONF.clear_override, 'transport_url')

    def assert_same(self, one: Any, other: Any) -> None:
        """Both sides' objects of one row say the same, or both lists of them."""
        self.assertEqual(seen(one), seen(other))


def seen(obj: Any) -> Any:
    """What an object says that both sides have: its fields, those that are set."""
    if obj is None:
        return None
    if 'objects' in obj.fields:
        return [seen(member) for member in obj]
    names = set(obj.fields) - {'cell_uuid', 'cell_mapping'}
    values = {name: getattr(obj, name) for name in names if obj.obj_attr_is_set(name)}
    for name in ('created_at', 'updated_at'):
        if values.get(name):
            # Nova's object has more than the row, and its rows on SQLite more than elsewhere.
            values[name] = values[name].replace(microsecond=0)
    if 'cell_mapping' in obj.fields:
        values['cell_mapping'] = seen(obj.cell_mapping)
    return values


def _database(kind: str) -> fixtures.Database:
    if kind not in _databases:
        database = fixtures.Database(kind, created_with=nova_schema.CREATED_WITH[kind])
        database.setUp()
        atexit.register(database.cleanUp)
        engine = sa.create_engine(database.url)
        nova_schema.make(engine)
        engine.dispose()
        _databases[kind] = database
    return _databases[kind]
