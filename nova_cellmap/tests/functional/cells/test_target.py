# SPDX-License-Identifier: Apache-2.0
"""Working in a cell, and the connections that are kept for it."""

from collections.abc import Callable
from concurrent import futures
import contextlib
import datetime
import os
import threading
import time
from typing import Any
import uuid

from oslo_db import exception as db_exc
import oslo_messaging
import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import cells
from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap import runtime
from nova_cellmap.cells import connections
from nova_cellmap.cells import target
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api
from nova_cellmap.db import transaction
from nova_cellmap.objects import CellMapping
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.cells import servers
from nova_cellmap.upkeep import registration

_instances = nova_cell.instances


class _Case(cells_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # Before the databases are given back: what is open would keep them from being emptied.
        self.addCleanup(target.forget_all)

    def override(self, **options: Any) -> None:
        for name, value in options.items():
            self.conf.set_override(name, value, group='cells')

    def in_cell(self, cell: CellMapping | None = None) -> Any:
        return target.target_cell(self.context, cell or self.cell)

    def uuids(self, cell: CellMapping | None = None) -> set[str]:
        """The instances in a cell, by way of its target."""
        with self.in_cell(cell) as context:
            return _uuids(context)

    def loaded(self, cell: CellMapping | None = None) -> CellMapping:
        return CellMapping.get_by_uuid(self.context, (cell or self.cell).uuid)

    def move(self, nova: sa.Engine) -> CellMapping:
        """Have ``cell1`` be in another database; answer its mapping."""
        # A mapping's times have no fraction of a second; here it is older than the change.
        self.execute(sa.text("UPDATE cell_mapping SET created_at = '2020-01-01'"))
        changes = {'database_connection': cells_base.url_of(nova)}
        return registration.update_cell(self.context, self.conf, self.loaded(), **changes)


def _uuids(context: RequestContext) -> set[str]:
    with context.cell.reader() as connection:
        return set(connection.execute(sa.select(_instances.c.uuid)).scalars())


@base.on_each_database
class Blocks(_Case):
    """What can be done in a block."""

    def test_what_is_in_the_cell_can_be_read(self) -> None:
        expected = {nova_cell.add(self.nova), nova_cell.add(self.nova)}
        self.assertEqual(expected, self.uuids())

    def test_what_is_written_is_there_at_the_end_of_the_block(self) -> None:
        values = {'uuid': base.new_uuid(), 'deleted': 0}
        with self.in_cell() as context:
            with context.cell.writer() as connection:
                connection.execute(_instances.insert().values(values))
                self.assertEqual(1, len(set(connection.execute(sa.select(_instances.c.uuid)))))
            self.assertEqual({values['uuid']}, _uuids(context))

    def test_an_error_takes_back_what_was_written(self) -> None:
        def fail() -> None:
            with self.in_cell() as context, context.cell.writer() as connection:
                connection.execute(_instances.insert().values(uuid='x', deleted=0))
                raise exception.DatabaseBusy()

        self.assertRaises(exception.DatabaseBusy, fail)
        self.assertEqual(set(), self.uuids())

    def test_blocks_within_blocks_share_a_transaction(self) -> None:
        with (
            self.in_cell() as context,
            context.cell.writer() as outer,
            context.cell.reader() as inner,
        ):
            self.assertIs(outer, inner)

    def test_the_enginefacade_gives_sessions(self) -> None:
        uuid = nova_cell.add(self.nova)
        with (
            self.in_cell() as context,
            context.cell.database.reader.using(context) as session,
        ):
            self.assertEqual(uuid, session.execute(sa.select(_instances.c.uuid)).scalar_one())

    def test_text_beyond_the_first_plane_of_unicode_arrives(self) -> None:
        with self.in_cell() as context, context.cell.reader() as connection:
            found = connection.execute(sa.select(sa.bindparam('x', '🙂', sa.Text))).scalar_one()
        self.assertEqual('🙂', found)

    def test_errors_of_statements_are_oslo_dbs(self) -> None:
        def fail() -> None:
            with self.in_cell() as context, context.cell.reader() as connection:
                connection.execute(sa.text('SELECT * FROM nosuch'))

        self.assertRaises((db_exc.DBError, sa.exc.DBAPIError), fail)

    def test_the_mapping_and_a_cell_are_two_transactions(self) -> None:
        with api.writer(self.context):
            self.make_cell(name='unfinished')
            with self.in_cell() as context:
                self.assertRaises(db_exc.NoEngineContextEstablished, getattr, context, 'session')
                with context.cell.reader() as connection:
                    self.assertIsNot(connection, transaction.connection(self.context))
            self.assertIsNotNone(transaction.connection(self.context))


class Contexts(_Case):
    def test_the_callers_context_stays_as_it_is(self) -> None:
        before = dict(vars(self.context))
        with self.in_cell() as context:
            self.assertIsNot(context, self.context)
            self.assertEqual(self.cell.uuid, context.cell.uuid)
            self.assertEqual(self.cell.identity, context.cell.identity)
            self.assertRaises(exception.NoCellTargeted, getattr, self.context, 'cell')
        self.assertEqual(before, vars(self.context))

    def test_the_copy_is_the_same_request(self) -> None:
        self.context.roles = ['reader']
        with self.in_cell() as context:
            self.assertIs(RequestContext, type(context))
            self.assertEqual(self.context.to_dict(), context.to_dict())
            context.roles.append('admin')
        self.assertEqual(['reader'], self.context.roles)

    def test_a_context_of_the_callers_own_class_is_copied_as_such(self) -> None:
        class Theirs(RequestContext):
            pass

        theirs = Theirs(overwrite=False)
        theirs.extra = 'x'  # type: ignore[attr-defined]
        with target.target_cell(theirs, self.cell) as context:
            self.assertEqual((Theirs, 'x'), (type(context), context.extra))  # type: ignore[attr-defined]

    def test_after_the_block_the_copy_has_no_cell(self) -> None:
        with self.in_cell() as context:
            pass
        self.assertRaises(exception.NoCellTargeted, getattr, context, 'cell')

    def test_targets_within_targets(self) -> None:
        other, _ = self.new_cell('cell2')
        with self.in_cell() as outer, target.target_cell(outer, other) as inner:
            self.assertEqual((self.cell.uuid, other.uuid), (outer.cell.uuid, inner.cell.uuid))

    def test_no_cell_gives_a_copy_without_one(self) -> None:
        with self.in_cell() as outer, target.target_cell(outer, None) as inner:
            self.assertIsNot(outer, inner)
            self.assertRaises(exception.NoCellTargeted, getattr, inner, 'cell')

    def test_the_cell_does_not_travel(self) -> None:
        with self.in_cell() as context:
            arrived = RequestContext.from_dict(context.to_dict(), overwrite=False)
        self.assertRaises(exception.NoCellTargeted, getattr, arrived, 'cell')


class Nowhere(_Case):
    """Cells that lead nowhere."""

    def error_of(self, url: str) -> str:
        cell = self.stored_cell(name='odd', database_connection=url)
        error = self.assertRaises(exception.CellUnreachable, self.uuids, cell)
        self.assertIn(cell.identity, str(error))
        self.assertNotIn('sekret', str(error))
        cell.destroy()
        return str(error)

    def test_none_is_none(self) -> None:
        cell = self.make_cell()
        with self.in_cell(cell) as context:
            self.assertEqual((None, None), (context.cell.database, context.cell.transport))
        self.assertIn('it has none', self.error_of('none:///'))

    def test_a_template_that_nothing_fills(self) -> None:
        self.assertIn('is a template', self.error_of('mysql+pymysql://u:sekret@{hostname}/x'))

    def test_what_is_no_url(self) -> None:
        self.assertIn('Not a usable', self.error_of('nosuch://u:sekret@db/x'))

    def test_a_host_that_refuses(self) -> None:
        self.assertIn('efused', self.error_of(servers.mariadb_at(servers.refusing_port())))

    def test_a_host_that_says_nothing(self) -> None:
        self.override(read_timeout=1)
        url = servers.mariadb_at(servers.silent_port(self))
        self.assertIn('timed out', self.error_of(url))

    def test_a_parameter_that_the_driver_does_not_know(self) -> None:
        self.assertIn('nosuch', self.error_of('mysql+pymysql://u:sekret@127.0.0.1:1/x?nosuch=1'))

    def test_message_queues(self) -> None:
        urls = {
            'rabbit://u:sekret@{hostname}/': 'is a template',
            'rabbit://u:sekret@host:port/': 'Not a usable transport URL',
            'u:sekret@host': 'Not a usable transport URL',
            'nosuch://u:sekret@host/': 'nosuch',
        }
        for url, expected in urls.items():
            cell = self.stored_cell(transport_url=url)
            with self.in_cell(cell) as context:
                error = self.assertRaises(exception.InvalidURL, getattr, context.cell, 'transport')
            self.assertIn(expected, str(error))
            self.assertIn(cell.identity, str(error))
            self.assertNotIn('sekret', str(error))


class Queues(_Case):
    def test_a_cell_is_called_over_its_message_queue(self) -> None:
        class Endpoint:
            def greet(self, context: dict[str, Any], name: str) -> str:
                return f'hello {name}'

        cell = self.make_cell(transport_url=os.environ['NOVA_CELLMAP_TEST_RABBITMQ_URL'])
        topic = f'test-{uuid.uuid4().hex}'
        with self.in_cell(cell) as context:
            transport = context.cell.transport
            server = oslo_messaging.get_rpc_server(
                transport, oslo_messaging.Target(topic=topic, server='here'), [Endpoint()]
            )
            server.start()
            client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic=topic))
            self.assertEqual('hello you', client.call({}, 'greet', name='you'))
            server.stop()
            server.wait()
        with self.in_cell(cell) as context:
            self.assertIs(transport, context.cell.transport)


