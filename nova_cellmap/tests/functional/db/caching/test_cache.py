# SPDX-License-Identifier: Apache-2.0
"""The cache of lookups: what may be found there, when, and what when memcached fails."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import os
import signal
import threading
import time
from typing import Any
from unittest import mock

import fixtures as library_fixtures
from oslo_config import cfg
import pymemcache
import testtools

import nova_cellmap
from nova_cellmap import exception
from nova_cellmap import runtime
from nova_cellmap.db import api
from nova_cellmap.db import connected
from nova_cellmap.db import engine
from nova_cellmap.db import instance_mapping
from nova_cellmap.db.caching import cache
from nova_cellmap.db.caching import known_cells
from nova_cellmap.db.caching import memcached
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.objects.base import CellMapObject
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base


class _Case(base.TestCase):
    """A test with a memcached of its own."""

    arguments: tuple[str, ...] = ()

    def make_conf(self) -> cfg.ConfigOpts:
        self.memcached = self.useFixture(fixtures.Memcached(*self.arguments))
        conf = super().make_conf()
        fixtures.use_cache(conf, self.memcached.address, **self.options())
        return conf

    def options(self) -> dict[str, Any]:
        """More of ``[cache]``."""
        return {'socket_timeout': 5.0}

    def setUp(self) -> None:
        super().setUp()
        self.cell = self.make_cell(name='here').uuid

    def make(self, **values: Any) -> str:
        return str(self.make_mapping(cell_uuid=self.cell, **values).instance_uuid)

    def make_cached(self, **values: Any) -> str:
        uuid = self.make(**values)
        self.find(uuid)
        self.until_cached([uuid])
        return uuid

    def find(self, uuid: str) -> api.Row:
        return api.instance_mapping_get_by_instance_uuid(self.context, uuid)

    def project(self, uuid: str) -> str:
        return str(self.find(uuid)['project_id'])

    def change(self, uuid: str, project_id: str = 'new') -> None:
        api.instance_mapping_update(self.context, uuid, {'project_id': project_id})

    def change_unseen(self, uuid: str) -> None:
        """Change a row past the function layer: who finds the old one has it from the cache."""
        update = self.mapping_table.update().where(self.mapping_table.c.instance_uuid == uuid)
        self.execute(update.values(project_id='unseen'))

    def key(self, uuid: str) -> str:
        [key] = self.cache._keys([uuid])
        return key

    @property
    def cache(self) -> cache.Cache:
        current = cache.of(runtime.default())
        assert current is not None
        return current

    def client(self) -> Any:
        return pymemcache.Client(self.memcached.address, default_noreply=False)

    def item(self, uuid: str) -> Any:
        return self.client().get(self.key(uuid))

    def until_cached(self, uuids: list[str]) -> None:
        # A lookup does not wait for memcached to have taken its row.
        self.until(lambda: self.cached_uuids(uuids) == set(uuids))

    def cached_uuids(self, uuids: list[str]) -> set[str]:
        """Those whose rows are in the cache."""
        return {uuid for uuid in uuids if (self.item(uuid) or b'').startswith(b'1')}

    def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(1000):
            if condition():
                return
            time.sleep(0.01)
        self.fail('it did not come to pass')

    def elsewhere(self, call: Callable[[], Any]) -> Any:
        """What another thread has of a call: it is in no transaction of this one's."""
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(call()))
        thread.start()
        thread.join(60)
        return answers[0]


