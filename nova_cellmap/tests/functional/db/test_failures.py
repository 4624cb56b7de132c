# SPDX-License-Identifier: Apache-2.0
"""What is told of a server that is silent, full, locked, or not to be connected to."""

from collections.abc import Callable
from concurrent import futures
import time
import traceback
from typing import Any

import fixtures
import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import exception
from nova_cellmap import runtime
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api
from nova_cellmap.db import engine
from nova_cellmap.db import transaction
from nova_cellmap.tests import fixtures as our_fixtures
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.proxy import Mode
from nova_cellmap.tests.proxy import Proxy


class _Case(base.TestCase):
    def use(self, url: str | None = None, **options: Any) -> None:
        self.conf = self.database.conf(connection=url or self.database.url, **options)
        nova_cellmap.configure(self.conf)

    def calls(self) -> list[Callable[[], Any]]:
        """One of each kind."""
        values = {'instance_uuid': base.new_uuid(), 'project_id': 'p'}

        def block(kind: Any, call: Callable[[], Any]) -> None:
            with kind(self.context):
                call()

        def look_up() -> Any:
            return api.instance_mapping_get_by_instance_uuid(self.context, values['instance_uuid'])

        def create() -> Any:
            return api.instance_mapping_create(self.context, values)

        return [
            look_up,
            create,
            lambda: api.instance_mapping_get_all(self.context),
            lambda: api.instance_mapping_create_bulk(self.context, [values]),
            lambda: block(api.reader, look_up),
            lambda: block(api.writer, create),
        ]


class _Silent(_Case):
    def test_a_silent_server(self) -> None:
        self.make_mapping()
        proxy = self.useFixture(Proxy.to(self.database.url))
        url = proxy.url(self.database.url)
        for is_connected in (True, False):
            for call in self.calls():
                proxy.act(Mode.PASS)
                self.use(url, connect_timeout=2, read_timeout=1, call_timeout=2)
                if is_connected:
                    api.instance_mapping_get_all(self.context)
                    self.make_mapping()
                proxy.act(Mode.HOLE)
                logger = self.useFixture(fixtures.FakeLogger(format='%(name)s %(message)s'))
                begun = time.monotonic()
                self.assertRaises(exception.DatabaseUnreachable, call)
                # Twice what the options say, and what a crowded machine takes.
                self.assertLess(time.monotonic() - begun, 20)
                # Other tests' connections to their message queues may have something to say.
                lines = [
                    line
                    for line in logger.output.splitlines()
                    if not line.startswith(('oslo.messaging', 'oslo_messaging', 'amqp', 'kombu'))
                ]
                self.assertLessEqual(len(lines), 2, lines)
                proxy.cut()


class SilentMariadb(_Silent):
    kind = 'mariadb'


class SilentPostgresql(_Silent):
    kind = 'postgresql'


del _Silent


class _Busy(_Case):
    def test_a_pool_without_a_free_connection(self) -> None:
        self.use(max_pool_size=1, max_overflow=0, pool_timeout=1, call_timeout=1)
        with api.writer(self.context):
            self.make_mapping()
            with futures.ThreadPoolExecutor(1) as pool:
                values = {'instance_uuid': base.new_uuid(), 'project_id': 'p'}
                other = pool.submit(api.instance_mapping_create, RequestContext(), values)
                error = self.assertRaises(exception.DatabaseBusy, other.result)
        self.assertIn('QueuePool limit', str(error))

    def test_a_row_that_others_keep_locked(self) -> None:
        uuid = self.make_mapping().instance_uuid
        self.use(read_timeout=2, call_timeout=2)
        beside = sa.create_engine(self.database.url)
        self.addCleanup(beside.dispose)
        table = self.mapping_table
        query = sa.select(table.c.id).where(table.c.instance_uuid == uuid).with_for_update()
        with beside.begin() as connection:
            connection.execute(query)
            self.assertRaises(
                exception.DatabaseBusy,
                api.instance_mapping_update,
                self.context,
                uuid,
                {'user_id': 'x'},
            )
        api.instance_mapping_update(self.context, uuid, {'user_id': 'x'})

    def test_a_query_that_takes_too_long_is_sent_once(self) -> None:
        self.use(read_timeout=1, call_timeout=10)
        sent = []

        @transaction.reads
        def sleep(context: Any) -> None:
            sent.append(1)
            context.connection.exec_driver_sql(self.sleep)

        self.assertRaises(exception.DatabaseBusy, sleep, self.context)
        self.assertEqual([1], sent)

    sleep: str


