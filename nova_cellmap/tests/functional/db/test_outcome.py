# SPDX-License-Identifier: Apache-2.0
"""Commits whose answer is lost: what was made is said to be, and what was not is made."""

from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
import contextlib
import functools
import itertools
import time
import types
from typing import Any
from unittest import mock

import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.db import attempts
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.objects import InstanceMappingList
from nova_cellmap.objects.base import CellMapObject
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.proxy import Mode
from nova_cellmap.tests.proxy import Proxy

# The change is lost with its commit, or only the answer is.
_LOSSES = (Mode.CUT_COMMIT, Mode.CUT_COMMITTED)


class _Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.proxy = self.useFixture(Proxy.to(self.database.url))
        self.use_proxy()
        self.cells = [self.make_cell(name=f'cell{number}') for number in (1, 2)]

    def use_proxy(self, parameters: str = '', **options: Any) -> None:
        # All of it unencrypted: the proxy looks for COMMITs.
        url = self.proxy.url(self.database.url)
        url += parameters and ('&' if '?' in url else '?') + parameters
        self.conf = self.database.conf(connection=url, **options)
        nova_cellmap.configure(self.conf)

    def each_loss(self) -> Iterator[Mode]:
        """Lose the next commit, in each way."""
        for mode in _LOSSES:
            commits = self.proxy.commits
            self.proxy.act(mode, times=1)
            yield mode
            self.assertGreater(self.proxy.commits, commits)
            self.assertIs(Mode.PASS, self.proxy.mode)

    @contextlib.contextmanager
    def meanwhile(self, call: Callable[[], Any]) -> Iterator[None]:
        """What somebody else does between the loss and the next try."""

        def pauses(owner: Any) -> Iterator[float]:
            call()
            while True:
                yield 0.01

        with mock.patch.object(attempts, 'pauses', pauses):
            yield

    def found(self, *uuids: str) -> Sequence[api.Row]:
        return api.instance_mapping_get_by_instance_uuids(self.context, uuids)

    def values(self, **values: Any) -> dict[str, Any]:
        return {'instance_uuid': base.new_uuid(), 'project_id': 'p', **values}


