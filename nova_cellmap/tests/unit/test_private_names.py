# SPDX-License-Identifier: Apache-2.0
"""The private names of libraries that are used: a test fails when one goes, or changes.

They are listed in ``doc/source/contributor/private_names.rst``.
"""

import ast
import importlib.util
import pathlib
import re
import socket
import time
import types
from typing import Any, NamedTuple

from cliff import command
from oslo_config import cfg
from oslo_db.sqlalchemy import enginefacade
import oslo_messaging
from oslo_messaging._drivers import amqp
from oslo_versionedobjects import base as library
import pymemcache
import pymysql
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite

import nova_cellmap
from nova_cellmap import context as contexts
from nova_cellmap import objects
from nova_cellmap import rpc
from nova_cellmap.cli import base as cli_base
from nova_cellmap.context import RequestContext
from nova_cellmap.db import engine
from nova_cellmap.db import migrate_repo
from nova_cellmap.db import statements
from nova_cellmap.db import version_control
from nova_cellmap.db.caching import limited
from nova_cellmap.objects import base
from nova_cellmap.objects import fields
from nova_cellmap.objects import storage
from nova_cellmap.tests import base as tests_base

_PACKAGE = pathlib.Path(nova_cellmap.__file__).parent
_PAGE = _PACKAGE.parent / 'doc/source/contributor/private_names.rst'


class VersionedObjects(tests_base.TestCase):
    """oslo.versionedobjects"""

    def test_prefix_of_fields(self) -> None:
        by_library = _ByLibrary(name='x')
        self.assertEqual('x', vars(by_library)[storage.attribute('name')])
        self.assertEqual('x', storage.value(by_library, 'name'))
        vars(by_library)[storage.attribute('name')] = 'y'
        self.assertEqual('y', by_library.name)
        vars(by_library).pop(storage.attribute('name'))
        self.assertFalse(by_library.obj_attr_is_set('name'))

    def test_changed_fields(self) -> None:
        by_library = _ByLibrary(name='x')
        self.assertEqual({'name'}, storage.changed(by_library))
        vars(by_library)[storage.CHANGED] = set()
        self.assertEqual(set(), by_library.obj_what_changed())
        # Ours are made when they are asked for.
        self.assertEqual(set(), objects.CellMapping().obj_what_changed())
        self.assertEqual({'name'}, objects.CellMapping(name='x').obj_what_changed())

    def test_context_of_an_object(self) -> None:
        """An object that is made without the library's __init__ lacks nothing."""
        by_library, ours = _ByLibrary('a context'), storage.new(_ByLibrary, 'a context')
        self.assertEqual('a context', ours.obj_context)
        self.assertEqual(vars(by_library), {**vars(ours), '_changed_fields': set()})

    def test_reading_of_a_class(self) -> None:
        primitive = objects.CellMapping(name='x').obj_to_primitive()
        method = classmethod(lambda cls, context, version, given: (cls, version, given))
        self.patch(objects.CellMapping, '_obj_from_primitive', method)
        by_library: Any = library.VersionedObject.obj_from_primitive
        found = by_library.__func__(base.CellMapObject, primitive)
        self.assertEqual((objects.CellMapping, objects.CellMapping.VERSION, primitive), found)

    def test_reading_of_a_serializer(self) -> None:
        class Serializer(base.CellMapObjectSerializer):
            def _process_object(self, context: Any, objprim: dict[str, Any]) -> Any:
                return 'processed'

        primitive = objects.CellMapping(name='x').obj_to_primitive()
        found = Serializer().deserialize_entity(None, [primitive, {'a': primitive}])
        self.assertEqual(['processed', {'a': 'processed'}], found)


@library.VersionedObjectRegistry.objectify
class _ByLibrary(library.VersionedObject):
    fields = {'name': fields.StringField()}