@base.on_both_schemas
class Lookups(_Case):
    def test_the_second_lookup_is_answered_from_the_cache(self) -> None:
        uuid = self.make()
        first = self.find(uuid)
        self.change_unseen(uuid)
        self.assertEqual(first, self.find(uuid))
        self.assertEqual('here', first['cell_mapping']['name'])

    def test_of_many_those_that_are_missing_are_read(self) -> None:
        uuids = [self.make() for _ in range(5)]
        for uuid in uuids[:3]:
            self.find(uuid)
        self.change_unseen(uuids[0])
        for _ in range(2):
            rows = self.find_many([*uuids, base.new_uuid(), 'no uuid'])
            self.assertEqual(uuids, [row['instance_uuid'] for row in rows])
            self.assertEqual(['project'] * 5, [row['project_id'] for row in rows])
            self.assertEqual({'here'}, {row['cell_mapping']['name'] for row in rows})
        self.until_cached(uuids)

    def test_pages_of_many_are_as_without_a_cache(self) -> None:
        uuids = [self.make() for _ in range(7)]
        self.find_many(uuids[::2])
        for limit, marker in ((None, None), (0, None), (3, None), (2, uuids[4]), (9, uuids[6])):
            rows = self.find_many(uuids, limit=limit, marker=marker)
            begin = 0 if marker is None else uuids.index(marker) + 1
            expected = uuids[begin:][:limit]
            self.assertEqual(expected, [row['instance_uuid'] for row in rows])
        for wrong in (-1, 'x', True):
            self.assertRaises(exception.InvalidInput, self.find_many, uuids, limit=wrong)
        self.assertRaises(exception.MarkerNotFound, self.find_many, uuids, marker='nobody')

    def find_many(self, uuids: list[str], **page: Any) -> Sequence[api.Row]:
        return api.instance_mapping_get_by_instance_uuids(self.context, uuids, **page)

    def test_that_there_is_none_is_not_cached(self) -> None:
        uuid = base.new_uuid()
        for _ in range(2):
            self.assertRaises(exception.InstanceMappingNotFound, self.find, uuid)
        self.make(instance_uuid=uuid)
        self.assertEqual('project', self.project(uuid))

    def test_what_is_no_uuid_is_not_looked_for(self) -> None:
        for wrong in ('no uuid', 'x' * 300, 'a\r\nflush_all', '', 'ä'):
            self.assertRaises(exception.InstanceMappingNotFound, self.find, wrong)
        self.assertRaises(exception.InvalidInput, self.find, 7)

    def test_no_secrets_and_no_code_are_there(self) -> None:
        cell = self.make_cell(
            transport_url='rabbit://u:hush@h/', database_connection='mysql+pymysql://u:hush@h/d'
        )
        uuid = self.make()
        api.instance_mapping_update(self.context, uuid, {'cell_uuid': cell.uuid})
        for _ in range(2):
            self.assertIn('hush', self.find(uuid)['cell_mapping']['transport_url'])
        item = self.item(uuid)
        self.assertIn(cell.uuid.encode(), item)
        self.assertNotIn(b'hush', item)
        self.assertTrue(item.startswith(b'1["20'), item)

    def test_any_row_comes_back_as_it_was(self) -> None:
        uuids = [
            self.make(user_id='x' * 255),
            self.make(queued_for_delete=True),
            str(self.make_mapping().instance_uuid),
        ]
        self.execute(
            self.mapping_table.update()
            .where(self.mapping_table.c.instance_uuid == uuids[1])
            .values(created_at=None, user_id=None, queued_for_delete=None)
        )
        # With what the objects no longer store. Nova's utf8mb3 has no place for all of Unicode.
        smile = '' if (self.schema, self.kind) == ('nova', 'mariadb') else '😀'
        self.execute(
            self.mapping_table.update()
            .where(self.mapping_table.c.instance_uuid == uuids[0])
            .values(project_id=f'ä "\\\n☃ {smile}')
        )
        for uuid in uuids:
            first = self.find(uuid)
            self.until_cached([uuid])
            self.assertEqual(first, self.find(uuid))

    def test_what_somebody_else_left_there_is_not_taken(self) -> None:
        uuid = self.make()
        other = self.make_cached()
        for item in (b'', b'1', b'1[]', b'1{}', b'2[1]', b'\x80\x04.', b'L', self.item(other)):
            self.client().set(self.key(uuid), item)
            self.assertEqual(uuid, self.find(uuid)['instance_uuid'])
            self.assertEqual(item, self.item(uuid))
        self.change(uuid)
        self.assertEqual('new', self.project(uuid))

    def test_an_entry_expires(self) -> None:
        self.conf.set_override('expiration_time', 1, group='cache')
        nova_cellmap.configure(self.conf)
        uuid = self.make_cached()
        self.change_unseen(uuid)
        self.until(lambda: self.project(uuid) == 'unseen')

    def test_a_fork_has_connections_of_its_own(self) -> None:
        uuid = self.make_cached()
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                for _ in range(50):
                    self.find(uuid)
                self.change(uuid)
                os._exit(0)
            os._exit(1)
        for _ in range(50):
            self.assertEqual(uuid, self.find(uuid)['instance_uuid'])
        self.assertEqual((child, 0), os.waitpid(child, 0))
        self.assertEqual('new', self.project(uuid))

    def test_the_database_is_not_asked(self) -> None:
        uuids = [self.make() for _ in range(3)]
        api.instance_mapping_get_by_instance_uuids(self.context, uuids)
        # The second time the cell is read, the third time it is known.
        api.instance_mapping_get_by_instance_uuids(self.context, uuids)
        with mock.patch.object(connected.Reading, 'run', side_effect=AssertionError):
            api.instance_mapping_get_by_instance_uuids(self.context, uuids)
            self.find(uuids[0])