@base.on_each_database
class Kept(_Case):
    """The connections that are kept, and when they are closed."""

    def test_the_next_block_finds_them_open(self) -> None:
        with self.in_cell() as context:
            first = context.cell.database
        for _ in range(3):
            self.uuids()
        with self.in_cell(self.loaded()) as context:
            self.assertIs(first, context.cell.database)
        self.assertEqual(1, target.count_open())
        self.assertLessEqual(servers.connections_to(self.nova), 1)

    def test_what_a_server_closed_meanwhile_is_opened_again(self) -> None:
        self.uuids()
        _kill_connections_to(self.nova)
        self.assertEqual(set(), self.uuids())

    def test_an_updated_cell_is_elsewhere_at_once(self) -> None:
        self.uuids()
        other = self.new_nova()
        expected = nova_cell.add(other)
        self.move(other)
        self.assertEqual({expected}, self.uuids(self.loaded()))
        self.assertEqual(1, target.count_open())
        servers.wait_for_no_connections_to(self.nova)

    def test_who_is_in_the_old_place_may_finish(self) -> None:
        expected = nova_cell.add(self.nova)
        with self.in_cell() as context, context.cell.reader():
            self.uuids(self.move(self.new_nova()))
            self.assertEqual({expected}, _uuids(context))
        self.assertEqual(1, target.count_open())
        servers.wait_for_no_connections_to(self.nova)

    def test_who_has_the_old_mapping_does_not_close_the_new_place(self) -> None:
        expected, old = nova_cell.add(self.nova), self.loaded()
        new = self.move(self.new_nova())
        old.created_at = new.created_at
        with self.in_cell(new) as context:
            database = context.cell.database
        self.assertEqual({expected}, self.uuids(old))
        with self.in_cell(new) as context:
            self.assertIs(database, context.cell.database)
        self.assertEqual(1, target.count_open())
        servers.wait_for_no_connections_to(self.nova)

    def test_a_clock_that_is_ahead_costs_no_connection_for_each_call(self) -> None:
        cell, later = self.move(self.new_nova()), self.move(self.nova)
        assert later.updated_at is not None
        cell.updated_at = later.updated_at + datetime.timedelta(hours=1)
        self.uuids(cell)
        databases = []
        for _ in range(8):
            with self.in_cell(later) as context:
                databases.append(context.cell.database)
        self.assertEqual(1, len({id(database) for database in databases[-4:]}))
        self.assertEqual(1, target.count_open())

    def test_a_cell_that_moves_back_is_where_it_was(self) -> None:
        expected, other = nova_cell.add(self.nova), self.new_nova()
        self.uuids()
        self.assertEqual(set(), self.uuids(self.move(other)))
        self.assertEqual({expected}, self.uuids(self.move(self.nova)))
        self.assertEqual(1, target.count_open())
        servers.wait_for_no_connections_to(other)

    def test_two_cells_in_one_database_share_them(self) -> None:
        twin = self.make_cell(name='twin', database_connection=cells_base.url_of(self.nova))
        self.uuids()
        self.uuids(twin)
        self.assertEqual(1, target.count_open())
        target.forget([twin.uuid])
        self.assertEqual(1, target.count_open())
        target.forget([self.cell.uuid])
        self.assertEqual(0, target.count_open())

    def test_a_cell_that_is_removed_is_closed(self) -> None:
        self.uuids()
        self.assertEqual(1, target.count_open())
        registration.delete_cell(self.context, self.loaded())
        self.assertEqual(0, target.count_open())

    def test_they_are_found_in_the_package(self) -> None:
        self.assertIs(target.target_cell, cells.target_cell)
        for name in cells.__all__:
            self.assertTrue(callable(getattr(cells, name)))

    def test_a_cell_that_is_forgotten_is_closed(self) -> None:
        self.uuids()
        target.forget([self.cell.uuid, base.new_uuid()])
        self.assertEqual(0, target.count_open())
        servers.wait_for_no_connections_to(self.nova)
        self.uuids()
        target.forget_all_but([self.cell.uuid])
        self.assertEqual(1, target.count_open())
        target.forget_all_but([])
        self.assertEqual(0, target.count_open())

    def test_no_more_are_kept_than_may_be(self) -> None:
        self.override(max_open_cells=2)
        cells = [self.new_cell(f'other{number}') for number in range(3)]
        with self.in_cell() as context:
            for cell, _ in cells:
                self.uuids(cell)
            self.assertEqual(2, target.count_open())
            self.assertEqual(set(), _uuids(context))
        for _, nova in cells[:2]:
            servers.wait_for_no_connections_to(nova)

    def test_more_than_may_be_kept_can_be_used_at_once(self) -> None:
        self.override(max_open_cells=1)
        other, _ = self.new_cell('other')
        with self.in_cell() as one, self.in_cell(other) as two:
            self.assertEqual((set(), set()), (_uuids(one), _uuids(two)))
            self.assertEqual(2, target.count_open())
        self.assertEqual(1, target.count_open())

    def test_what_nobody_uses_for_long_is_closed(self) -> None:
        self.uuids()
        self.override(idle_timeout=1)
        time.sleep(1.1)
        self.uuids(self.new_cell('other')[0])
        self.assertEqual(1, target.count_open())
        servers.wait_for_no_connections_to(self.nova)

    def test_another_configuration_closes_those_of_the_one_before(self) -> None:
        self.uuids()
        nova_cellmap.configure(self.make_conf())
        self.uuids(self.new_cell('other')[0])
        self.assertEqual(1, target.count_open())
        servers.wait_for_no_connections_to(self.nova)