class _OneMapping(_Case):
    def test_create(self) -> None:
        for _ in self.each_loss():
            mapping = self.make_mapping(cell_mapping=self.cells[0])
            [row] = self.found(mapping.instance_uuid)
            self.assertEqual(mapping.id, row['id'])

    def test_create_of_what_another_creates_meanwhile(self) -> None:
        values = self.values()
        other = {**values, 'project_id': 'other'}
        self.proxy.act(Mode.CUT_COMMIT, times=1)
        with self.meanwhile(lambda: self.add_beside(other)):
            self.assertRaises(
                exception.InstanceMappingExists, api.instance_mapping_create, self.context, values
            )
        [row] = self.found(values['instance_uuid'])
        self.assertEqual('other', row['project_id'])

    def test_create_of_what_another_replaces_meanwhile(self) -> None:
        values = self.values()
        other = {**values, 'project_id': 'other'}

        def replace() -> None:
            self.remove_beside(values['instance_uuid'])
            self.add_beside(other)

        self.proxy.act(Mode.CUT_COMMITTED, times=1)
        with self.meanwhile(replace):
            self.assertRaises(
                exception.InstanceMappingExists, api.instance_mapping_create, self.context, values
            )
        [row] = self.found(values['instance_uuid'])
        self.assertEqual('other', row['project_id'])

    def test_save(self) -> None:
        for number, _ in enumerate(self.each_loss()):
            mapping = self.make_mapping_past_proxy(cell_mapping=self.cells[0])
            mapping.cell_mapping = self.cells[1]
            mapping.user_id = f'user{number}'
            mapping.save()
            [row] = self.found(mapping.instance_uuid)
            self.assertEqual(self.cells[1].uuid, row['cell_uuid'])
            self.assertEqual(f'user{number}', row['user_id'])

    def test_save_of_what_another_moves_meanwhile(self) -> None:
        third = self.make_cell(name='cell3')
        for mode in _LOSSES:
            mapping = self.make_mapping(cell_mapping=self.cells[0])
            mapping.cell_mapping = self.cells[1]
            where = self.mapping_table.c.instance_uuid == mapping.instance_uuid
            other = self.mapping_table.update().where(where).values(cell_uuid=third.uuid)
            self.proxy.act(mode, times=1)
            with self.meanwhile(functools.partial(self.execute_beside, other)):
                # Nobody can tell whether it was made before the other's.
                self.assertRaises(exception.DatabaseOutcomeUnknown, mapping.save)
            [row] = self.found(mapping.instance_uuid)
            self.assertEqual(third.uuid, row['cell_uuid'])

    def test_save_of_a_value(self) -> None:
        for _ in self.each_loss():
            mapping = self.make_mapping_past_proxy()
            mapping.queued_for_delete = True
            mapping.save()
            [row] = self.found(mapping.instance_uuid)
            self.assertTrue(row['queued_for_delete'])

    def test_destroy(self) -> None:
        for _ in self.each_loss():
            mapping = self.make_mapping_past_proxy()
            mapping.destroy()
            self.assertEqual([], self.found(mapping.instance_uuid))

    def test_destroy_of_what_another_creates_meanwhile(self) -> None:
        mapping = self.make_mapping()
        values = self.values(instance_uuid=mapping.instance_uuid)
        self.proxy.act(Mode.CUT_COMMITTED, times=1)
        with self.meanwhile(lambda: self.add_beside(values)):
            mapping.destroy()
        self.assertEqual(1, len(self.found(mapping.instance_uuid)))

    def test_a_commit_that_always_fails_is_not_known_of(self) -> None:
        self.use_proxy(db_max_retries=3)
        self.proxy.act(Mode.CUT_COMMIT)
        uuid = base.new_uuid()
        error = self.assertRaises(
            exception.DatabaseOutcomeUnknown, self.make_mapping, instance_uuid=uuid
        )
        self.assertIn('may or may not', str(error))
        self.proxy.act(Mode.PASS)
        self.assertEqual([], self.found(uuid))

    def test_a_server_that_is_gone_after_a_commit_is_not_known_of(self) -> None:
        self.use_proxy(db_max_retries=2)
        uuid = base.new_uuid()
        self.proxy.act(Mode.CUT_COMMITTED, times=1, then=Mode.CUT)
        self.assertRaises(exception.DatabaseOutcomeUnknown, self.make_mapping, instance_uuid=uuid)
        self.proxy.act(Mode.PASS)
        self.assertEqual(1, len(self.found(uuid)))

    def test_what_is_lost_before_a_commit_is_tried_again(self) -> None:
        uuid = self.make_mapping().instance_uuid
        self.proxy.cut()
        api.instance_mapping_update(self.context, uuid, {'user_id': 'new'})
        self.proxy.cut()
        self.make_mapping()
        self.proxy.cut()
        self.assertEqual('new', self.found(uuid)[0]['user_id'])

    def make_mapping_past_proxy(self, **values: Any) -> InstanceMapping:
        """With the commit that is to be lost still to come."""
        mode, self.proxy.mode = self.proxy.mode, Mode.PASS
        mapping = self.make_mapping(**values)
        self.proxy.mode = mode
        return mapping

    def execute_beside(self, statement: Any) -> None:
        """As another process, past the proxy."""
        with self.beside().begin() as connection:
            connection.execute(statement)

    def add_beside(self, values: dict[str, Any]) -> None:
        self.execute_beside(self.mapping_table.insert().values(values))

    def remove_beside(self, uuid: str) -> None:
        self.execute_beside(
            self.mapping_table.delete().where(self.mapping_table.c.instance_uuid == uuid)
        )

    def beside(self) -> Any:
        engine = sa.create_engine(self.database.url)
        self.addCleanup(engine.dispose)
        return engine


