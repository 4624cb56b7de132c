# SPDX-License-Identifier: Apache-2.0
"""Whose transaction it is: a cell's, of somebody else, or the mapping's."""

from collections.abc import Iterator, Sequence
from concurrent import futures
import contextlib
import threading
from typing import Any

from oslo_context import context as oslo_context
from oslo_db.sqlalchemy import enginefacade
import sqlalchemy as sa
import testtools

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.cells import scatter
from nova_cellmap.cells import target
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api
from nova_cellmap.db import transaction
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base

_instances = nova_cell.instances


@base.on_each_database
class Whose(cells_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(target.forget_all)
        self.mapping = self.make_mapping(cell_mapping=self.cell)

    def look_up(self, context: RequestContext) -> None:
        """All kinds of calls."""
        uuid = self.mapping.instance_uuid
        found = InstanceMapping.get_by_instance_uuid(context, uuid)
        self.assertEqual(self.mapping.id, found.id)
        [row] = api.instance_mapping_get_by_instance_uuids(context, [uuid])
        self.assertEqual(self.mapping.id, row['id'])
        self.assertEqual(1, len(api.instance_mapping_get_all(context, project_id='project')))
        cells = [row['uuid'] for row in api.cell_mapping_get_all(context)]
        self.assertIn(self.cell.uuid, cells)

    def change(self, context: RequestContext) -> None:
        new = InstanceMapping(context, instance_uuid=base.new_uuid(), project_id='new')
        new.create()
        new.queued_for_delete = True
        new.save()
        self.assertEqual(1, len(api.instance_mapping_get_all(self.context, project_id='new')))
        new.destroy()

    def test_in_a_block_of_a_cell(self) -> None:
        uuid = nova_cell.add(self.nova)
        with target.target_cell(self.context, self.cell) as context:
            for block in (context.cell.reader, context.cell.writer):
                with block() as connection:
                    self.look_up(context)
                    if self.kind != 'sqlite':
                        self.change(context)
                    # And the cell's block is as it was.
                    read = connection.execute(sa.select(_instances.c.uuid)).scalars().all()
                    self.assertEqual([uuid], read)

    def test_what_is_changed_in_a_cells_block_is_not_lost(self) -> None:
        uuid = nova_cell.add(self.nova)
        with (
            target.target_cell(self.context, self.cell) as context,
            context.cell.writer() as connection,
        ):
            where = _instances.c.uuid == uuid
            connection.execute(_instances.update().where(where).values(hostname='new'))
            with contextlib.suppress(exception.CellMapError):
                self.look_up(context)
        with self.nova.connect() as connection:
            self.assertEqual('new', connection.scalar(sa.select(_instances.c.hostname)))

    def test_in_a_function_of_scatter_gather(self) -> None:
        def work(context: RequestContext) -> str:
            with context.cell.reader():
                self.look_up(context)
            self.look_up(context)
            return 'done'

        results = scatter.scatter_gather_cells(self.context, [self.cell], 30, work)
        self.assertEqual({self.cell.uuid: 'done'}, results.answers)

    def test_in_a_transaction_of_another_enginefacade(self) -> None:
        other = enginefacade.transaction_context()
        other.configure(connection=cells_base.url_of(self.nova), max_retries=0)
        self.addCleanup(other.dispose_pool)
        uuid = nova_cell.add(self.nova)
        with other.reader.using(self.context) as session:
            self.look_up(self.context)
            self.assertEqual(uuid, session.execute(sa.select(_instances.c.uuid)).scalar_one())
        with other.writer.using(self.context):
            self.look_up(self.context)
        # The other way round.
        with api.writer(self.context):
            new = self.make_mapping(project_id='new')
            with other.reader.using(self.context) as session:
                InstanceMapping.get_by_instance_uuid(self.context, new.instance_uuid)
                self.assertEqual(uuid, session.execute(sa.select(_instances.c.uuid)).scalar_one())
        InstanceMapping.get_by_instance_uuid(self.context, new.instance_uuid)

    def test_what_is_open_of_ours_is_taken_part_in(self) -> None:
        """A block of ours, then one of a cell on the same context, then a call."""
        with target.target_cell(self.context, self.cell) as context:
            with testtools.ExpectedException(ZeroDivisionError), api.writer(context):
                new = InstanceMapping(context, instance_uuid=base.new_uuid(), project_id='new')
                new.create()
                with context.cell.reader():
                    InstanceMapping.get_by_instance_uuid(context, new.instance_uuid)
                    other = InstanceMapping(
                        context, instance_uuid=base.new_uuid(), project_id='new'
                    )
                    other.create()
                raise ZeroDivisionError
            self.assertEqual([], api.instance_mapping_get_all(context, project_id='new'))

    def test_a_context_in_two_cells(self) -> None:
        other, nova = self.new_cell('cell2')
        uuids = [nova_cell.add(self.nova), nova_cell.add(nova)]
        with (
            target.target_cell(self.context, self.cell) as one,
            target.target_cell(one, other) as two,
            one.cell.reader() as first,
            two.cell.reader() as second,
        ):
            self.look_up(one)
            self.look_up(two)
            query = sa.select(_instances.c.uuid)
            self.assertEqual(uuids, [each.scalar(query) for each in (first, second)])


@base.on_each_database
class Blocks(base.TestCase):
    def names(self) -> list[str]:
        with futures.ThreadPoolExecutor(1) as pool:
            rows = pool.submit(api.instance_mapping_get_all, RequestContext()).result()
        return sorted(row['project_id'] for row in rows)

    def test_a_call_that_writes_in_a_block_that_reads_is_its_own(self) -> None:
        with api.reader(self.context):
            mapping = self.make_mapping(project_id='one')
            self.assertEqual(['one'], self.names())
            found = InstanceMapping.get_by_instance_uuid(self.context, mapping.instance_uuid)
            self.assertEqual(mapping.id, found.id)

    def test_a_block_that_writes_in_one_that_reads(self) -> None:
        with api.reader(self.context):
            with api.writer(self.context):
                uuid = self.make_mapping(project_id='one').instance_uuid
                with api.reader(self.context):
                    InstanceMapping.get_by_instance_uuid(self.context, uuid)
                if self.kind != 'sqlite':
                    self.assertEqual([], self.names())
            self.assertEqual(['one'], self.names())
            InstanceMapping.get_by_instance_uuid(self.context, uuid)

    def test_blocks_that_write_within_each_other_are_one(self) -> None:
        with testtools.ExpectedException(ZeroDivisionError), api.writer(self.context):
            self.make_mapping(project_id='one')
            with api.writer(self.context):
                self.make_mapping(project_id='two')
            raise ZeroDivisionError
        self.assertEqual([], self.names())

    def test_threads_that_share_a_context_do_not_share_a_block(self) -> None:
        begun, end = threading.Event(), threading.Event()

        def other() -> Sequence[Any]:
            begun.wait(30)
            try:
                return api.instance_mapping_get_all(self.context)
            finally:
                end.set()

        with futures.ThreadPoolExecutor(1) as pool:
            rows = pool.submit(other)
            with api.writer(self.context):
                self.make_mapping(project_id='one')
                begun.set()
                end.wait(30)
            self.assertEqual([], rows.result())

    def test_a_block_of_a_generator_that_another_thread_ends(self) -> None:
        def work() -> Iterator[None]:
            with api.writer(self.context):
                self.make_mapping(project_id='one')
                yield

        generator = work()
        next(generator)
        with futures.ThreadPoolExecutor(1) as pool:
            pool.submit(next, generator, None).result()
        self.assertFalse(transaction.is_open(self.context))
        self.assertEqual(['one'], self.names())

    def test_nothing_is_left_of_blocks(self) -> None:
        for block in (api.reader, api.writer):
            for error in (None, ZeroDivisionError, KeyboardInterrupt):
                with (
                    contextlib.suppress(ZeroDivisionError, KeyboardInterrupt),
                    block(self.context),
                ):
                    api.instance_mapping_get_all(self.context)
                    if error is not None:
                        raise error
        self.assertEqual({}, transaction._blocks.open)

    def test_who_catches_an_error_in_a_block_goes_on(self) -> None:
        existing = self.make_mapping(project_id='zero')
        with api.writer(self.context):
            self.make_mapping(project_id='one')
            for failing, error in (
                (
                    lambda: self.make_mapping(instance_uuid=existing.instance_uuid),
                    exception.InstanceMappingExists,
                ),
                (
                    lambda: self.make_mapping(cell_uuid=base.new_uuid()),
                    exception.CellMappingNotFound,
                ),
                (
                    lambda: api.instance_mapping_get_all(self.context, project_id='\ud800'),
                    exception.InvalidInput,
                ),
            ):
                self.assertRaises(error, failing)
            self.make_mapping(project_id='two')
            self.assertRaises(
                exception.InstanceMappingExists,
                self.make_mapping,
                instance_uuid=existing.instance_uuid,
            )
        self.assertEqual(['one', 'two', 'zero'], self.names())

    def test_an_empty_block_asks_nothing(self) -> None:
        with api.writer(self.context), api.reader(self.context):
            """Nothing."""


class Others(base.TestCase):
    """A context of others is in a block of ours, and what it has of its own is nothing to it."""

    def test_a_plain_context(self) -> None:
        context: Any = oslo_context.RequestContext(overwrite=False)
        values = {'instance_uuid': base.new_uuid(), 'project_id': 'p'}
        with testtools.ExpectedException(ZeroDivisionError), api.writer(context):
            api.instance_mapping_create(context, values)
            self.assertEqual(1, len(api.instance_mapping_get_all(context)))
            raise ZeroDivisionError
        self.assertEqual([], api.instance_mapping_get_all(context))
