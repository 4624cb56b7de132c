# SPDX-License-Identifier: Apache-2.0
"""A service's own contexts, and what is none, with every function and object."""

import inspect
from typing import Any

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap import objects
from nova_cellmap.cells import listing
from nova_cellmap.cells import scatter
from nova_cellmap.cells import target
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.unit import test_context

URLS = {'transport_url': 'none:///', 'database_connection': 'none:///'}


def calls() -> dict[str, tuple[Any, ...]]:
    """Arguments for each function of the function layer, in an order in which they work."""
    cell, instance, other = base.new_uuid(), base.new_uuid(), base.new_uuid()
    mapping = {'instance_uuid': instance, 'project_id': 'p', 'cell_uuid': cell, 'user_id': 'u'}
    seen = {**mapping, 'queued_for_delete': False}
    batch = [{'instance_uuid': base.new_uuid(), 'project_id': 'p'}]
    return {
        'cell_mapping_create': ({'uuid': cell, **URLS},),
        'cell_mapping_create_bulk': ([{'uuid': cell, **URLS}],),
        'cell_mapping_get_by_uuid': (cell,),
        'cell_mapping_update': (cell, {'name': cell}),
        'cell_mapping_get_by_name': (cell,),
        'cell_mapping_get_all': (),
        'cell_mapping_get_by_project_id': ('p',),
        'instance_mapping_create': (mapping,),
        'instance_mapping_get_by_instance_uuid': (instance,),
        'instance_mapping_update': (instance, {'user_id': 'u'}),
        'instance_mapping_update_bulk': ([(seen, {'user_id': 'v'})],),
        'instance_mapping_destroy_seen': ([seen],),
        'instance_mapping_get_all': (),
        'instance_mapping_get_by_cell_id': (1,),
        'instance_mapping_get_by_instance_uuids': ([instance],),
        'instance_mapping_get_as_stored': ([instance],),
        'instance_mapping_scan': ('', 10),
        'instance_mapping_get_counts': ('p',),
        'instance_mapping_get_count_by_uuids_and_user': ([instance], 'u'),
        'instance_mapping_count_by_cell_and_project': (),
        'instance_mapping_create_bulk': ([{**mapping, 'instance_uuid': other}],),
        'instance_mapping_move_bulk': ([other],),
        'map_progress_get': (cell,),
        'map_progress_clear': (cell,),
        'import_progress_get': ('s',),
        'import_progress_clear': ('s',),
        'instance_mapping_map_batch': (cell, batch),
        'instance_mapping_import_batch': ([],),
        'instance_mapping_destroy': (instance,),
        'instance_mapping_destroy_bulk': ([other],),
        'cell_mapping_destroy': (base.new_uuid(),),
        'concurrent_writers': (),
        'cell_mapping_has_hosts': (cell,),
        'nova_schema_get': (),
        'nova_traces_get': (instance,),
        'build_request_get_by_instance_uuids': ([instance],),
        'utc_time_get': (),
    }


NAMED: dict[str, dict[str, Any]] = {
    'instance_mapping_map_batch': {'last_instance_id': 1},
    'instance_mapping_import_batch': {'last_mapping_id': 1, 'source': 's'},
    'instance_mapping_move_bulk': {'from_cell_uuid': None, 'to_cell_uuid': base.new_uuid()},
}


@base.on_both_schemas
class Functions(base.TestCase):
    def test_each_is_tried(self) -> None:
        takers = {
            name
            for name, function in inspect.getmembers(api, inspect.isfunction)
            if function not in (api.reader, api.writer)
            and next(iter(inspect.signature(function).parameters), '') == 'context'
        }
        self.assertLessEqual(takers, calls().keys())

    def test_with_contexts_of_others(self) -> None:
        for cls in test_context.FOREIGN:
            theirs = test_context.of_service(cls)
            for name, arguments in calls().items():
                try:
                    getattr(api, name)(theirs, *arguments, **NAMED.get(name, {}))
                except exception.NotFound:
                    self.assertEqual('cell_mapping_destroy', name)

    def test_what_is_none_is_refused(self) -> None:
        for given in test_context.NONE:
            for name, arguments in calls().items():
                error = self.assertRaises(
                    exception.InvalidInput,
                    getattr(api, name),
                    given,
                    *arguments,
                    **NAMED.get(name, {}),
                )
                self.assertIn('request context', str(error), name)
            for block in (api.reader, api.writer):
                error = self.assertRaises(exception.InvalidInput, block(given).__enter__)
                self.assertIn('request context', str(error))
        self.assertEqual([], api.cell_mapping_get_all(self.context))

    def test_blocks(self) -> None:
        for cls in test_context.FOREIGN:
            theirs, others = test_context.of_service(cls), test_context.of_service(cls)
            uuid = base.new_uuid()
            with api.writer(theirs):
                api.cell_mapping_create(theirs, {'uuid': uuid, **URLS})
                if self.kind != 'sqlite':
                    # Equal, and yet not in that block.
                    self.assertRaises(
                        exception.CellMappingNotFound, api.cell_mapping_get_by_uuid, others, uuid
                    )
                with api.reader(theirs):
                    self.assertEqual(uuid, api.cell_mapping_get_by_uuid(theirs, uuid)['uuid'])
            self.assertEqual(uuid, api.cell_mapping_get_by_uuid(others, uuid)['uuid'])

    def test_a_block_that_fails_leaves_nothing(self) -> None:
        theirs = test_context.of_service()

        def fail() -> None:
            with api.writer(theirs):
                api.cell_mapping_create(theirs, {'uuid': base.new_uuid(), **URLS})
                raise LookupError

        self.assertRaises(LookupError, fail)
        self.assertEqual([], api.cell_mapping_get_all(theirs))