class _OnTheWay(_Case):
    """Silence in place of an answer to the commit."""

    def setUp(self) -> None:
        super().setUp()
        self.mappings = [self.make_mapping(cell_mapping=self.cells[0]) for _ in range(2)]
        self.use_proxy(read_timeout=1, connect_timeout=2, call_timeout=3)

    def calls(self) -> list[Callable[[], Any]]:
        saved, destroyed = self.mappings
        saved.cell_mapping = self.cells[1]
        return [self.make_mapping, saved.save, destroyed.destroy]

    def test_of_what_was_made(self) -> None:
        for call in self.calls():
            self.proxy.act(Mode.HOLE_COMMITTED, times=1)
            call()
        self.assertEqual(2, len(api.instance_mapping_get_all(self.context)))

    def test_of_what_is_still_to_be_made(self) -> None:
        """The transaction is open on the server: it could be made at any time."""
        for call in self.calls():
            self.proxy.act(Mode.HOLE_AT_COMMIT, times=1)
            self.assertRaises(exception.DatabaseOutcomeUnknown, call)
            self.proxy.cut()
        found = api.instance_mapping_get_all(self.context)
        self.assertEqual([self.cells[0].uuid] * 2, [row['cell_uuid'] for row in found])

    def test_of_what_the_server_gives_up_meanwhile(self) -> None:
        for call in self.calls():
            self.proxy.act(Mode.HOLE_AT_COMMIT, times=1)
            with self.meanwhile(self.proxy.cut):
                call()
        self.assertEqual(2, len(api.instance_mapping_get_all(self.context)))


class _ManyMappings(_Case):
    def test_create_bulk(self) -> None:
        for _ in self.each_loss():
            rows = [self.values(cell_uuid=self.cells[0].uuid, user_id='u') for _ in range(1500)]
            result = api.instance_mapping_create_bulk(self.context, rows)
            self.assertEqual((1500, 0), (result['created'], result['existing']))
            self.assertEqual(1500, len(self.found(*(row['instance_uuid'] for row in rows))))

    def test_create_bulk_with_ids(self) -> None:
        for _ in self.each_loss():
            rows = [self.values() for _ in range(5)]
            ids = api.instance_mapping_create_bulk(self.context, rows, with_ids=True)['ids']
            found = self.found(*(row['instance_uuid'] for row in rows))
            self.assertEqual({row['instance_uuid']: row['id'] for row in found}, ids)

    def test_create_bulk_of_some_that_exist(self) -> None:
        existing = [self.values() for _ in range(5)]
        api.instance_mapping_create_bulk(self.context, existing)
        for _ in self.each_loss():
            rows = [self.values() for _ in range(5)]
            result = InstanceMappingList.create_bulk(
                self.context, [InstanceMapping(self.context, **row) for row in rows + existing]
            )
            self.assertEqual((5, 5), (result['created'], result['existing']))

    def test_destroy_bulk(self) -> None:
        for loss in self.each_loss():
            with self.kept(loss):
                uuids = [self.make_mapping().instance_uuid for _ in range(5)]
            self.assertEqual(5, api.instance_mapping_destroy_bulk(self.context, uuids))
            self.assertEqual([], self.found(*uuids))

    def test_update_bulk(self) -> None:
        for loss in self.each_loss():
            with self.kept(loss):
                uuids = [self.make_mapping().instance_uuid for _ in range(5)]
            changes = [(row, {'user_id': 'new'}) for row in self.found(*uuids)]
            self.assertEqual(5, api.instance_mapping_update_bulk(self.context, changes))
            self.assertEqual({'new'}, {row['user_id'] for row in self.found(*uuids)})

    def test_map_batch(self) -> None:
        cell, other = self.cells
        conflicting = [self.values() for _ in range(3)]
        api.instance_mapping_create_bulk(
            self.context, [{**row, 'cell_uuid': other.uuid} for row in conflicting]
        )
        conflicts = 0
        for number, _ in enumerate(self.each_loss(), 1):
            rows = [self.values() for _ in range(5 * (number - 1))] + conflicting
            result = api.instance_mapping_map_batch(
                self.context, cell.uuid, rows, last_instance_id=number
            )
            conflicts += 3
            self.assertEqual(len(rows) - 3, result['created'])
            self.assertEqual(3, len(result['conflicts']))
            progress = api.map_progress_get(self.context, cell.uuid)
            self.assertEqual({'last_instance_id': number, 'conflicts': conflicts}, progress)

    @contextlib.contextmanager
    def kept(self, mode: Mode) -> Iterator[None]:
        """A block in which nothing is lost."""
        self.proxy.act(Mode.PASS)
        yield
        self.proxy.act(mode, times=1)


