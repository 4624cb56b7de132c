# SPDX-License-Identifier: Apache-2.0
"""Working in a cell, and the connections that are kept for it."""

import os
import time
from typing import Any
import uuid

from oslo_db import exception as db_exc
import oslo_messaging
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.cells import target
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api
from nova_cellmap.db import transaction
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.cells import servers

_instances = nova_cell.instances


@base.on_each_database
class Blocks(cells_base.InCells):
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
            self.assertEqual({values['uuid']}, cells_base.uuids_of(context))

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


class Contexts(cells_base.InCells):
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


class Nowhere(cells_base.InCells):
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


class Queues(cells_base.InCells):
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


class _Lost(cells_base.InCells):
    """A connection that is lost in the middle."""

    def test_while_reading(self) -> None:
        def read() -> None:
            with self.in_cell() as context, context.cell.reader() as connection:
                connection.execute(sa.select(_instances.c.uuid)).all()
                servers.kill_connections_to(self.nova)
                connection.execute(sa.select(_instances.c.uuid)).all()

        self.assertRaises(exception.CellUnreachable, read)
        self.assertEqual(set(), self.uuids())

    def test_while_committing(self) -> None:
        def write() -> None:
            with self.in_cell() as context, context.cell.writer() as connection:
                connection.execute(_instances.insert().values(uuid='x', deleted=0))
                servers.kill_connections_to(self.nova)

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
