# SPDX-License-Identifier: Apache-2.0
"""Blocks, and what fails in them."""

import contextlib
import functools
import gc
import os
import threading
from typing import Any
from unittest import mock

import sqlalchemy as sa
import testtools

import nova_cellmap
from nova_cellmap import context
from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.db import engine
from nova_cellmap.db import transaction
from nova_cellmap.db.schemas import own
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.db import case


@base.on_both_schemas
class Transactions(case.Case):
    def test_a_block_of_writes_is_one(self) -> None:
        uuid = base.new_uuid()
        with testtools.ExpectedException(ZeroDivisionError), api.writer(self.context):
            self.map(instance_uuid=uuid)
            raise ZeroDivisionError
        self.assertRaises(
            exception.InstanceMappingNotFound,
            api.instance_mapping_get_by_instance_uuid,
            self.context,
            uuid,
        )

    def test_reads_in_a_block_share_a_connection(self) -> None:
        uuid = self.map()
        with api.reader(self.context):
            connection = transaction.connection(self.context)
            api.instance_mapping_get_by_instance_uuid(self.context, uuid)
            self.assertIs(connection, transaction.connection(self.context))

    def test_a_fork_leaves_the_connections_to_its_parent(self) -> None:
        uuid = self.map()
        # In the pools of both, the reader's and the writer's.
        api.instance_mapping_get_by_instance_uuid(self.context, uuid)
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                api.instance_mapping_get_by_instance_uuid(self.context, uuid)
                api.instance_mapping_destroy(self.context, uuid)
                gc.collect()
                os._exit(0)
            os._exit(1)
        self.assertEqual((child, 0), os.waitpid(child, 0))
        # Within a block nothing is tried again.
        with api.reader(self.context):
            self.assertRaises(
                exception.InstanceMappingNotFound,
                api.instance_mapping_get_by_instance_uuid,
                self.context,
                uuid,
            )
        with api.writer(self.context):
            api.instance_mapping_create(self.context, self.values(instance_uuid=uuid))

    def test_threads_share_a_context(self) -> None:
        uuids = [self.map() for _ in range(8)]
        rows = case.at_once(
            8,
            lambda number: api.instance_mapping_get_by_instance_uuid(self.context, uuids[number]),
        )
        self.assertEqual(uuids, self.uuids(rows))


class _Failures(case.Case):
    """What goes wrong between here and a server."""

    def test_a_connection_that_was_lost_is_not_noticed(self) -> None:
        uuid = self.map()
        self.cut_all_connections()
        row = api.instance_mapping_get_by_instance_uuid(self.context, uuid)
        self.assertEqual(uuid, row['instance_uuid'])
        self.cut_all_connections()
        api.instance_mapping_update(self.context, uuid, {'project_id': 'new'})
        self.cut_all_connections()
        self.map()

    def test_a_block_that_writes_begins_with_a_connection_that_is_good(self) -> None:
        uuid = self.map()
        self.cut_all_connections()
        # As if the ones in the pool had rested there.
        with mock.patch.object(engine, '_REST_SECONDS', 0), api.writer(self.context):
            api.instance_mapping_update(self.context, uuid, {'project_id': 'new'})
        row = api.instance_mapping_get_by_instance_uuid(self.context, uuid)
        self.assertEqual('new', row['project_id'])

    def test_a_connection_lost_within_a_write_is_met_by_a_second_try(self) -> None:
        uuid = self.map()
        cuts = iter([True, False])

        @sa.event.listens_for(engine.of().writer, 'before_cursor_execute')
        def cut(connection: sa.Connection, *args: Any) -> None:
            if args[1].startswith('UPDATE') and next(cuts):
                self.cut_all_connections()

        row = api.instance_mapping_update(self.context, uuid, {'project_id': 'new'})
        self.assertEqual('new', row['project_id'])

    def test_a_second_try_has_all_that_the_first_had(self) -> None:
        uuids = [self.map(user_id='u') for _ in range(3)]

        def lose(beginning: str) -> None:
            cuts = iter([True])

            @sa.event.listens_for(sa.Engine, 'before_cursor_execute')
            def cut(connection: sa.Connection, *args: Any) -> None:
                if args[1].startswith(beginning) and next(cuts, False):
                    self.cut_all_connections()

            self.addCleanup(sa.event.remove, sa.Engine, 'before_cursor_execute', cut)

        lose('SELECT count')
        count = api.instance_mapping_get_count_by_uuids_and_user(self.context, iter(uuids), 'u')
        self.assertEqual(3, count)
        lose('DELETE')
        self.assertEqual(3, api.instance_mapping_destroy_bulk(self.context, iter(uuids)))

    def test_a_deadlock_is_met_by_a_second_try(self) -> None:
        one, two = self.map(), self.map()
        barrier = threading.Barrier(2)
        tries: list[int] = []

        def claim(uuid: str, number: int) -> sa.Update:
            table = self.mapping_table
            update = table.update().where(table.c.instance_uuid == uuid)
            return update.values(user_id=str(number))

        def cross(number: int) -> None:
            first, second = [(one, two), (two, one)][number]

            @transaction.writes
            def both(ctxt: Any) -> None:
                tries.append(number)
                ctxt.connection.execute(claim(first, number))
                if len(tries) <= 2:
                    barrier.wait(10)
                ctxt.connection.execute(claim(second, number))

            both(context.get_admin_context())

        case.at_once(2, cross)
        self.assertGreaterEqual(len(tries), 3)
        users = {row['user_id'] for row in api.instance_mapping_get_all(self.context)}
        self.assertEqual(1, len(users))

    def test_a_server_that_is_not_there_is_told_of(self) -> None:
        url = sa.make_url(self.database.url).set(port=1, password='hush')
        conf = self.database.conf(connection=url.render_as_string(hide_password=False))
        conf.set_override('db_max_retries', 1, group='api_database')
        for call in (
            api.cell_mapping_get_all,
            functools.partial(api.instance_mapping_create, values=self.values()),
            functools.partial(api.instance_mapping_create_bulk, mappings=[self.values()]),
        ):
            nova_cellmap.configure(conf)
            error = self.assertRaises(exception.DatabaseUnreachable, call, self.context)
            self.assertNotIn('hush', str(error))

    def cut_all_connections(self) -> None:
        raise NotImplementedError