@base.on_both_schemas
class Changes(_Case):
    """After each change through the function layer lookups find what is new."""

    def test_an_update(self) -> None:
        uuid = self.make_cached()
        self.change(uuid)
        self.assertEqual('new', self.project(uuid))
        self.until_cached([uuid])

    def test_an_update_that_is_refused(self) -> None:
        uuid = self.make_cached()
        for error, values in (
            (exception.InstanceMappingConflict, {'project_id': 'new'}),
            (exception.CellMappingNotFound, {'cell_uuid': base.new_uuid()}),
        ):
            expected = None if 'project_id' in values else api.ANYTHING
            self.assertRaises(
                error,
                api.instance_mapping_update,
                self.context,
                uuid,
                values,
                expected_cell_uuid=expected,
            )
            self.assertEqual('project', self.project(uuid))
            self.assertFalse((self.item(uuid) or b'').startswith(b'T'))

    def test_a_removal(self) -> None:
        uuid = self.make_cached()
        api.instance_mapping_destroy(self.context, uuid)
        self.assertRaises(exception.InstanceMappingNotFound, self.find, uuid)

    def test_a_removal_and_another_of_the_same_uuid(self) -> None:
        uuid = self.make_cached()
        with api.writer(self.context):
            api.instance_mapping_destroy(self.context, uuid)
            self.make(instance_uuid=uuid, project_id='new')
        self.assertEqual('new', self.project(uuid))

    def test_many_changes(self) -> None:
        uuids = [self.make_cached() for _ in range(4)]
        rows = api.instance_mapping_get_by_instance_uuids(self.context, uuids)
        self.change(uuids[0], 'changed meanwhile')
        changed = api.instance_mapping_update_bulk(
            self.context, [(row, {'project_id': 'new'}) for row in rows]
        )
        self.assertEqual(3, changed)
        projects = [self.project(uuid) for uuid in uuids]
        self.assertEqual(['changed meanwhile', 'new', 'new', 'new'], projects)

    def test_many_removals(self) -> None:
        uuids = [self.make_cached() for _ in range(4)]
        api.instance_mapping_update(self.context, uuids[0], {'cell_uuid': None})
        removed = api.instance_mapping_destroy_bulk(
            self.context, iter(uuids), expected_cell_uuid=self.cell
        )
        self.assertEqual(3, removed)
        self.assertIsNone(self.find(uuids[0])['cell_mapping'])
        for uuid in uuids[1:]:
            self.assertRaises(exception.InstanceMappingNotFound, self.find, uuid)
        self.assertEqual(1, api.instance_mapping_destroy_bulk(self.context, uuids))
        self.assertRaises(exception.InstanceMappingNotFound, self.find, uuids[0])

    def test_an_instance_is_mapped_to_its_cell_by_the_batch(self) -> None:
        uuids = [str(self.make_mapping().instance_uuid) for _ in range(3)]
        for uuid in uuids:
            self.assertIsNone(self.find(uuid)['cell_uuid'])
        result = api.instance_mapping_map_batch(
            self.context,
            self.cell,
            [{'instance_uuid': uuid, 'project_id': 'project'} for uuid in uuids],
            last_instance_id=3,
        )
        self.assertEqual(3, result['created'])
        for uuid in uuids:
            self.assertEqual(self.cell, self.find(uuid)['cell_mapping']['uuid'])

    def test_an_open_transaction_sees_its_own_changes_and_nobody_else_does(self) -> None:
        uuid, other = self.make_cached(), self.make_cached()
        with api.writer(self.context):
            self.change(uuid)
            self.assertEqual('new', self.project(uuid))
            [row] = api.instance_mapping_get_by_instance_uuids(self.context, [uuid])
            self.assertEqual('new', row['project_id'])
            self.assertEqual('project', self.elsewhere(lambda: self.project(uuid)))
            self.assertEqual(b'T', self.item(uuid)[:1])
            self.assertEqual('project', self.elsewhere(lambda: self.project(other)))
        self.assertEqual('new', self.project(uuid))

    def test_an_open_block_of_reads_asks_the_database(self) -> None:
        uuid = self.make_cached()
        self.change_unseen(uuid)
        with api.reader(self.context):
            self.assertEqual('unseen', self.project(uuid))

    def test_a_transaction_that_is_rolled_back(self) -> None:
        uuid = self.make_cached()
        with testtools.ExpectedException(ZeroDivisionError), api.writer(self.context):
            self.change(uuid)
            raise ZeroDivisionError
        self.assertIsNone(self.item(uuid))
        self.assertEqual('project', self.project(uuid))

    def test_a_lookup_that_was_under_way_fills_in_nothing_old(self) -> None:
        uuid = self.make()
        with self.cache.looking_up([uuid]) as lookup:
            old = instance_mapping.read(self.context, uuid)
            self.change(uuid)
            lookup.fill([old])
        self.assertEqual('new', self.project(uuid))

    def test_a_lookup_that_begins_during_a_change_fills_in_nothing(self) -> None:
        uuid = self.make()
        with api.writer(self.context):
            self.change(uuid)
            self.assertEqual('project', self.elsewhere(lambda: self.project(uuid)))
            self.assertEqual(b'T', self.item(uuid)[:1])
        self.assertEqual('new', self.project(uuid))

    def test_of_two_lookups_one_fills_it_in(self) -> None:
        uuid = self.make()
        with self.cache.looking_up([uuid]) as first:
            with self.cache.looking_up([uuid]) as second:
                second.fill(
                    [{**instance_mapping.read(self.context, uuid), 'project_id': 'second'}]
                )
            first.fill([{**instance_mapping.read(self.context, uuid), 'project_id': 'first'}])
        self.assertEqual('first', self.project(uuid))

    def test_a_tombstone_is_removed_by_whom_has_set_it(self) -> None:
        uuid = self.make_cached()
        self.cache.hide([uuid], b'one')
        self.cache.hide([uuid], b'two')
        self.cache.show([uuid], b'one', are_changed=True)
        self.assertEqual(b'Ttwo', self.item(uuid))
        self.cache.show([uuid], b'two', are_changed=True)
        self.assertIsNone(self.item(uuid))

    def test_a_transaction_that_outlasts_its_tombstone(self) -> None:
        uuid = self.make_cached()
        with mock.patch.object(cache, '_TOMBSTONE_SECONDS', 1), api.writer(self.context):
            self.change(uuid)
            self.until(lambda: self.item(uuid) is None)
            self.assertEqual('project', self.elsewhere(lambda: self.project(uuid)))
            self.until_cached([uuid])
        self.assertEqual('new', self.project(uuid))

    def test_a_commit_of_which_nobody_knows_leaves_the_tombstone(self) -> None:
        uuid = self.make_cached()

        def lose(connection: Any) -> None:
            raise ZeroDivisionError

        with testtools.ExpectedException(ZeroDivisionError), self.on_commit(lose):
            self.change(uuid)
        self.assertEqual(b'T', self.item(uuid)[:1])
        self.assertEqual('project', self.project(uuid))

    def test_a_writer_that_is_killed_after_its_commit_leaves_the_tombstone(self) -> None:
        uuid = self.make_cached()
        child = os.fork()
        if not child:
            with (
                contextlib.suppress(BaseException),
                mock.patch.object(
                    cache.Cache, 'show', lambda *args, **kw: os.kill(os.getpid(), signal.SIGKILL)
                ),
            ):
                self.change(uuid)
            os._exit(1)
        self.assertEqual((child, signal.SIGKILL), os.waitpid(child, 0))
        self.assertEqual(b'T', self.item(uuid)[:1])
        self.assertEqual('new', self.project(uuid))
        # The next one is not hindered by it.
        self.change(uuid, 'next')
        self.assertEqual('next', self.project(uuid))
        self.until_cached([uuid])

    @contextlib.contextmanager
    def on_commit(self, call: Callable[[Any], None]) -> Iterator[None]:
        from sqlalchemy import event

        writer = engine.of().writer
        event.listen(writer, 'commit', call)
        try:
            yield
        finally:
            event.remove(writer, 'commit', call)


