# SPDX-License-Identifier: Apache-2.0
"""A rolling upgrade: clients of every older release and of a newer one, and today's conductor."""

from collections.abc import Iterator
import contextlib
from typing import Any

from oslo_versionedobjects import base as library
from oslo_versionedobjects import exception as library_exception

from nova_cellmap import exception
from nova_cellmap import objects
from nova_cellmap.conductor import rpcapi
from nova_cellmap.db import api
from nova_cellmap.objects.base import CellMapObject
from nova_cellmap.objects.base import CellMapObjectSerializer
from nova_cellmap.objects.base import registered
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.conductor import base as conductor_base
from nova_cellmap.tests.functional.conductor import old_versions

PAGE = conductor_base.PAGE
_URLS = {'transport_url': 'rabbit://u:p@mq/', 'database_connection': 'mysql://u:p@db/cell'}


class _Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.caller = conductor_base.of_small_pages().api.caller

    @contextlib.contextmanager
    def client(self, classes: Any, indirection_api: Any) -> Iterator[Any]:
        CellMapObject.indirection_api = indirection_api
        try:
            with old_versions.Client(classes):
                yield classes
        except Exception as error:
            error.add_note(f'the client has {[cls.__name__ for cls in classes]}')
            raise
        finally:
            CellMapObject.indirection_api = None

    def old_client(self, classes: Any) -> Any:
        """The process is a client with these classes, and without pages."""
        return self.client(classes, old_versions.PlainAPI(self.caller))

    def row(self, mapping: Any) -> dict[str, Any]:
        """The mapping as the database has it."""
        row: dict[str, Any] = api.instance_mapping_get_by_instance_uuid(
            self.context, mapping.instance_uuid
        )
        return row

    def cell_row(self) -> dict[str, Any]:
        """A cell that is there."""
        row: dict[str, Any] = api.cell_mapping_create(
            self.context, {'uuid': base.new_uuid(), 'name': base.new_uuid(), **_URLS}
        )
        return row

    def mapping_row(self, **values: Any) -> dict[str, Any]:
        """A mapping that is there."""
        needed = {'instance_uuid': base.new_uuid(), 'project_id': 'project', 'user_id': 'user'}
        row: dict[str, Any] = api.instance_mapping_create(self.context, {**needed, **values})
        return row

    def assert_is(self, cls: type[Any], obj: Any, unset: set[str] | None = None) -> None:
        """It is of that class and version, with all that its version knows."""
        self.assertIs(cls, type(obj))
        self.assertEqual(cls.VERSION, obj.VERSION)
        missing = {name for name in cls.fields if not obj.obj_attr_is_set(name)}
        self.assertEqual(unset or set(), missing)
        self.assertEqual(set(), obj.obj_what_changed())


