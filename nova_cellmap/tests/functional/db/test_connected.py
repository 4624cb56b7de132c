# SPDX-License-Identifier: Apache-2.0
"""What is read and written over connections that lag, are lost, or meet others' locks."""

from collections.abc import Callable, Iterator
from concurrent import futures
import contextlib
import time
from typing import Any

import fixtures as fixtures_library
import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.db import engine
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import CellMappingList
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.objects import InstanceMappingList
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.db import losses
from nova_cellmap.tests.proxy import Mode
from nova_cellmap.tests.proxy import Proxy


class _Replicated(base.TestCase):
    """A replica that lags: a process knows what it has changed itself."""

    def setUp(self) -> None:
        super().setUp()
        self.cell = self.make_cell(name='cell', database_connection='sqlite:////old')
        self.mapping = self.make_mapping(cell_mapping=self.cell)
        self.replica = self.make_replica()
        self.use_replica()

    def use_replica(self, **options: Any) -> None:
        urls = {'connection': self.database.url, 'slave_connection': self.replica.url}
        self.conf = self.database.conf(**{**urls, **options}, synchronous_reader=False)
        nova_cellmap.configure(self.conf)
        self.assertTrue(engine.of().has_replica)


@base.on_both_schemas
class Own(_Replicated):
    def test_a_changed_cell_is_known_by_who_changed_it(self) -> None:
        uuid = self.mapping.instance_uuid
        for look_up in (
            lambda: InstanceMapping.get_by_instance_uuid(self.context, uuid).cell_mapping,
            lambda: CellMapping.get_by_uuid(self.context, self.cell.uuid),
            lambda: CellMapping.get_by_name(self.context, 'cell'),
            lambda: CellMappingList.get_all(self.context)[0],
            lambda: InstanceMappingList.get_by_project_id(self.context, 'project')[0].cell_mapping,
            lambda: (
                InstanceMappingList.get_by_instance_uuids(self.context, [uuid])[0].cell_mapping
            ),
        ):
            look_up()
            self.cell.database_connection = f'sqlite:////{base.new_uuid()}'
            self.cell.save()
            # And each time after.
            for _ in range(2):
                found: Any = look_up()
                self.assertEqual(self.cell.database_connection, found.database_connection)

    def test_in_a_block_that_reads(self) -> None:
        self.cell.database_connection = 'sqlite:////new'
        self.cell.save()
        with api.reader(self.context):
            found = CellMapping.get_by_uuid(self.context, self.cell.uuid)
            self.assertEqual('sqlite:////new', found.database_connection)
            [mapping] = InstanceMappingList.get_by_project_id(self.context, 'project')
            self.assertEqual('sqlite:////new', mapping.cell_mapping.database_connection)

    def test_resume_points(self) -> None:
        rows = [{'instance_uuid': base.new_uuid(), 'project_id': 'p'}]
        for number in (1, 2):
            api.instance_mapping_map_batch(
                self.context, self.cell.uuid, rows, last_instance_id=number
            )
            found = api.map_progress_get(self.context, self.cell.uuid)
            self.assertEqual({'last_instance_id': number, 'conflicts': 0}, found)
        api.map_progress_clear(self.context, self.cell.uuid)
        self.assertIsNone(api.map_progress_get(self.context, self.cell.uuid))
        api.instance_mapping_import_batch(self.context, rows, source='x', last_mapping_id=1)
        found = api.import_progress_get(self.context, 'x')
        self.assertEqual({'last_mapping_id': 1, 'conflicts': 0}, found)

    def test_other_reads_are_of_the_replica(self) -> None:
        new = self.make_mapping()
        [found] = InstanceMappingList.get_by_project_id(self.context, 'project')
        self.assertEqual(self.mapping.instance_uuid, found.instance_uuid)
        with api.writer(self.context):
            InstanceMapping.get_by_instance_uuid(self.context, new.instance_uuid)