class Failures(_Case):
    """What memcached does, nobody who looks up or changes a mapping has an error of it."""

    def setUp(self) -> None:
        super().setUp()
        self.log = self.useFixture(library_fixtures.FakeLogger('nova_cellmap.db'))

    def test_it_is_dead(self) -> None:
        uuids = [self.make_cached() for _ in range(3)]
        self.memcached.kill()
        for uuid in uuids:
            self.change(uuid)
        began = time.monotonic()
        for _ in range(50):
            self.assertEqual('new', self.project(uuids[0]))
            rows = api.instance_mapping_get_by_instance_uuids(self.context, uuids)
            self.assertEqual({'new'}, {row['project_id'] for row in rows})
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(1, self.log.output.count('does not answer'), self.log.output)

    def test_it_is_started_again(self) -> None:
        uuid = self.make_cached()
        self.memcached.kill()
        self.memcached.start()
        # Over a new connection, in place of the one that was lost.
        self.assertEqual('project', self.project(uuid))
        self.until_cached([uuid])
        self.memcached.kill()
        self.memcached.start()
        self.change(uuid)
        self.assertEqual('new', self.project(uuid))

    def test_it_is_started_again_during_a_lookup(self) -> None:
        """An old number of a lease is not taken for that of another one."""
        uuid = self.make()
        client = self.client()
        for _ in range(50):
            client.set('other', b'')
        with self.cache.looking_up([uuid]) as lookup:
            old = instance_mapping.read(self.context, uuid)
            [(_, _, leases)] = lookup._leases
            self.memcached.kill()
            self.memcached.start()
            self.change(uuid)
            client.close()
            for _ in range(50):
                client.set(self.key(uuid), b'Lother')
                if client.gets(self.key(uuid))[1] == leases[self.key(uuid)]:
                    break
            self.assertEqual(leases[self.key(uuid)], client.gets(self.key(uuid))[1])
            lookup.fill([old])
        self.assertEqual(b'Lother', self.item(uuid))
        self.assertEqual('new', self.project(uuid))

    def test_it_is_started_again_during_a_transaction(self) -> None:
        uuid = self.make_cached()
        with api.writer(self.context):
            self.change(uuid)
            self.memcached.kill()
            self.memcached.start()
            self.elsewhere(lambda: self.project(uuid))
            self.until_cached([uuid])
        self.assertEqual('new', self.project(uuid))

    def test_it_dies_during_a_transaction(self) -> None:
        uuid = self.make_cached()
        with api.writer(self.context):
            self.change(uuid)
            self.memcached.kill()
        self.assertEqual('new', self.project(uuid))

    def test_it_counts_no_numbers(self) -> None:
        """Started with ``-C`` it never swaps: nothing is ever put in."""
        self.memcached.kill()
        self.memcached.arguments = ('-C',)
        self.memcached.start()
        uuid = self.make()
        for _ in range(3):
            self.find(uuid)
            self.assertEqual(set(), self.cached_uuids([uuid]))
        self.change(uuid)
        self.assertEqual('new', self.project(uuid))

    def test_a_change_that_it_was_not_told_of_is_told_until_it_is_acknowledged(self) -> None:
        uuid = self.make_cached()
        with mock.patch.object(memcached.Server, 'tell', side_effect=memcached.Unavailable):
            self.change(uuid)
            # It is still there, but this process knows better.
            self.until_cached([uuid])
            self.assertEqual('new', self.project(uuid))
            time.sleep(1.5)
            self.assertEqual('new', self.project(uuid))
        self.until(lambda: uuid not in self.cached_uuids([uuid]))
        self.until(lambda: self.key(uuid) not in self.cache._unsaid)
        self.assertEqual('new', self.project(uuid))
        self.assertEqual(1, self.log.output.count('telling it again'), self.log.output)