class _Lost(_Case):
    """A connection that is lost in the middle."""

    def test_while_reading(self) -> None:
        def read() -> None:
            with self.in_cell() as context, context.cell.reader() as connection:
                connection.execute(sa.select(_instances.c.uuid)).all()
                _kill_connections_to(self.nova)
                connection.execute(sa.select(_instances.c.uuid)).all()

        self.assertRaises(exception.CellUnreachable, read)
        self.assertEqual(set(), self.uuids())

    def test_while_committing(self) -> None:
        def write() -> None:
            with self.in_cell() as context, context.cell.writer() as connection:
                connection.execute(_instances.insert().values(uuid='x', deleted=0))
                _kill_connections_to(self.nova)

        error = self.assertRaises(exception.CellUnreachable, write)
        self.assertIn('may or may not', str(error))
        self.assertEqual(set(), self.uuids())


class LostMariadb(_Lost):
    kind = 'mariadb'

    def test_a_statement_that_takes_too_long(self) -> None:
        def sleep() -> None:
            with self.in_cell() as context, context.cell.reader() as connection:
                connection.execute(sa.text('SELECT SLEEP(30)'))

        self.override(read_timeout=1)
        began = time.monotonic()
        self.assertRaises(exception.CellUnreachable, sleep)
        self.assertLess(time.monotonic() - began, 10)