class Databases(tests_base.TestCase):
    """oslo.db, SQLAlchemy, sqlalchemy-migrate and drivers"""

    def test_transactions_of_a_context(self) -> None:
        manager: Any = enginefacade.transaction_context()
        manager.configure(connection='sqlite://')
        context: Any = RequestContext()
        with manager.reader.using(context):
            self.assertIn('_enginefacade_context', vars(context))
            self.assertNotIn('_enginefacade_context', vars(contexts.copy_of(context)))

    def test_mark_of_a_begun_transaction(self) -> None:
        manager: Any = enginefacade.transaction_context()
        manager.configure(connection='sqlite://')
        its_engine = manager.writer.get_engine()
        begun: list[str] = []
        event.listen(its_engine, 'before_cursor_execute', lambda *given: begun.append(given[2]))
        with its_engine.begin():
            self.assertEqual(['BEGIN'], begun)
        with its_engine.connect() as connection:
            connection.info['in_transaction'] = True
            with connection.begin():
                self.assertEqual(['BEGIN'], begun)

    def test_listeners_of_an_engine(self) -> None:
        for name in (
            'before_cursor_execute',
            'after_cursor_execute',
            'before_execute',
            'after_execute',
        ):
            its_engine = sa.create_engine('sqlite://')
            self.assertFalse(engine.is_watched(its_engine))
            event.listen(its_engine, name, lambda *_: None)
            self.assertTrue(engine.is_watched(its_engine), name)

    def test_parameters_of_a_statement(self) -> None:
        table = sa.Table('t', sa.MetaData(), sa.Column('a', sa.Integer), sa.Column('b', sa.Text))
        select = sa.select(table).where(table.c.b == sa.bindparam('y'), table.c.a == 5)
        positional = select.compile(dialect=sqlite.dialect())
        self.assertEqual(('y', 'a_1'), statements.positions(positional))
        by_name_dialect: Any = postgresql.dialect
        named = select.compile(dialect=by_name_dialect(paramstyle='pyformat'))
        self.assertEqual((), statements.positions(named))
        for compiled in (positional, named):
            by_name = {name: bind for bind, name in compiled.bind_names.items()}
            self.assertEqual({'y', 'a_1'}, by_name.keys())
            self.assertIsInstance(by_name['y'].type, sa.Text)
            self.assertEqual(5, by_name['a_1'].value)

    def test_keys_of_new_rows(self) -> None:
        for dialect, told in ((mysql, True), (sqlite, True), (postgresql, False)):
            its_dialect: Any = dialect.dialect
            self.assertIs(told, its_dialect().postfetch_lastrowid)

    def test_module_of_a_script(self) -> None:
        repository = version_control.open_repository(migrate_repo)
        script = repository.version(1).script()
        script._module = types.ModuleType('its own')
        self.assertIs(script._module, script.module)

    def test_making_of_the_version_table(self) -> None:
        made = []

        class Schema(version_control.ControlledSchema):
            @classmethod
            def _create_table_version(cls, *given: Any) -> Any:
                made.append(given[1:])
                return super()._create_table_version(*given)

        repository = version_control.open_repository(migrate_repo)
        its_engine = sa.create_engine('sqlite://', poolclass=sa.pool.StaticPool)
        Schema.load_or_create(its_engine, repository)
        self.assertEqual([(repository, 0)], made)

    def test_socket_of_pymysql(self) -> None:
        self.assertIsNone(pymysql.Connection(defer_connect=True)._sock)

    def test_security_of_pymysql(self) -> None:
        self.assertIs(False, pymysql.Connection(defer_connect=True)._secure)

    def test_socket_of_pymemcache(self) -> None:
        with socket.create_server(('127.0.0.1', 0)) as server:
            client = limited.client_class(pymemcache.Client)(server.getsockname())
            client.limits.allow(time.monotonic() + 60, 1000)
            self.assertFalse(client.is_connected)
            client.set('key', 'value', noreply=True)
            self.assertTrue(client.is_connected)
            client.close()
            self.assertFalse(client.is_connected)