class _StandIns(_Replicated):
    def look_up(self) -> None:
        uuid = self.mapping.instance_uuid
        found = InstanceMapping.get_by_instance_uuid(self.context, uuid)
        self.assertEqual(self.cell.uuid, found.cell_mapping.uuid)
        with api.reader(self.context):
            InstanceMapping.get_by_instance_uuid(self.context, uuid)
        self.assertEqual(1, len(CellMappingList.get_all(self.context)))

    def test_a_replica_that_is_gone(self) -> None:
        proxy = self.useFixture(Proxy.to(self.replica.url))
        self.use_replica(slave_connection=proxy.url(self.replica.url))
        self.look_up()
        proxy.act(Mode.CUT)
        self.look_up()

    def test_a_replica_that_is_silent_is_waited_for_once(self) -> None:
        proxy = self.useFixture(Proxy.to(self.replica.url))
        url = proxy.url(self.replica.url)
        self.use_replica(slave_connection=url, connect_timeout=1, read_timeout=1, call_timeout=2)
        self.look_up()
        proxy.act(Mode.HOLE)
        log = self.useFixture(fixtures_library.FakeLogger('nova_cellmap.db.engine'))
        self.look_up()
        self.look_up()
        self.assertEqual(1, log.output.count('left alone'))

    def test_a_primary_that_is_gone(self) -> None:
        proxy = self.useFixture(Proxy.to(self.database.url))
        self.use_replica(connection=proxy.url(self.database.url))
        self.look_up()
        proxy.act(Mode.CUT)
        nova_cellmap.configure(self.conf)
        self.look_up()


class StandInsMariadb(_StandIns):
    kind = 'mariadb'


class StandInsPostgresql(_StandIns):
    kind = 'postgresql'


del _StandIns


class _Blocks(losses.Case):
    def test_of_a_block_it_is_not_known(self) -> None:
        for loss in self.each_loss():
            uuid = base.new_uuid()

            def work(uuid: str = uuid) -> None:
                with api.writer(self.context):
                    self.make_mapping(instance_uuid=uuid)

            self.assertRaises(exception.DatabaseOutcomeUnknown, work)
            self.assertEqual(loss is Mode.CUT_COMMITTED, bool(self.found(uuid)))

    def test_a_block_whose_connection_was_lost_begins_with_another(self) -> None:
        uuid = self.make_mapping().instance_uuid
        self.proxy.cut()
        with api.writer(self.context):
            api.instance_mapping_update(self.context, uuid, {'user_id': 'new'})
            self.make_mapping()
        self.assertEqual('new', self.found(uuid)[0]['user_id'])

    def test_a_block_that_loses_what_it_has_written_ends(self) -> None:
        uuid = self.make_mapping().instance_uuid

        def work() -> None:
            with api.writer(self.context):
                api.instance_mapping_update(self.context, uuid, {'user_id': 'new'})
                self.proxy.cut()
                self.make_mapping()

        error = self.assertRaises(exception.DatabaseUnreachable, work)
        self.assertNotIsInstance(error, exception.DatabaseOutcomeUnknown)
        self.assertEqual('user', self.found(uuid)[0]['user_id'])

    def test_a_block_whose_lost_connection_was_not_minded_ends(self) -> None:
        uuid = base.new_uuid()

        def work() -> None:
            with api.writer(self.context):
                self.make_mapping(instance_uuid=uuid)
                self.proxy.cut()
                for _ in range(2):
                    self.assertRaises(exception.DatabaseUnreachable, self.make_mapping)

        error = self.assertRaises(exception.DatabaseUnreachable, work)
        self.assertNotIsInstance(error, exception.DatabaseOutcomeUnknown)
        self.assertEqual([], self.found(uuid))

    def test_a_block_that_reads_connects_again(self) -> None:
        uuid = self.make_mapping().instance_uuid
        self.proxy.cut()
        with api.reader(self.context):
            self.assertEqual(1, len(self.found(uuid)))
            self.proxy.cut()
            InstanceMapping.get_by_instance_uuid(self.context, uuid)
            self.proxy.cut()
            self.assertEqual(1, len(self.found(uuid)))