class LostPostgresql(_Lost):
    kind = 'postgresql'


del _Lost


@base.on_each_database
class Races(_Case):
    def test_a_url_is_changed_under_running_lookups(self) -> None:
        """Every lookup is in the old or the new database, and the old one is left in the end."""
        other = self.new_nova()
        old, new = nova_cell.add(self.nova), nova_cell.add(other)
        places = {old: self.nova, new: other}
        end, seen = threading.Event(), []

        def look_up() -> None:
            stale = self.loaded()
            while not end.is_set():
                # Some ask for the mapping each time, some only now and then.
                for cell in (self.loaded(), stale):
                    [found] = self.uuids(cell)
                    seen.append(found)
                stale = self.loaded()

        with futures.ThreadPoolExecutor(6) as threads:
            running = [threads.submit(look_up) for _ in range(6)]
            try:
                for place in (other, self.nova, other):
                    time.sleep(0.4)
                    changed = self.move(place)
                time.sleep(0.4)
            finally:
                end.set()
            for each in running:
                each.result()
        self.assertEqual(places.keys(), set(seen))
        self.assertEqual({new}, self.uuids(changed))
        self.assertEqual(1, target.count_open())
        servers.wait_for_no_connections_to(self.nova)

    def test_many_threads_in_more_cells_than_are_kept_open(self) -> None:
        self.override(max_open_cells=2)
        cells = [self.cell, *(self.new_cell(f'cell{number}')[0] for number in range(2, 6))]

        def work(number: int) -> int:
            return sum(len(self.uuids(cells[(number + turn) % 5])) for turn in range(20))

        with futures.ThreadPoolExecutor(8) as threads:
            self.assertEqual([0] * 8, list(threads.map(work, range(8))))
        self.assertEqual(2, target.count_open())


