# SPDX-License-Identifier: Apache-2.0
"""The cache of lookups: what may be found there, when, and what when memcached fails."""

from collections.abc import Sequence
import contextlib
import os
import signal
import time
from typing import Any
from unittest import mock

import fixtures as library_fixtures
from oslo_config import cfg

import nova_cellmap
from nova_cellmap import exception
from nova_cellmap import runtime
from nova_cellmap.db import api
from nova_cellmap.db import connected
from nova_cellmap.db import instance_mapping
from nova_cellmap.db.caching import cache
from nova_cellmap.db.caching import memcached
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.objects.base import CellMapObject
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.db.caching import case


@base.on_both_schemas
class Lookups(case.Case):
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


class Failures(case.Case):
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


class Silence(case.Case):
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


class ManyServers(case.Case):
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


class Options(case.Case):
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
class Conductor(case.Case):
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