losses.on_servers(_Blocks)
del _Blocks


class _Deadlocks(losses.Case):
    """Others hold what this wants, and want what this holds."""

    def setUp(self) -> None:
        super().setUp()
        self.first = self.make_mapping().instance_uuid
        # The database gives up who has changed less.
        self.others = [self.make_mapping().instance_uuid for _ in range(20)]

    @contextlib.contextmanager
    def somebody(self) -> Iterator[Callable[[], None]]:
        """A transaction of all others, which on being called wants the first one as well."""
        change = self.mapping_table.update().values(user_id='somebody')
        beside = sa.create_engine(self.database.url)
        self.addCleanup(beside.dispose)
        with futures.ThreadPoolExecutor(1) as pool, beside.connect() as connection:
            connection.execute(change.where(self.mapping_table.c.instance_uuid.in_(self.others)))
            where = self.mapping_table.c.instance_uuid == self.first

            def want() -> None:
                pool.submit(connection.execute, change.where(where))
                # Longer than PostgreSQL waits before it looks for a deadlock: it is then the
                # other one that finds it, and gives up.
                time.sleep(1.5)

            yield want
            # Not before it has it, or has given up.
            pool.shutdown()

    def deadlock(self, want: Callable[[], None], uuid: str) -> None:
        """In a block: create a mapping, and meet the other's transaction."""
        self.make_mapping(instance_uuid=uuid)
        api.instance_mapping_update(self.context, self.first, {'user_id': 'mine'})
        want()
        api.instance_mapping_update(self.context, self.others[0], {'user_id': 'mine'})

    def test_in_a_block(self) -> None:
        uuid = base.new_uuid()

        def work() -> None:
            with api.writer(self.context):
                self.deadlock(want, uuid)

        with self.somebody() as want:
            self.assertRaises(exception.DatabaseBusy, work)
        self.assertEqual(['user'], [row['user_id'] for row in self.found(uuid, self.first)])

    def test_that_is_not_minded_in_a_block(self) -> None:
        uuid, last = base.new_uuid(), base.new_uuid()

        def work() -> None:
            with api.writer(self.context):
                self.assertRaises(exception.DatabaseBusy, self.deadlock, want, uuid)
                self.make_mapping(instance_uuid=last)

        with self.somebody() as want:
            if self.keeps_the_rest:
                work()
            else:
                self.assertRaises(exception.DatabaseBusy, work)
        # All or nothing: never what came after it alone.
        self.assertEqual(2 if self.keeps_the_rest else 0, len(self.found(uuid, last)))

    keeps_the_rest: bool


class DeadlocksPostgresql(_Deadlocks):
    kind = 'postgresql'
    keeps_the_rest = True


class DeadlocksMariadb(_Deadlocks):
    kind = 'mariadb'
    keeps_the_rest = False

    def test_at_a_commit(self) -> None:
        self.proxy.act(Mode.DEADLOCK_AT_COMMIT, times=1)
        commits = self.proxy.commits
        mapping = self.make_mapping()
        self.assertEqual(commits + 2, self.proxy.commits)
        [row] = self.found(mapping.instance_uuid)
        self.assertEqual(mapping.id, row['id'])

    def test_at_every_commit(self) -> None:
        self.use_proxy(db_max_retries=2)
        self.proxy.act(Mode.DEADLOCK_AT_COMMIT)
        uuid = base.new_uuid()
        self.assertRaises(exception.DatabaseBusy, self.make_mapping, instance_uuid=uuid)
        self.assertEqual([], self.found(uuid))

    def test_at_the_commit_of_a_block(self) -> None:
        uuid = base.new_uuid()

        def work() -> None:
            with api.writer(self.context):
                self.make_mapping(instance_uuid=uuid)

        self.proxy.act(Mode.DEADLOCK_AT_COMMIT, times=1)
        self.assertRaises(exception.DatabaseBusy, work)
        self.assertEqual([], self.found(uuid))


del _Deadlocks