class Silence(_Case):
    """A memcached that takes connections and does not answer."""

    def options(self) -> dict[str, Any]:
        return {'socket_timeout': 0.5}

    def test_it_costs_little_and_passes(self) -> None:
        uuids = [self.make_cached() for _ in range(2)]
        self.memcached.signal(signal.SIGSTOP)
        self.addCleanup(self.memcached.signal, signal.SIGCONT)
        began = time.monotonic()
        for number in range(50):
            self.assertEqual('project', self.project(uuids[number % 2]))
        self.assertLess(time.monotonic() - began, 3)
        began = time.monotonic()
        self.change(uuids[0])
        self.assertLess(time.monotonic() - began, 3)
        self.assertEqual('new', self.project(uuids[0]))
        self.memcached.signal(signal.SIGCONT)
        self.until(lambda: not self.cached_uuids(uuids[:1]))
        self.until(lambda: self.key(uuids[0]) not in self.cache._unsaid)
        self.assertEqual(['new', 'project'], [self.project(uuid) for uuid in uuids])


class ManyServers(_Case):
    def make_conf(self) -> cfg.ConfigOpts:
        conf = super().make_conf()
        self.second = self.useFixture(fixtures.Memcached())
        self.addresses = [self.memcached.address, self.second.address]
        conf.set_override('memcache_servers', self.addresses, group='cache')
        return conf

    def on(self, address: str, uuids: list[str]) -> list[str]:
        keys = [self.key(uuid) for uuid in uuids]
        [server] = [each for each in self.cache._servers.of(keys) if each.address == address]
        theirs = self.cache._servers.of(keys)[server]
        return [uuid for uuid in uuids if self.key(uuid) in theirs]

    def test_the_keys_of_a_dead_one_are_not_moved_to_another(self) -> None:
        uuids = [self.make() for _ in range(30)]
        first, second = (self.on(address, uuids) for address in self.addresses)
        self.assertEqual(30, len(first) + len(second))
        self.assertTrue(first and second)
        api.instance_mapping_get_by_instance_uuids(self.context, uuids)
        self.until_cached(first)
        self.second.kill()
        for uuid in uuids:
            self.change(uuid)
            self.assertEqual('new', self.project(uuid))
        self.until(lambda: self.cached_uuids(uuids) == set(first))

    def test_the_order_in_which_they_are_listed_does_not_matter(self) -> None:
        uuids = [self.make() for _ in range(30)]
        before = self.on(self.memcached.address, uuids)
        self.conf.set_override('memcache_servers', self.addresses[::-1], group='cache')
        nova_cellmap.configure(self.conf)
        self.assertEqual(before, self.on(self.memcached.address, uuids))