class _Cells(_Case):
    def test_create(self) -> None:
        for loss in self.each_loss():
            cell = self.make_cell(name=loss.value)
            self.assertEqual(cell.id, CellMapping.get_by_name(self.context, loss.value).id)

    def test_save(self) -> None:
        for loss in self.each_loss():
            self.cells[0].name = f'new {loss.value}'
            self.cells[0].save()
            found = CellMapping.get_by_uuid(self.context, self.cells[0].uuid)
            self.assertEqual(f'new {loss.value}', found.name)

    def test_destroy(self) -> None:
        for cell, _ in zip(self.cells, self.each_loss(), strict=True):
            cell.destroy()
            self.assertRaises(
                exception.CellMappingNotFound, CellMapping.get_by_uuid, self.context, cell.uuid
            )

    def test_create_bulk(self) -> None:
        for loss in self.each_loss():
            cells = [
                {
                    'uuid': base.new_uuid(),
                    'name': f'{loss.value} {number}',
                    'transport_url': 'none:///',
                    'database_connection': 'none:///',
                }
                for number in range(3)
            ]
            result = api.cell_mapping_create_bulk(self.context, cells)
            self.assertEqual((3, 0), (result['created'], result['existing']))


class _Blocks(_Case):
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


class _Deadlocks(_Case):
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


class Conducted(_Case):
    """Through a conductor on another process's side of a commit that is lost."""

    kind = 'mariadb'

    def setUp(self) -> None:
        super().setUp()
        database: Any = types.SimpleNamespace(url=self.proxy.url(self.database.url))
        conductor = self.useFixture(fixtures.Conductor(database))
        CellMapObject.indirection_api = conductor.api
        self.addCleanup(setattr, CellMapObject, 'indirection_api', None)

    def test_what_can_be_told_is_told(self) -> None:
        for _ in self.each_loss():
            mapping = self.make_mapping()
            found = InstanceMapping.get_by_instance_uuid(self.context, mapping.instance_uuid)
            self.assertEqual(mapping.id, found.id)

    def test_what_cannot_crosses_as_itself(self) -> None:
        self.proxy.act(Mode.CUT_COMMIT)
        error = self.assertRaises(exception.DatabaseOutcomeUnknown, self.make_mapping)
        self.assertIn('may or may not', str(error))
        self.proxy.act(Mode.PASS)


def _on_servers(*suites: Any) -> None:
    for suite, schema, kind in itertools.product(
        suites, ('own', 'nova'), ('mariadb', 'postgresql')
    ):
        of_schema = 'Nova' if schema == 'nova' else ''
        name = f'{suite.__name__.strip("_")}{of_schema}{kind.capitalize()}'
        members = {'kind': kind, 'schema': schema, '__module__': __name__}
        globals()[name] = type(suite)(name, (suite,), members)


_on_servers(_OneMapping, _OnTheWay, _ManyMappings, _Cells, _Blocks)
del _OneMapping, _OnTheWay, _ManyMappings, _Cells, _Blocks