@base.on_each_database
class Forks(_Case):
    """A child has connections of its own, and leaves its parent's alone."""

    def in_child(self, work: Callable[[], bool]) -> bool:
        """What a child answers, which must come within seconds."""
        pid = os.fork()
        if pid == 0:
            status = 2
            with contextlib.suppress(BaseException):
                status = 0 if work() else 1
            os._exit(status)
        end = time.monotonic() + 20
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                raise AssertionError('the child hangs')
            time.sleep(0.01)
        return True

    def test_the_parents_connections_survive_the_child(self) -> None:
        expected = {nova_cell.add(self.nova)}
        with self.in_cell() as context, context.cell.reader() as connection:
            query = sa.select(_instances.c.uuid)
            self.assertEqual(expected, set(connection.execute(query).scalars()))
            with self.in_cell(self.cell):
                self.check(lambda: self.uuids(self.child_cell()) == expected)
            self.assertEqual(expected, set(connection.execute(query).scalars()))
        self.assertEqual(expected, self.uuids())

    def child_cell(self) -> CellMapping:
        # Not loaded: the mapping's own connections are another matter.
        return self.cell

    def check(self, work: Callable[[], bool]) -> None:
        read, write = os.pipe()
        self.in_child(lambda: bool(os.write(write, b'1' if work() else b'0')))
        os.close(write)
        answer = os.read(read, 1)
        os.close(read)
        self.assertEqual(b'1', answer)

    def test_a_context_that_was_targeted_in_the_parent_is_refused(self) -> None:
        def is_refused() -> bool:
            try:
                context.cell.reader()
            except exception.NoCellTargeted:
                return True
            return False

        with self.in_cell() as context:
            _uuids(context)
            self.check(is_refused)

    def test_a_lock_that_is_held_during_the_fork_stays_with_the_parent(self) -> None:
        with self.in_cell(), runtime.default().part(connections.Cache)._lock:
            self.check(lambda: self.uuids(self.child_cell()) == set())

    def test_a_block_that_the_child_leaves_closes_nothing(self) -> None:
        def leave() -> bool:
            stack.close()
            return target.count_open() == 0

        with contextlib.ExitStack() as stack:
            context = stack.enter_context(self.in_cell())
            _uuids(context)
            self.check(leave)
            self.assertEqual(set(), _uuids(context))


def _kill_connections_to(nova: sa.Engine) -> None:
    nova.dispose()
    if nova.dialect.name == 'sqlite':
        return
    if nova.dialect.name == 'postgresql':
        beside = nova.url.set(database='postgres')
        query = 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name'
    else:
        beside = nova.url.set(database='information_schema')
        query = 'SELECT id FROM processlist WHERE db = :name'
    engine = fixtures.engine(beside, poolclass=sa.NullPool)
    with engine.connect() as connection:
        rows = connection.execute(sa.text(query), {'name': nova.url.database}).all()
        if nova.dialect.name != 'postgresql':
            for row in rows:
                connection.exec_driver_sql(f'KILL {row.id}')