class Options(_Case):
    def test_off_by_default(self) -> None:
        nova_cellmap.configure(self.database.conf())
        self.assertIsNone(cache.of(runtime.default()))

    def test_off_where_it_is_meant_for_others(self) -> None:
        self.conf.set_override('caching', False, group='cells')
        self.conf.set_override('backend', 'dogpile.cache.null', group='cache')
        nova_cellmap.configure(self.conf)
        self.assertIsNone(cache.of(runtime.default()))

    def test_off_where_nova_has_another_backend(self) -> None:
        """Nova's own configuration is enough: what is meant for Nova keeps nobody from working."""
        conf = self.database.conf()
        conf.set_override('enabled', True, group='cache')
        conf.set_override('memcache_servers', ['mc:11211'], group='cache')
        for backend, is_ours in (('oslo_cache.memcache_pool', False), (memcached.BACKEND, True)):
            conf.set_override('backend', backend, group='cache')
            nova_cellmap.configure(conf)
            self.assertEqual(is_ours, cache.of(runtime.default()) is not None)

    def refused(self, group: str, **options: Any) -> str:
        for option, value in options.items():
            self.conf.set_override(option, value, group=group)
        before = runtime.default()
        error = self.assertRaises(exception.InvalidOption, nova_cellmap.configure, self.conf)
        for option in options:
            self.conf.clear_override(option, group=group)
        self.assertIs(before, runtime.default())
        return str(error)

    def test_what_cannot_be_followed_is_refused(self) -> None:
        for backend in ('dogpile.cache.null', 'oslo_cache.memcache_pool', 'dogpile.cache.redis'):
            self.conf.set_override('backend', backend, group='cache')
            error = self.refused('cache', backend=backend)
            self.assertIn(f'{backend} cannot compare and swap', error)
            self.assertIn('set dogpile.cache.pymemcache', error)
        self.conf.set_override('backend', memcached.BACKEND, group='cache')
        self.assertIn('cannot log in', self.refused('cache', memcache_sasl_enabled=True))
        self.assertIn('there is none', self.refused('cache', memcache_servers=[]))
        error = self.refused('cache', tls_enabled=True, tls_cafile='/no/such/file')
        self.assertIn('No such file', error)

    def test_the_servers_have_to_be_named(self) -> None:
        """The default, localhost, is another one on each host."""
        conf = self.database.conf()
        conf.set_override('enabled', True, group='cache')
        conf.set_override('backend', memcached.BACKEND, group='cache')
        error = self.assertRaises(exception.InvalidOption, nova_cellmap.configure, conf)
        self.assertIn('the same on all hosts', str(error))

    def test_a_replica_that_lags_is_refused(self) -> None:
        replica = {'slave_connection': self.conf.api_database.connection}
        error = self.refused('api_database', synchronous_reader=False, **replica)
        self.assertIn('synchronous_reader = true', error)
        self.conf.set_override('slave_connection', 'sqlite:///x', group='api_database')
        nova_cellmap.configure(self.conf)
        self.assertIsNotNone(cache.of(runtime.default()))

    def test_a_library_that_is_missing_is_named(self) -> None:
        for module in ('pymemcache', 'oslo_cache'):
            with mock.patch.dict('sys.modules', {module: None}):
                conf = self.database.conf()
                # Where oslo.cache is missing there are no other options.
                with contextlib.suppress(cfg.NoSuchOptError):
                    fixtures.use_cache(conf, 'localhost:11211')
                error = self.assertRaises(exception.InvalidOption, nova_cellmap.configure, conf)
                self.assertIn("pip install 'nova-cellmap[cache]'", str(error))

    def test_what_the_backend_of_dogpile_is_asked_for(self) -> None:
        """oslo.cache and dogpile.cache turn the options into these; no promise of theirs."""
        self.conf.set_override('tls_enabled', True, group='cache')
        self.conf.set_override('enable_socket_keepalive', True, group='cache')
        self.conf.set_override('memcache_servers', ['b:2', 'inet6:[::1]:1', 'b:2'], group='cache')
        settings = memcached.settings(self.conf)
        self.assertEqual(('[::1]:1', 'b:2'), settings.addresses)
        self.assertEqual(5.0, settings.timeout)
        self.assertIsNotNone(settings.tls_context)
        self.assertIsNotNone(settings.keepalive)

    def test_those_who_share_a_prefix_share_the_cache(self) -> None:
        uuid = self.make_cached()
        self.change_unseen(uuid)
        nova_cellmap.configure(self.conf)
        self.assertEqual('project', self.project(uuid))
        self.conf.set_override('config_prefix', 'another\r\n ä', group='cache')
        nova_cellmap.configure(self.conf)
        self.assertEqual('unseen', self.project(uuid))