class ObjectsSqlite(base.TestCase):
    def test_objects(self) -> None:
        for cls in test_context.FOREIGN:
            theirs = test_context.of_service(cls)
            cell = objects.CellMapping(theirs, name=base.new_uuid(), **URLS)
            cell.create()
            cell.name = base.new_uuid()
            cell.save()
            mapping = objects.InstanceMapping(
                theirs, instance_uuid=base.new_uuid(), project_id='p', cell_uuid=cell.uuid
            )
            mapping.create()
            found = objects.InstanceMapping.get_by_instance_uuid(theirs, mapping.instance_uuid)
            self.assertIs(theirs, found._context)
            self.assertEqual(cell.uuid, found.cell_mapping.uuid)
            found.project_id = 'q'
            found.save()
            [listed] = objects.InstanceMappingList.get_by_project_id(theirs, 'q')
            # It loads the cell by the context that it was loaded with.
            del listed.cell_mapping
            self.assertEqual(cell.uuid, listed.cell_mapping.uuid)
            new = objects.InstanceMapping(theirs, instance_uuid=base.new_uuid(), project_id='p')
            result = objects.InstanceMappingList.create_bulk(theirs, [new])
            self.assertEqual(1, result['created'])
            uuids = [mapping.instance_uuid, new.instance_uuid]
            self.assertEqual(2, objects.InstanceMappingList.destroy_bulk(theirs, uuids))
            cell.destroy()

    def test_what_is_none_is_refused(self) -> None:
        uuid = base.new_uuid()
        for given in test_context.NONE:
            for call, arguments in (
                (objects.CellMapping.get_by_uuid, (uuid,)),
                (objects.CellMappingList.get_all, ()),
                (objects.InstanceMapping.get_by_instance_uuid, (uuid,)),
                (objects.InstanceMappingList.get_all, ()),
                (objects.InstanceMappingList.get_by_instance_uuids, ([uuid],)),
                (objects.InstanceMappingList.destroy_bulk, ([uuid],)),
            ):
                method: Any = call
                error = self.assertRaises(exception.InvalidInput, method, given, *arguments)
                self.assertIn('request context', str(error))


class ObjectsConductorSqlite(ObjectsSqlite):
    """Through a conductor, by RabbitMQ."""

    through_conductor = True


class CellsSqlite(cells_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(target.forget_all)
        nova_cell.fill(self.nova, 3)

    def test_target_cell(self) -> None:
        for cls in test_context.FOREIGN:
            theirs: Any = test_context.of_service(cls)
            with target.target_cell(theirs, self.cell) as cctxt:
                self.assertIsInstance(cctxt, RequestContext)
                self.assertEqual(('alice', 'demo'), (cctxt.user_id, cctxt.project_id))
                with cctxt.cell.reader() as connection:
                    count = sa.select(sa.func.count()).select_from(nova_cell.instances)
                    self.assertEqual(3, connection.execute(count).scalar_one())
            with target.target_cell(theirs, None) as cctxt:
                self.assertEqual('alice', cctxt.user_id)

    def test_scatter(self) -> None:
        for cls in test_context.FOREIGN:
            theirs: Any = test_context.of_service(cls)
            for results in (
                scatter.scatter_gather_all_cells(theirs, lambda cctxt: cctxt.user_id),
                scatter.scatter_gather_skip_cell0(theirs, lambda cctxt: cctxt.user_id),
                scatter.scatter_gather_single_cell(theirs, self.cell, lambda cctxt: cctxt.user_id),
            ):
                self.assertEqual({self.cell.uuid: 'alice'}, results.answers)

    def test_listing(self) -> None:
        for cls in test_context.FOREIGN:
            theirs: Any = test_context.of_service(cls)
            found = listing.list_instances(theirs)
            self.assertEqual(3, len(found.instances))
            [first, *_] = found.instances
            listing.list_instances(theirs, marker=first.uuid, limit=1)

    def test_what_is_none_is_refused(self) -> None:
        for given in test_context.NONE:
            calls: tuple[tuple[Any, tuple[Any, ...]], ...] = (
                (target.target_cell(given, self.cell).__enter__, ()),
                (scatter.scatter_gather_all_cells, (given, str)),
                (scatter.scatter_gather_cells, (given, [self.cell], 1, str)),
                (listing.list_instances, (given,)),
            )
            for call, arguments in calls:
                error = self.assertRaises(exception.InvalidInput, call, *arguments)
                self.assertIn('request context', str(error))