class Messaging(tests_base.TestCase):
    """oslo.messaging"""

    def setUp(self) -> None:
        super().setUp()
        self.conf = cfg.ConfigOpts()
        self.conf([], default_config_files=[])

    def test_options_of_metrics(self) -> None:
        rpc.register_opts(self.conf)
        self.assertFalse(self.conf.oslo_messaging_metrics.metrics_enabled)

    def test_options_of_tracing(self) -> None:
        if importlib.util.find_spec('oslo_messaging._tracing') is None:
            self.skipTest('this release of oslo.messaging has none')
        rpc.register_opts(self.conf)
        self.assertIn('oslo_messaging_tracing', self.conf)

    def test_consumers_of_a_server(self) -> None:
        rpc.register_opts(self.conf)
        # A message queue within this process.
        transport = oslo_messaging.get_rpc_transport(self.conf, 'kombu+memory:////')
        self.addCleanup(transport.cleanup)
        target = oslo_messaging.Target(topic='topic', server='here')
        server: Any = oslo_messaging.get_rpc_server(transport, target, [])
        server.start()
        self.addCleanup(server.wait)
        self.addCleanup(server.stop)
        connection = server.listener._poll_style_listener.conn
        with connection._connection_lock:
            queues = {consumer.queue_name: tag for consumer, tag in connection._consumers.items()}
        self.assertLessEqual({'topic', 'topic.here'}, queues.keys())

    def test_keys_of_a_message(self) -> None:
        message = {'_msg_id': 'm', '_reply_q': 'q', '_timeout': 5, 'method': 'x'}
        amqp._add_unique_id(message)
        self.assertIn('_unique_id', message)
        context = amqp.unpack_context(message)
        found = context.msg_id, context.reply_q, context.client_timeout
        self.assertEqual(('m', 'q', 5), found)


class Commands(tests_base.TestCase):
    """cliff and oslo.config"""

    def test_option_of_another(self) -> None:
        conf = cfg.ConfigOpts()
        option = cfg.StrOpt('name')
        conf.register_opt(option, group='group')
        self.assertIs(option, conf._get_opt_info('name', 'group')['opt'])

    def test_help_formatter(self) -> None:
        class Command(command.Command):
            def take_action(self, parsed_args: Any) -> None:
                pass

        its_own = Command(None, None).get_parser('x').formatter_class  # type: ignore[arg-type]
        self.assertTrue(issubclass(cli_base._HelpFormatter, its_own))  # type: ignore[arg-type]


class Page(tests_base.TestCase):
    """The page lists all names, where they are, and these tests."""

    def test_each_name_is_where_the_page_says(self) -> None:
        for row in rows():
            for name in row.names:
                text = (_PACKAGE.parent / row.place).read_text(encoding='utf-8')
                self.assertIsNotNone(re.search(rf'\b{re.escape(name)}', text), f'{name}: {row}')

    def test_each_name_has_a_test(self) -> None:
        classes = (VersionedObjects, Databases, Messaging, Commands)
        tests = {name for cls in classes for name in vars(cls) if name.startswith('test_')}
        self.assertEqual(tests, {f'test_{row.test}' for row in rows()})

    def test_no_other_private_name_is_used(self) -> None:
        listed = {(row.place, name.rpartition('.')[2]) for row in rows() for name in row.names}
        for path in sorted(_PACKAGE.rglob('*.py')):
            place = str(path.relative_to(_PACKAGE.parent))
            if '/tests/' not in place:
                for name in foreign_names(ast.parse(path.read_text(encoding='utf-8'))):
                    self.assertIn((place, name), listed)


class _Row(NamedTuple):
    names: list[str]
    place: str
    test: str


def rows() -> list[_Row]:
    """The rows of the page's table."""
    found = []
    for row in _PAGE.read_text(encoding='utf-8').split('\n   * - ')[2:]:
        _, names, place, _, test = re.split(r'\n     - ', row.split('\n\n')[0])
        found.append(
            _Row(re.findall('``(.+?)``', names), place.strip('`'), test.strip().strip('`'))
        )
    return found


def foreign_names(module: ast.Module) -> set[str]:
    """The private names that a module uses, of objects or modules, and does not make itself."""
    used: set[str] = set()
    made: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            of = node.value
            is_own = isinstance(of, ast.Name) and of.id in ('self', 'cls')
            (made if is_own else used).add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            used |= {alias.name for alias in node.names if _is_private(alias.name)}
            used |= {part for part in (node.module or '').split('.') if _is_private(part)}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            made.add(node.id)
    return used - made


def _is_private(name: str) -> bool:
    return name.startswith('_') and not name.startswith('__') and name not in _PUBLIC


# These are documented: of named tuples, and of SQLAlchemy's rows.
_PUBLIC = frozenset({'_', '_asdict', '_fields', '_make', '_mapping', '_replace'})