@base.on_both_schemas
class Conductor(_Case):
    """A conductor and a service beside it share the cache."""

    def test_what_one_changes_the_other_finds(self) -> None:
        names = ('enabled', 'backend', 'memcache_servers', 'config_prefix')
        options = {name: self.conf.cache[name] for name in names}
        options['memcache_servers'] = self.memcached.address
        conductor = self.useFixture(fixtures.Conductor(self.database, {'cache': options}))
        uuid = self.make()
        for number in range(5):
            self.assertEqual(uuid, self.through(conductor, uuid).instance_uuid)
            self.until_cached([uuid])
            self.change(uuid, f'here {number}')
            there = self.through(conductor, uuid)
            self.assertEqual(f'here {number}', there.project_id)
            there.project_id = f'there {number}'
            with mock.patch.object(CellMapObject, 'indirection_api', conductor.api):
                there.save()
            self.assertEqual(f'there {number}', self.project(uuid))

    def through(self, conductor: fixtures.Conductor, uuid: str) -> InstanceMapping:
        with mock.patch.object(CellMapObject, 'indirection_api', conductor.api):
            return InstanceMapping.get_by_instance_uuid(self.context, uuid)


@base.on_both_schemas
class KnownCells(base.TestCase):
    """The cells that a process knows, with or without the cache."""

    def setUp(self) -> None:
        super().setUp()
        self.cell = self.make_cell(name='old')
        for _ in range(2):
            self.make_mapping(cell_uuid=self.cell.uuid)

    def names(self) -> list[str]:
        rows = api.instance_mapping_get_all(self.context, project_id='project')
        return [row['cell_mapping']['name'] for row in rows]

    def change_unseen(self) -> None:
        self.execute(self.cell_table.update().values(name='new'))

    def test_a_cell_is_read_once_in_a_while(self) -> None:
        self.names()
        self.change_unseen()
        self.assertEqual(['old'] * 2, self.names())
        with mock.patch.object(time, 'monotonic', return_value=time.monotonic() + 11):
            self.assertEqual(['new'] * 2, self.names())

    def test_not_where_that_is_off(self) -> None:
        self.conf.set_override('cache_time', 0, group='cells')
        nova_cellmap.configure(self.conf)
        self.names()
        self.change_unseen()
        self.assertEqual(['new'] * 2, self.names())

    def test_configure_forgets_them(self) -> None:
        self.names()
        self.change_unseen()
        nova_cellmap.configure(self.conf)
        self.assertEqual(['new'] * 2, self.names())

    def test_what_this_process_changes_it_knows_at_once(self) -> None:
        self.names()
        api.cell_mapping_update(self.context, self.cell.uuid, {'name': 'new'})
        self.assertEqual(['new'] * 2, self.names())

    def test_a_transaction_sees_its_own_changes(self) -> None:
        self.names()
        with testtools.ExpectedException(ZeroDivisionError), api.writer(self.context):
            api.cell_mapping_update(self.context, self.cell.uuid, {'name': 'new'})
            self.assertEqual(['new'] * 2, self.names())
            raise ZeroDivisionError
        self.assertEqual(['old'] * 2, self.names())

    def test_a_new_cell_is_read(self) -> None:
        self.names()
        self.make_mapping(cell_uuid=self.make_cell(name='another').uuid)
        self.assertEqual(['old', 'old', 'another'], self.names())

    def test_what_is_handed_out_is_the_callers_own(self) -> None:
        for _ in range(3):
            [row, _] = api.instance_mapping_get_all(self.context, project_id='project')
            row['cell_mapping']['name'] += ' and changed'
        self.assertEqual(['old'] * 2, self.names())

    def test_a_transaction_that_began_before_a_change_has_nothing_kept(self) -> None:
        with api.writer(self.context):
            # MariaDB's shows what was at the first statement.
            api.instance_mapping_get_counts(self.context, 'project')
            runtime.default().part(known_cells.KnownCells).forget()
            self.names()
        self.change_unseen()
        self.assertEqual(['new'] * 2, self.names())

    def test_what_was_read_before_a_change_is_not_kept_after_it(self) -> None:
        known = runtime.default().part(known_cells.KnownCells)
        generation = known.generation
        row = api.cell_mapping_get_by_uuid(self.context, self.cell.uuid)
        api.cell_mapping_update(self.context, self.cell.uuid, {'name': 'new'})
        known.keep([row], generation, time.monotonic())
        self.assertEqual(['new'] * 2, self.names())