class OldMappingsSqlite(_Case):
    def test_a_mapping_is_created_read_changed_and_removed(self) -> None:
        for classes in old_versions.OLD:
            with self.old_client(classes) as (_, _, mapping_class, _):
                cell, other = self.cell_row(), self.cell_row()
                made = mapping_class(
                    self.context,
                    instance_uuid=base.new_uuid(),
                    cell_uuid=cell['uuid'],
                    project_id='project',
                )
                if 'user_id' in mapping_class.fields:
                    made.user_id = 'user'
                made.create()
                self.assert_is(mapping_class, made)
                row = self.row(made)
                self.assertEqual((row['id'], cell['uuid']), (made.id, row['cell_uuid']))
                found = mapping_class.get_by_instance_uuid(self.context, made.instance_uuid)
                self.assert_is(mapping_class, found)
                self.assertEqual(made.obj_to_primitive(), found.obj_to_primitive())

                found.cell_uuid = other['uuid']
                found.project_id = 'other'
                found.save()
                self.assert_is(mapping_class, found)
                row = self.row(made)
                self.assertEqual((other['uuid'], 'other'), (row['cell_uuid'], row['project_id']))
                self.assertIsNotNone(found.updated_at)

                found.destroy()
                error = self.assertRaises(
                    exception.InstanceMappingNotFound,
                    mapping_class.get_by_instance_uuid,
                    self.context,
                    made.instance_uuid,
                )
                self.assertEqual({'uuid': made.instance_uuid}, error.kwargs)

    def test_what_a_client_does_not_know_stays_as_it_is(self) -> None:
        for classes in old_versions.OLD:
            with self.old_client(classes) as (_, _, mapping_class, _):
                row = self.mapping_row(cell_uuid=self.cell_row()['uuid'], queued_for_delete=True)
                found = mapping_class.get_by_instance_uuid(self.context, row['instance_uuid'])
                found.project_id = 'other'
                found.save()
                after = self.row(found)
                self.assertEqual({**row, 'project_id': 'other'}, {**after, 'updated_at': None})

    def test_a_mapping_to_no_cell(self) -> None:
        for classes in old_versions.OLD:
            with self.old_client(classes) as (_, _, mapping_class, _):
                row = self.mapping_row()
                found = mapping_class.get_by_instance_uuid(self.context, row['instance_uuid'])
                if mapping_class.VERSION == '1.0':
                    # It cannot say so, and asking is an error there.
                    self.assert_is(mapping_class, found, unset={'cell_uuid'})
                    self.assertRaises(exception.ObjectActionError, getattr, found, 'cell_uuid')
                else:
                    self.assert_is(mapping_class, found)
                    self.assertIsNone(found.cell_uuid)
                # It can be saved as it is, and be mapped.
                found.project_id = 'other'
                found.save()
                self.assertIsNone(self.row(found)['cell_uuid'])
                found.cell_uuid = self.cell_row()['uuid']
                found.save()
                self.assert_is(mapping_class, found)
                self.assertEqual(found.cell_uuid, self.row(found)['cell_uuid'])

    def test_a_mapping_is_created_in_no_cell(self) -> None:
        for classes in old_versions.OLD:
            with self.old_client(classes) as (_, _, mapping_class, _):
                made = mapping_class(self.context, instance_uuid=base.new_uuid(), project_id='p')
                made.create()
                self.assertIsNone(self.row(made)['cell_uuid'])
                self.assertEqual(mapping_class.VERSION == '1.0', 'cell_uuid' not in made)

    def test_without_a_user(self) -> None:
        for classes in old_versions.OLD:
            with self.old_client(classes) as (_, _, mapping_class, _):
                row = self.mapping_row(user_id=None, cell_uuid=self.cell_row()['uuid'])
                found = mapping_class.get_by_instance_uuid(self.context, row['instance_uuid'])
                self.assert_is(mapping_class, found, unset={'user_id'} & set(mapping_class.fields))

    def test_the_cell_comes_in_the_version_that_is_known(self) -> None:
        cell = self.cell_row()
        row = self.mapping_row(cell_uuid=cell['uuid'])
        mapping_class = old_versions.InstanceMapping14
        for cell_class in old_versions.CellMapping10, old_versions.CellMapping11:
            with self.old_client((cell_class, mapping_class)):
                found: Any = mapping_class.get_by_instance_uuid(self.context, row['instance_uuid'])
                self.assert_is(mapping_class, found)
                self.assert_is(cell_class, found.cell_mapping)
                self.assertEqual(cell['name'], found.cell_mapping.name)

    def test_errors_say_why(self) -> None:
        for classes in old_versions.OLD:
            with self.old_client(classes) as (_, _, mapping_class, _):
                made = mapping_class(
                    self.context, instance_uuid=base.new_uuid(), cell_uuid=base.new_uuid()
                )
                self.assertRaises(exception.ObjectActionError, made.create)
                made.project_id = 'project'
                error = self.assertRaises(exception.CellMappingNotFound, made.create)
                self.assertEqual({'cell': made.cell_uuid}, error.kwargs)
                made.cell_uuid = self.cell_row()['uuid']
                made.create()
                again = mapping_class(
                    self.context,
                    instance_uuid=made.instance_uuid,
                    cell_uuid=made.cell_uuid,
                    project_id='project',
                )
                self.assertRaises(exception.InstanceMappingExists, again.create)
                made.destroy()
                self.assertRaises(exception.InstanceMappingNotFound, made.destroy)


class OldCellsSqlite(_Case):
    def test_a_cell_is_created_read_changed_and_removed(self) -> None:
        for classes in old_versions.OLD:
            with self.old_client(classes) as (cell_class, _, _, _):
                made = cell_class(self.context, name=f'cell {cell_class.VERSION}', **_URLS)
                if 'disabled' in cell_class.fields:
                    made.disabled = True
                made.create()
                self.assert_is(cell_class, made)
                found = cell_class.get_by_uuid(self.context, made.uuid)
                self.assert_is(cell_class, found)
                self.assertEqual(made.obj_to_primitive(), found.obj_to_primitive())
                self.assertEqual(_URLS['transport_url'], found.transport_url)
                if hasattr(cell_class, 'get_by_name'):
                    named = cell_class.get_by_name(self.context, made.name)
                    self.assertEqual(made.uuid, named.uuid)

                found.name = base.new_uuid()
                found.save()
                self.assert_is(cell_class, found)
                row = api.cell_mapping_get_by_uuid(self.context, made.uuid)
                self.assertEqual(found.name, row['name'])
                self.assertEqual('disabled' in cell_class.fields, row['disabled'])
                found.destroy()
                self.assertRaises(
                    exception.CellMappingNotFound, cell_class.get_by_uuid, self.context, made.uuid
                )


