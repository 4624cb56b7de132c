# SPDX-License-Identifier: Apache-2.0
"""What a transaction changes, lookups find: in the cache is nothing that was before."""

from collections.abc import Callable, Iterator
import contextlib
import os
import signal
from typing import Any
from unittest import mock

import testtools

from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.db import engine
from nova_cellmap.db import instance_mapping
from nova_cellmap.db.caching import cache
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.db.caching import case


@base.on_both_schemas
class Changes(case.Case):
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
        self.assertEqual({*uuids[1:]}, {*changed})
        projects = [self.project(uuid) for uuid in uuids]
        self.assertEqual(['changed meanwhile', 'new', 'new', 'new'], projects)

    def test_many_removals_of_what_was_seen(self) -> None:
        uuids = [self.make_cached() for _ in range(4)]
        rows = api.instance_mapping_get_by_instance_uuids(self.context, uuids)
        self.change(uuids[0], 'changed meanwhile')
        removed = api.instance_mapping_destroy_seen(self.context, rows)
        self.assertEqual({*uuids[1:]}, {*removed})
        self.assertEqual('changed meanwhile', self.project(uuids[0]))
        for uuid in uuids[1:]:
            self.assertRaises(exception.InstanceMappingNotFound, self.find, uuid)

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