class FailuresMariadb(_Failures):
    kind = 'mariadb'

    def cut_all_connections(self) -> None:
        _on_server(
            self.database.url,
            'SELECT id FROM information_schema.processlist'
            ' WHERE db = DATABASE() AND id != CONNECTION_ID()',
            'KILL {}',
        )


class FailuresPostgresql(_Failures):
    kind = 'postgresql'

    def cut_all_connections(self) -> None:
        _on_server(
            self.database.url,
            'SELECT pid FROM pg_stat_activity'
            ' WHERE datname = current_database() AND pid != pg_backend_pid()',
            'SELECT pg_terminate_backend({})',
        )


del _Failures


def _on_server(url: str, query: str, statement: str) -> None:
    other = sa.create_engine(url, poolclass=sa.NullPool, isolation_level='AUTOCOMMIT')
    with other.connect() as connection:
        for (number,) in connection.exec_driver_sql(query).all():
            connection.exec_driver_sql(statement.format(number))


@base.on_each_database
class Schema(case.Case):
    """What is of our own tables alone: for Nova's see :mod:`.schemas.test_nova`."""

    def test_ids_grow_beyond_31_bits(self) -> None:
        first = {'id': 2**31 + 5, 'instance_uuid': base.new_uuid(), 'project_id': 'p'}
        self.execute(own.instance_mapping.insert().values(first))
        if self.kind == 'postgresql':
            self.execute(sa.text("SELECT setval('instance_mapping_id_seq', 2147483653)"))
        second = api.instance_mapping_get_by_instance_uuid(self.context, self.map())
        self.assertEqual(2**31 + 6, second['id'])

    def test_without_tables_it_says_what_to_do(self) -> None:
        empty = self.useFixture(fixtures.Database(self.kind))
        with empty.engine().connect():
            """SQLite's file comes to be with the first connection."""
        for call in (
            api.cell_mapping_get_all,
            functools.partial(api.cell_mapping_create, values=_CELL),
        ):
            error = self.assertRaises(exception.SchemaMissing, call, self.context)
            self.assertIn('db sync', str(error))

    def test_with_an_older_schema_it_says_what_to_do(self) -> None:
        from nova_cellmap.db import migration

        old = self.useFixture(fixtures.Database(self.kind))
        migration.db_sync(3, engine=old.engine())
        for call in (
            api.instance_mapping_get_all,
            functools.partial(api.instance_mapping_create, values=self.values()),
        ):
            self.assertRaises(exception.SchemaMissing, call, self.context)


_CELL = {'uuid': 'x', 'transport_url': 'none:///', 'database_connection': 'none:///'}