class OldListsSqlite(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.cell = self.cell_row()
        self.rows = [self.mapping_row(cell_uuid=self.cell['uuid']) for _ in range(PAGE)]
        self.uuids = [row['instance_uuid'] for row in self.rows]

    def calls(self) -> dict[str, tuple[Any, ...]]:
        """Of each method that lists mappings, the arguments that find all of them."""
        return {
            'get_all': (),
            'get_by_project_id': ('project',),
            'get_by_cell_uuid': (self.cell['uuid'],),
            'get_by_cell_id': (self.cell['id'],),
            'get_by_instance_uuids': (self.uuids,),
            'get_not_deleted_by_cell_and_project': (self.cell['uuid'], 'project'),
        }

    def test_a_list_comes_in_the_versions_that_are_known(self) -> None:
        for classes in old_versions.OLD:
            with self.old_client(classes) as (cell_class, _, mapping_class, list_class):
                for method, args in self.calls().items():
                    if hasattr(list_class, method):
                        listed = getattr(list_class, method)(self.context, *args)
                        self.assert_is(list_class, listed)
                        self.assertEqual(self.uuids, [each.instance_uuid for each in listed])
                        for each in listed:
                            self.assert_is(mapping_class, each)
                            if 'cell_mapping' in mapping_class.fields:
                                self.assert_is(cell_class, each.cell_mapping)

    def test_each_method_of_each_version_is_tried(self) -> None:
        [*_, last] = old_versions.OLD
        lists = {name for name in dir(last[3]) if name.startswith('get_') and 'count' not in name}
        self.assertEqual(set(self.calls()), lists)

    def test_where_there_is_more_than_a_page_a_client_without_pages_is_told(self) -> None:
        self.uuids.append(self.mapping_row(cell_uuid=self.cell['uuid'])['instance_uuid'])
        for classes in old_versions.OLD:
            with self.old_client(classes) as (_, _, _, list_class):
                for method, args in self.calls().items():
                    if hasattr(list_class, method):
                        error = self.assertRaises(
                            exception.PageTooLarge,
                            getattr(list_class, method),
                            self.context,
                            *args,
                        )
                        self.assertIn(f'More than {PAGE} objects', str(error))
                        self.assertIn('in pages, with limit and marker', str(error))
                if list_class.VERSION == '1.4':
                    first = list_class.get_all(self.context, limit=PAGE)
                    second = list_class.get_all(
                        self.context, limit=PAGE, marker=first[-1].instance_uuid
                    )
                    found = [each.instance_uuid for each in [*first, *second]]
                    self.assertEqual(self.uuids, found)

    def test_what_lists_count_create_and_remove(self) -> None:
        for classes in old_versions.OLD:
            with self.old_client(classes) as (_, _, mapping_class, list_class):
                if hasattr(list_class, 'get_counts'):
                    counts = list_class.get_counts(self.context, 'project', user_id='user')
                    self.assertEqual(PAGE, counts['project']['instances'])
                    self.assertEqual(PAGE, counts['user']['instances'])
                    count = list_class.get_count_by_uuids_and_user(
                        self.context, self.uuids, 'user'
                    )
                    self.assertEqual(PAGE, count)
                more = [self.mapping_row(project_id='more')['instance_uuid']]
                if hasattr(list_class, 'create_bulk'):
                    new = mapping_class(
                        self.context, instance_uuid=base.new_uuid(), project_id='p'
                    )
                    result = list_class.create_bulk(self.context, [new])
                    self.assertEqual({'created': 1, 'existing': 0, 'conflicts': {}}, result)
                    more.append(new.instance_uuid)
                if hasattr(list_class, 'destroy_bulk'):
                    self.assertEqual(len(more), list_class.destroy_bulk(self.context, more))

    def test_lists_of_cells(self) -> None:
        for classes in old_versions.OLD:
            with self.old_client(classes) as (cell_class, list_class, _, _):
                for method, args in (
                    ('get_all', ()),
                    ('get_by_disabled', (False,)),
                    ('get_by_project_id', ('project',)),
                ):
                    if hasattr(list_class, method):
                        listed = getattr(list_class, method)(self.context, *args)
                        self.assert_is(list_class, listed)
                        [found] = listed
                        self.assert_is(cell_class, found)
                        self.assertEqual(self.cell['uuid'], found.uuid)


class BackportsSqlite(_Case):
    """Objects that other services sent, and that are too new for the reader."""

    def sent(self) -> dict[str, Any]:
        """What a service of today sends."""
        cell = self.make_cell(name='here')
        mapping = self.make_mapping(cell_mapping=cell)
        new = self.new_mapping(cell_mapping=cell)
        mappings = objects.InstanceMappingList.get_all(self.context)
        mixed = objects.InstanceMappingList(objects=[mapping, new])
        cells = objects.CellMappingList.get_all(self.context)
        entity = {'one': mapping, 'nested': [[cell, {'new': new}], (mappings, mixed, cells)]}
        sent: dict[str, Any] = CellMapObjectSerializer().serialize_entity(self.context, entity)
        return sent

    def test_the_conductor_takes_them_to_the_readers_versions(self) -> None:
        for classes in old_versions.OLD:
            sent = self.sent()
            with self.old_client(classes):
                cell_class, cells_class, mapping_class, mappings_class = classes
                came = CellMapObjectSerializer().deserialize_entity(self.context, sent)
                [[cell, nested], (mappings, mixed, cells)] = came['nested']
                self.assert_is(mapping_class, came['one'])
                self.assert_is(cell_class, cell)
                self.assert_is(mappings_class, mappings)
                self.assert_is(cells_class, cells)
                for each in mappings:
                    self.assert_is(mapping_class, each)
                    self.assertEqual(came['one'].obj_to_primitive(), each.obj_to_primitive())
                    if 'cell_mapping' in mapping_class.fields:
                        self.assert_is(cell_class, each.cell_mapping)
                for each in cells:
                    self.assertEqual(cell.obj_to_primitive(), each.obj_to_primitive())
                # What is changed stays so.
                for each in (nested['new'], mixed[1]):
                    self.assertIs(mapping_class, type(each))
                    self.assertIn('project_id', each.obj_what_changed())
                    self.assertEqual(cell.uuid, each.cell_uuid)
            api.instance_mapping_destroy_bulk(self.context, [came['one'].instance_uuid])
            api.cell_mapping_destroy(self.context, cell.uuid)

    def test_an_object_that_came_so_can_be_saved(self) -> None:
        for classes in old_versions.OLD:
            sent = self.make_mapping().obj_to_primitive()
            with self.old_client(classes):
                came: Any = CellMapObjectSerializer().deserialize_entity(self.context, sent)
                came.project_id = 'other'
                came.save()
                self.assertEqual('other', self.row(came)['project_id'])

    def test_an_objects_cell_is_taken_down_although_the_object_is_known(self) -> None:
        mapping = self.make_mapping(cell_mapping=self.make_cell())
        alone, listed = [mapping], objects.InstanceMappingList.get_all(self.context)
        sent = CellMapObjectSerializer().serialize_entity(self.context, [alone, listed])
        known = (
            old_versions.CellMapping11,
            old_versions.InstanceMapping14,
            old_versions.InstanceMappingList14,
        )
        with self.old_client(known):
            [[alone], listed] = CellMapObjectSerializer().deserialize_entity(self.context, sent)
            for came in (alone, *listed):
                self.assert_is(old_versions.InstanceMapping14, came)
                self.assert_is(old_versions.CellMapping11, came.cell_mapping)

    def test_without_a_conductor_it_is_said_what_is_too_new(self) -> None:
        sent = self.make_mapping().obj_to_primitive()
        with self.client(old_versions.OLD[0], None):
            error = self.assertRaises(
                library_exception.IncompatibleObjectVersion,
                CellMapObjectSerializer().deserialize_entity,
                self.context,
                sent,
            )
        self.assertIn(
            f'Version {objects.InstanceMapping.VERSION} of nova_cellmap.InstanceMapping '
            'is not supported, '
            'supported version is 1.0',
            str(error),
        )

    def test_the_conductor_cannot_take_down_what_is_too_new_for_itself_and_says_so(self) -> None:
        sent = self.make_mapping().obj_to_primitive()
        sent['nova_cellmap_object.version'] = '1.999'
        with self.old_client(old_versions.OLD[-1]):
            error = self.assertRaises(
                library_exception.IncompatibleObjectVersion,
                CellMapObjectSerializer().deserialize_entity,
                self.context,
                sent,
            )
        self.assertIn(f'supported version is {objects.InstanceMapping.VERSION}', str(error))


class NewerSqlite(_Case):
    """A client of a release to come, and a conductor that has not been upgraded yet."""

    def setUp(self) -> None:
        super().setUp()
        self.cell = self.cell_row()
        self.rows = [self.mapping_row(cell_uuid=self.cell['uuid']) for _ in range(PAGE + 2)]
        self.uuids = [row['instance_uuid'] for row in self.rows]

    def newer_client(self) -> Any:
        return self.client(old_versions.NEW, rpcapi.ConductorAPI(self.caller, 1000))

    def test_what_is_read_comes_without_what_is_new(self) -> None:
        with self.newer_client() as (cell_class, cells_class, mapping_class, list_class):
            found = mapping_class.get_by_instance_uuid(self.context, self.uuids[0])
            self.assertIs(mapping_class, type(found))
            self.assertEqual(objects.InstanceMapping.VERSION, found.VERSION)
            self.assertNotIn('zone', found)
            self.assertEqual(self.cell['uuid'], found.cell_mapping.uuid)
            self.assertIs(cell_class, type(found.cell_mapping))
            self.assertNotIn('region', found.cell_mapping)
            listed = list_class.get_by_project_id(self.context, 'project')
            self.assertEqual(self.uuids, [each.instance_uuid for each in listed])
            [cell] = cells_class.get_all(self.context)
            self.assertEqual(self.cell['uuid'], cell.uuid)
            by_name = cell_class.get_by_name(self.context, self.cell['name'])
            self.assertEqual(cell.uuid, by_name.uuid)

    def test_what_was_read_can_be_changed_and_removed(self) -> None:
        with self.newer_client() as (_, _, mapping_class, _):
            found = mapping_class.get_by_instance_uuid(self.context, self.uuids[0])
            found.project_id = 'other'
            found.save()
            self.assertEqual('other', self.row(found)['project_id'])
            found.destroy()
            self.assertRaises(exception.InstanceMappingNotFound, found.save)

    def test_what_is_new_is_not_lost_without_a_word(self) -> None:
        with self.newer_client() as (_, _, mapping_class, _):
            found = mapping_class.get_by_instance_uuid(self.context, self.uuids[0])
            found.zone = 'zone 1'
            error = self.assertRaises(exception.CellMapError, found.save)
            self.assertIn('zone', str(error))

    def test_what_is_made_there_is_too_new(self) -> None:
        with self.newer_client() as (cell_class, _, mapping_class, list_class):
            new = mapping_class(self.context, instance_uuid=base.new_uuid(), project_id='p')
            cell = cell_class(self.context, **_URLS)
            for call in (
                new.create,
                lambda: list_class.create_bulk(self.context, [new]),
                cell.create,
            ):
                error = self.assertRaises(library_exception.IncompatibleObjectVersion, call)
                self.assertIn('is not supported, supported version is 1.', str(error))

    def test_a_method_that_is_new_is_refused_by_its_name(self) -> None:
        with self.newer_client() as (_, _, _, list_class):
            error = self.assertRaises(
                exception.RemoteCallRefused, list_class.get_by_zone, self.context, 'z'
            )
            self.assertIn('nova_cellmap.InstanceMappingList.get_by_zone', str(error))
            self.assertIn('no remotable method', str(error))

    def test_an_argument_that_is_new_is_refused_by_its_name(self) -> None:
        with self.newer_client() as (_, _, _, list_class):
            error = self.assertRaises(
                exception.InvalidInput,
                list_class.get_by_project_id,
                self.context,
                'project',
                zone='zone 1',
            )
            self.assertIn("'zone'", str(error))

    def test_counts_and_removals_work(self) -> None:
        with self.newer_client() as (_, _, _, list_class):
            counts = list_class.get_counts(self.context, 'project')
            self.assertEqual({'project': {'instances': len(self.uuids)}}, counts)
            self.assertEqual(
                len(self.uuids), list_class.destroy_bulk(self.context, iter(self.uuids))
            )


class RegistrySqlite(_Case):
    def test_the_registry_is_as_it_was(self) -> None:
        before = {name: list(classes) for name, classes in registered().items()}
        for classes in old_versions.OLD:
            with self.old_client(classes):
                self.assertEqual(set(classes), {each for [each] in registered().values()})
        with self.client(old_versions.NEW, None):
            pass
        self.assertEqual(before, dict(registered()))
        self.assertEqual(
            [objects.InstanceMapping],
            library.VersionedObjectRegistry.obj_classes()['nova_cellmap.InstanceMapping'],
        )

    def test_every_version_has_a_client(self) -> None:
        for name in objects.__all__:
            today = getattr(objects, name)
            had = {
                cls.VERSION
                for classes in old_versions.OLD
                for cls in classes
                if cls.obj_name() == today.obj_name()
            }
            older = {f'1.{number}' for number in range(int(today.VERSION.split('.')[1]))}
            self.assertLessEqual(older, had)