class BusyMariadb(_Busy):
    kind = 'mariadb'
    sleep = 'SELECT COUNT(*) FROM seq_1_to_1000000000 WHERE SHA2(seq, 256) = 1'


class BusyPostgresql(_Busy):
    kind = 'postgresql'
    sleep = 'SELECT pg_sleep(30)'


class BusyNovaMariadb(BusyMariadb):
    schema = 'nova'


class BusyNovaPostgresql(BusyPostgresql):
    schema = 'nova'


del _Busy


class ReadOnlyPostgresql(_Case):
    kind = 'postgresql'

    def test_a_server_that_takes_no_writes_is_left(self) -> None:
        name = sa.make_url(self.database.url).database
        only_reads = f'ALTER DATABASE {name} SET default_transaction_read_only = on'
        again = f'ALTER DATABASE {name} RESET default_transaction_read_only'
        self.execute(sa.text(only_reads))
        self.use(db_max_retries=1)
        try:
            error = self.assertRaises(exception.DatabaseUnreachable, self.make_mapping)
            self.assertIn('read-only', str(error))
        finally:
            other = sa.create_engine(self.database.url, isolation_level='AUTOCOMMIT')
            with other.connect() as connection:
                connection.exec_driver_sql('SET default_transaction_read_only = off')
                connection.exec_driver_sql(again)
            other.dispose()
        self.make_mapping()


class ReadOnlyNovaPostgresql(ReadOnlyPostgresql):
    schema = 'nova'


class _Wrong(_Case):
    """A URL by which nobody can connect: said at once, with what is wrong in it."""

    def assert_says(self, what: str, url: str) -> None:
        for call in self.calls():
            try:
                self.use(url)
            except exception.InvalidURL as refused:
                self.assertIn(what, str(refused))
                return
            begun = time.monotonic()
            error = self.assertRaises(exception.DatabaseUnreachable, call)
            self.assertIn(what, str(error))
            self.assertNotIn('hush', str(error))
            self.assertLess(time.monotonic() - begun, 20)

    def url(self, parameters: str = '', **parts: Any) -> str:
        # What the tests' own has would keep the driver from looking at files.
        url = sa.make_url(self.database.url).difference_update_query(['ssl_disabled']).set(**parts)
        text = url.render_as_string(hide_password=False)
        return text + (('&' if '?' in text else '?') + parameters if parameters else '')

    def test_parameters(self) -> None:
        for parameter, what in self.parameters.items():
            self.assert_says(what, self.url(parameter))

    def test_a_database_that_is_not_there(self) -> None:
        self.assert_says('nosuch', self.url(database='nosuch'))

    def test_no_database_at_all(self) -> None:
        error = self.assertRaises(exception.InvalidURL, self.use, self.url(database=''))
        self.assertIn('[api_database] connection', str(error))
        self.assertIn('names no database', str(error))

    parameters: dict[str, str]


class WrongMariadb(_Wrong):
    kind = 'mariadb'
    parameters = {
        'ssl_ca=/missing/ca.pem': '/missing/ca.pem',
        'charset=nosuch': 'charset',
        'nosuch=1': 'nosuch',
        'init_command=nosuch': '1064',
        'ssl=true': 'ssl',
        'read_timeout=0': 'read_timeout',
    }

    def test_a_password_that_cannot_be_sent(self) -> None:
        self.assert_says('latin-1', self.url(password='hush\u20ac'))

    def test_a_host_that_is_none(self) -> None:
        self.assert_says('label', self.url(host='a..b'))


class WrongPostgresql(_Wrong):
    kind = 'postgresql'
    parameters = {
        'sslmode=verify-full&sslrootcert=/missing/ca.pem': 'SSL',
        'nosuch=1': 'nosuch',
    }


del _Wrong


class FullSqlite(base.TestCase):
    def test_a_database_that_is_full(self) -> None:
        # One that no other test has left free pages in.
        database = self.useFixture(our_fixtures.Database('sqlite', schema=self.schema))
        database.make_schema()
        nova_cellmap.configure(database.conf())
        self.make_mapping()
        runtime.default().close()

        @sa.event.listens_for(engine.of().writer, 'connect')
        def limit(connection: Any, record: Any) -> None:
            connection.execute('PRAGMA max_page_count = 1')

        rows = [{'instance_uuid': base.new_uuid(), 'project_id': 'p' * 250} for _ in range(2000)]
        error = self.assertRaises(
            exception.DatabaseFull, api.instance_mapping_create_bulk, self.context, rows
        )
        self.assertIn('full', str(error))
        nova_cellmap.configure(database.conf())
        self.assertEqual(1, len(api.instance_mapping_get_all(self.context)))


class FullNovaSqlite(FullSqlite):
    schema = 'nova'


class BehindPostgresql(_Case):
    """After a restore a sequence may give ids that are taken."""

    kind = 'postgresql'

    def test_what_is_new_is_not_said_to_exist(self) -> None:
        for _ in range(3):
            self.make_mapping(cell_mapping=self.make_cell())
        values = {'instance_uuid': base.new_uuid(), 'project_id': 'p'}
        urls = dict.fromkeys(('transport_url', 'database_connection'), 'none:///')
        cell = {'uuid': base.new_uuid(), **urls}
        mappings, cells = self.mapping_table.name, self.cell_table.name
        for table, create in (
            (mappings, lambda: api.instance_mapping_create(self.context, values)),
            (mappings, lambda: api.instance_mapping_create_bulk(self.context, [values])),
            (cells, lambda: api.cell_mapping_create(self.context, cell)),
            (cells, lambda: api.cell_mapping_create_bulk(self.context, [cell])),
        ):
            taken = f'(SELECT min(id) FROM {table})'
            self.execute(
                sa.text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {taken}, false)")
            )
            error = self.assertRaises(exception.DatabaseError, create)
            self.assertIn(f'a new row of {table} an id that is taken', str(error))


class BehindNovaPostgresql(BehindPostgresql):
    schema = 'nova'


class SecretsPostgresql(_Case):
    """PostgreSQL quotes the row that it refuses."""

    kind = 'postgresql'

    def test_no_traceback_has_them(self) -> None:
        urls = {
            'transport_url': 'rabbit://nova:wOrD1@mq/',
            'database_connection': 'mysql+pymysql://nova:wOrD2@db/nova',
        }
        change = f'ALTER TABLE {self.cell_table.name}'
        self.execute(sa.text(f"{change} ADD CONSTRAINT odd CHECK (name != 'odd')"))
        self.addCleanup(self.execute, sa.text(f'{change} DROP CONSTRAINT odd'))
        values = {'uuid': base.new_uuid(), 'name': 'odd', **urls}

        def block() -> None:
            with api.writer(self.context):
                api.cell_mapping_create(self.context, values)

        for create in (lambda: api.cell_mapping_create(self.context, values), block):
            error = self.assertRaises(exception.DatabaseError, create)
            told = ''.join(traceback.format_exception(error))
            self.assertIn('violates check constraint', told)
            self.assertNotIn('wOrD', told)


class SecretsNovaPostgresql(SecretsPostgresql):
    schema = 'nova'
