# SPDX-License-Identifier: Apache-2.0
"""What a conductor does for those on the message queue, and what it does not."""

import string
from typing import Any
from unittest import mock

import oslo_messaging
from oslo_versionedobjects import base as library
from oslo_versionedobjects import exception as library_exception
from oslo_versionedobjects import fields as library_fields

from nova_cellmap import exception
from nova_cellmap import objects
from nova_cellmap.conductor import rpc
from nova_cellmap.db import api
from nova_cellmap.objects import base as objects_base
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.conductor import base as conductor_base

_MAPPING = 'nova_cellmap.InstanceMapping'
_LIST = 'nova_cellmap.InstanceMappingList'
_CELL = 'nova_cellmap.CellMapping'
_VERSIONS = {name: classes[0].VERSION for name, classes in objects_base.registered().items()}
_SECRET = 'sekret'


class _Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.conductor = conductor_base.here()
        self.caller = self.conductor.caller
        self.logged = self.useFixture(conductor_base.Logged())

    def ask(self, objname: Any, objmethod: Any, *args: Any, **changed: Any) -> Any:
        """Call a method of a class."""
        arguments = {
            'objname': objname,
            'objmethod': objmethod,
            'object_versions': _VERSIONS,
            'args': list(args),
            'kwargs': {},
        }
        return self.caller(
            self.context, 'object_class_action_versions', **{**arguments, **changed}
        )

    def act(self, objinst: Any, objmethod: Any, *args: Any) -> Any:
        """Call a method of an object."""
        return self.caller(
            self.context,
            'object_action',
            objinst=objinst,
            objmethod=objmethod,
            args=list(args),
            kwargs={},
        )

    def assert_refused(self, call: Any, *args: Any, **kwargs: Any) -> str:
        """It is refused, and that is logged once and as no fault."""
        before = self.logged.output
        error = self.assertRaises(exception.RemoteCallRefused, call, *args, **kwargs)
        logged = self.logged.output[len(before) :]
        self.assertIn('WARNING nova_cellmap.conductor.dispatcher Refused a remote call', logged)
        self.assertNotIn('ERROR', logged)
        self.assertNotIn('Traceback', logged)
        self.assertNotIn('Traceback', str(error))
        return str(error)

    def primitive(self, obj: Any, **changed: Any) -> dict[str, Any]:
        """The object as it travels, with some of its keys changed."""
        primitive: dict[str, Any] = obj.obj_to_primitive()
        primitive.update({f'nova_cellmap_object.{key}': changed[key] for key in changed})
        return primitive


class MethodsSqlite(_Case):
    """Which methods can be called."""

    def test_a_remotable_method_is_called(self) -> None:
        mapping = self.make_mapping()
        found = self.ask(_MAPPING, 'get_by_instance_uuid', mapping.instance_uuid)
        self.assertEqual(mapping.obj_to_primitive(), found.obj_to_primitive())
        updates, result = self.act(found, 'destroy')
        self.assertEqual(({'obj_what_changed': []}, None), (updates, result))
        self.assertEqual('', self.logged.output)

    def test_no_other_method_of_a_class_is_called(self) -> None:
        for name in (
            '_from_joined_row',
            '_loaded',
            '__init__',
            '__class__',
            '__subclasses__',
            'from_row',
            'obj_from_primitive',
            'obj_class_from_name',
            'mro',
            'obj_name',
            'VERSION',
            'fields',
            'indirection_api',
            'get_by_instance_uuid.original_fn',
            'get_by_uuid',
            '',
        ):
            refusal = self.assert_refused(self.ask, _MAPPING, name)
            self.assertIn(f'InstanceMapping.{name}:', refusal)

    def test_no_other_method_of_an_object_is_called(self) -> None:
        mapping = self.make_mapping()
        for name in (
            '_values',
            '__delattr__',
            '__class__',
            '__reduce__',
            'values_for_create',
            'obj_load_attr',
            'obj_reset_changes',
            'obj_context',
            'VERSION',
            'no_such_thing',
        ):
            self.assert_refused(self.act, mapping, name)
            self.assert_refused(self.act, mapping, name, 'instance_uuid')

    def test_a_field_that_is_asked_for_by_name_is_not_loaded(self) -> None:
        mapping = self.make_mapping(cell_uuid=self.make_cell().uuid)
        del mapping.cell_mapping
        with mock.patch.object(api, 'cell_mapping_get_by_uuid') as loading:
            self.assert_refused(self.act, mapping, 'cell_mapping')
            self.assert_refused(self.ask, _MAPPING, 'cell_mapping')
        loading.assert_not_called()

    def test_an_objects_method_is_none_of_its_class(self) -> None:
        for name in ('create', 'save', 'destroy'):
            self.assert_refused(self.ask, _MAPPING, name)
            self.assert_refused(self.ask, _MAPPING, name, self.make_mapping())
        self.assertEqual(3, len(objects.InstanceMappingList.get_all(self.context)))

    def test_a_classs_method_is_none_of_an_object(self) -> None:
        # It would be called with a context of the caller's making, and no bound on a page.
        whole = objects.InstanceMappingList(objects=[])
        for given in ([], [None], [self.context.to_dict()], [self.make_mapping()]):
            self.assert_refused(self.act, whole, 'get_all', *given)

    def test_the_name_of_a_method_is_text(self) -> None:
        for name in (None, 5, True, ['create'], {'create': 1}, self.make_mapping()):
            self.assert_refused(self.ask, _MAPPING, name)
            self.assert_refused(self.act, self.make_mapping(), name)

    def test_the_conductors_own_methods_are_these(self) -> None:
        client = oslo_messaging.get_rpc_client(
            rpc.transport(self.conductor.conf), rpc.target(self.conductor.conf)
        )
        self.addCleanup(client.transport.cleanup)
        for name in ('target', '_page_size', '_call_bounded', '__init__', 'object_class_action'):
            error = self.assertRaises(oslo_messaging.RemoteError, client.call, {}, name)
            self.assertEqual('NoSuchMethod', error.exc_type)
        self.assertEqual('pong', client.call({}, 'ping'))

    def test_arguments_that_a_method_does_not_take_are_told_of(self) -> None:
        for args, kwargs, told in (
            ([], {}, "missing a required argument: 'instance_uuid'"),
            ([1, 2], {}, 'too many positional arguments'),
            ([1], {'instance_uuid': 1}, "multiple values for argument 'instance_uuid'"),
            ([], {'uuid': 1}, 'instance_uuid'),
            ([1], {'context': {}}, "multiple values for argument 'context'"),
            ([1], {'self': {}}, "unexpected keyword argument 'self'"),
            ([1], {'cls': {}}, "unexpected keyword argument 'cls'"),
        ):
            error = self.assertRaises(
                exception.InvalidInput,
                self.ask,
                _MAPPING,
                'get_by_instance_uuid',
                *args,
                kwargs=kwargs,
            )
            self.assertIn(told, str(error))
        self.assertRaises(exception.InvalidInput, self.act, self.make_mapping(), 'save', 1)
        self.assertEqual('', self.logged.output)

    def test_arguments_of_another_kind_do_no_harm(self) -> None:
        mapping = self.make_mapping()
        odd: Any = (None, 5, -1, 1.5, True, '', 'x', [], ['x'], [[]], {}, {'x': 1}, 2**70, mapping)
        for name, more in (
            ('get_by_project_id', {}),
            ('get_by_cell_id', {}),
            ('get_by_instance_uuids', {}),
            ('create_bulk', {}),
            ('destroy_bulk', {}),
            ('get_counts', {}),
            ('get_count_by_uuids_and_user', {'user_id': 'user'}),
            ('get_all', {}),
        ):
            for value in odd:
                try:
                    self.ask(_LIST, name, value, kwargs=more)
                except exception.CellMapError as error:
                    self.assertNotIn('Traceback', str(error))
        [left] = objects.InstanceMappingList.get_all(self.context)
        self.assertEqual(mapping.obj_to_primitive(), left.obj_to_primitive())

    def test_arguments_are_a_list_and_a_dict(self) -> None:
        for changed in ({'args': None}, {'args': 5}, {'kwargs': None}, {'kwargs': [1]}):
            error = self.assertRaises(
                exception.CellMapError, self.ask, _LIST, 'get_all', **changed
            )
            self.assertNotIn('Traceback', str(error))


class ObjectsSqlite(_Case):
    """Of which objects methods can be called."""

    def test_the_classes_are_those_of_the_project(self) -> None:
        registry = library.VersionedObjectRegistry.obj_classes()
        called: list[Any] = []

        class Safe(library.VersionedObject):
            """Another project's."""

            fields = {'code': library_fields.StringField()}

            @classmethod
            @library.remotable
            def open(cls, context: Any) -> None:
                called.append(cls)

            @library.remotable
            def close(self) -> None:
                called.append(self)

        library.VersionedObjectRegistry.register(Safe)
        self.addCleanup(registry.pop, 'Safe')
        versions = {**_VERSIONS, 'Safe': '1.0', 'InstanceMapping': '1.4', 'nova_cellmap': '1.0'}
        for name in (
            'Safe',
            'InstanceMapping',
            'nova_cellmap',
            'nova_cellmap.',
            'nova_cellmap.Safe',
            'nova_cellmap.CellMapObject',
            '',
            None,
            5,
            ['Safe'],
            {'Safe': 1},
        ):
            for method in ('open', 'get_by_instance_uuid'):
                self.assert_refused(self.ask, name, method, object_versions=versions)
        self.assertEqual([], called)

    def test_the_object_is_one_of_the_project(self) -> None:
        novas = {
            'nova_object.name': 'InstanceMapping',
            'nova_object.namespace': 'nova',
            'nova_object.version': '1.0',
            'nova_object.data': {},
        }
        others: Any = (None, 5, 'x', [], {}, {'instance_uuid': base.new_uuid()}, novas)
        for other in others:
            self.assert_refused(self.act, other, 'save')
        self.assert_refused(self.act, [self.make_mapping()], 'destroy')
        self.assertEqual(1, len(objects.InstanceMappingList.get_all(self.context)))

    def test_no_object_of_another_project_is_made(self) -> None:
        made = []

        class Trap(library.VersionedObject):
            @classmethod
            def _obj_from_primitive(cls, *args: Any) -> Any:
                made.append(args)

        library.VersionedObjectRegistry.register(Trap)
        self.addCleanup(library.VersionedObjectRegistry.obj_classes().pop, 'Trap')
        trap = self.primitive(self.make_mapping(), name='Trap', version='1.0')
        self.assert_refused(self.act, trap, 'save')
        self.assert_refused(self.ask, _LIST, 'create_bulk', [{'deep': [trap]}])
        self.assertEqual([], made)

    def test_an_object_that_nobody_could_have_sent_is_refused(self) -> None:
        mapping = self.make_mapping()
        data = mapping.obj_to_primitive()['nova_cellmap_object.data']
        for changed in (
            {'name': 'nova_cellmap.HostMapping'},
            {'name': None},
            {'name': ['x']},
            {'namespace': 'nova'},
            {'version': 'new'},
            {'version': None},
            {'data': None},
            {'data': {**data, 'instance_uuid': 'no uuid'}},
            {'data': {**data, 'cell_mapping': {}}},
            {'changes': 5},
        ):
            self.assert_refused(self.act, self.primitive(mapping, **changed), 'destroy')
        without = self.primitive(mapping)
        del without['nova_cellmap_object.version']
        self.assert_refused(self.act, without, 'destroy')
        self.assertEqual(1, len(objects.InstanceMappingList.get_all(self.context)))

    def test_rows_that_nobody_could_have_sent_are_refused(self) -> None:
        self.make_mapping()
        whole = objects.InstanceMappingList.get_all(self.context)
        for rows in (5, [5], [[1]], [[1, 'no uuid', 7, 9, 0, None, None]]):
            data = {'cells': [], 'owners': [], 'rows': rows}
            self.assert_refused(self.ask, _LIST, 'create_bulk', [self.primitive(whole, data=data)])

    def test_an_object_that_is_too_new_is_said_to_be(self) -> None:
        for version in ('1.9', '2.0', '1.9.1'):
            newer = self.primitive(self.make_mapping(), version=version)
            error = self.assertRaises(
                library_exception.IncompatibleObjectVersion, self.act, newer, 'save'
            )
            self.assertIs(library_exception.IncompatibleObjectVersion, type(error))
            self.assertEqual(
                f'Version {version.removesuffix(".1")} of {_MAPPING} is not supported, '
                f'supported version is {objects.InstanceMapping.VERSION}',
                str(error),
            )
        self.assertEqual('', self.logged.output)

    def test_the_callers_versions_are_needed(self) -> None:
        uuid = self.make_mapping().instance_uuid
        wrong: Any = (
            {},
            None,
            5,
            'x',
            [],
            ['1.0'],
            {_CELL: '1.0'},
            {_MAPPING: None},
            {_MAPPING: 'new'},
            {_MAPPING: 1},
            {_MAPPING: {}},
        )
        for versions in wrong:
            self.assert_refused(
                self.ask, _MAPPING, 'get_by_instance_uuid', uuid, object_versions=versions
            )

    def test_a_backport_needs_an_object_and_versions(self) -> None:
        def backport(obj: Any, versions: Any) -> Any:
            return self.caller(
                self.context, 'object_backport_versions', objinst=obj, object_versions=versions
            )

        mapping = self.make_mapping()
        older = backport(mapping, {_MAPPING: '1.1', _CELL: '1.0'})
        self.assertEqual('1.1', older.VERSION)
        wrong: Any = ({}, None, [], {_CELL: '1.0'}, {_MAPPING: 'new'})
        for versions in wrong:
            self.assert_refused(backport, mapping, versions)
        others: Any = (None, {}, 'x', [mapping])
        for obj in others:
            self.assert_refused(backport, obj, _VERSIONS)
        self.assertRaises(
            library_exception.InvalidTargetVersion, backport, mapping, {_MAPPING: '1.9'}
        )


def _samples() -> list[exception.CellMapError]:
    """One of each class of the package, as its message wants it."""

    def classes(cls: type[exception.CellMapError]) -> list[type[exception.CellMapError]]:
        found = [cls]
        for each in cls.__subclasses__():
            found += classes(each)
        return found

    samples = []
    for cls in classes(exception.CellMapError):
        if cls.__module__ == exception.__name__:
            names = [name for _, name, _, _ in string.Formatter().parse(cls.msg_fmt) if name]
            samples.append(cls(**{name: f'the {name}' for name in names}))
            samples.append(cls('A message of its own.', more=['of', {'it': 1}]))
    return samples


class ErrorsSqlite(_Case):
    def failing_with(self, error: BaseException) -> Any:
        """What a caller gets where the database functions raise that."""
        with mock.patch.object(
            api, 'instance_mapping_get_by_instance_uuid', side_effect=error
        ) as failing:
            try:
                self.ask(_MAPPING, 'get_by_instance_uuid', base.new_uuid())
            except Exception as caught:
                failing.assert_called_once()
                return caught
        raise AssertionError('nothing was raised')

    def test_every_error_of_the_package_arrives_as_itself(self) -> None:
        samples = _samples()
        self.assertLess(50, len(samples))
        for error in samples:
            arrived = self.failing_with(error)
            self.assertIs(type(error), type(arrived))
            self.assertEqual(error.args, arrived.args)
            self.assertEqual(error.kwargs, arrived.kwargs)
            self.assertEqual(str(error), str(arrived))
        refused = [error for error in samples if type(error) is exception.RemoteCallRefused]
        lines = [
            f'WARNING nova_cellmap.conductor.dispatcher Refused a remote call: {error}\n'
            for error in refused
        ]
        self.assertEqual(''.join(lines), self.logged.output)

    def test_what_the_error_tells_can_be_asked_for(self) -> None:
        mapping = self.make_mapping()
        stale = objects.InstanceMapping.get_by_instance_uuid(self.context, mapping.instance_uuid)
        mapping.cell_uuid = self.make_cell().uuid
        mapping.save()
        stale.cell_uuid = self.make_cell().uuid
        error = self.assertRaises(exception.InstanceMappingConflict, self.act, stale, 'save')
        self.assertEqual(mapping.cell_uuid, error.cell_uuid)

    def test_the_librarys_errors_arrive_as_themselves(self) -> None:
        error = library_exception.ObjectActionError(action='save', reason='so')
        arrived = self.failing_with(error)
        self.assertIs(library_exception.ObjectActionError, type(arrived))
        self.assertEqual(str(error), str(arrived))
        self.assertEqual('', self.logged.output)

    def test_of_an_unforeseen_failure_only_its_kind_crosses(self) -> None:
        for error in (
            RuntimeError(_SECRET),
            ValueError(_SECRET),
            KeyError(_SECRET),
            AssertionError(_SECRET),
            OSError(5, _SECRET),
        ):
            arrived = self.failing_with(error)
            self.assertIs(exception.ConductorError, type(arrived))
            kind = type(error).__name__
            self.assertEqual(
                {'reason': kind, 'request_id': self.context.request_id}, arrived.kwargs
            )
            self.assertNotIn(_SECRET, repr(vars(arrived)) + str(arrived))

    def test_an_unforeseen_failure_is_not_even_on_the_wire(self) -> None:
        # A client that is not ours shows the whole of what came.
        client = oslo_messaging.get_rpc_client(
            rpc.transport(self.conductor.conf),
            rpc.target(self.conductor.conf),
            serializer=objects_base.CellMapObjectSerializer(),
        )
        self.addCleanup(client.transport.cleanup)
        failing = mock.Mock(side_effect=RuntimeError(_SECRET))
        with mock.patch.object(api, 'instance_mapping_get_by_instance_uuid', failing):
            error = self.assertRaises(
                exception.ConductorError,
                client.call,
                self.context,
                'object_class_action_versions',
                objname=_MAPPING,
                objmethod='get_by_instance_uuid',
                object_versions=_VERSIONS,
                args=[base.new_uuid()],
                kwargs={},
            )
        self.assertIn('unforeseen', self.logged.output)
        self.assertIn('The conductor failed', str(error))
        for hidden in (_SECRET, 'instance_mapping_get_by_instance_uuid', 'RuntimeError:'):
            self.assertNotIn(hidden, str(error))

    def test_an_unforeseen_failure_is_logged_where_it_happened(self) -> None:
        self.failing_with(RuntimeError('deep down'))
        for told in (
            'ERROR nova_cellmap.conductor.dispatcher',
            'get_by_instance_uuid failed unforeseen',
            'Traceback',
            'instance_mapping_get_by_instance_uuid',
            'RuntimeError: deep down',
        ):
            self.assertIn(told, self.logged.output)
        self.assertEqual(1, self.logged.output.count('ERROR'))

    def test_after_an_unforeseen_failure_calls_are_answered(self) -> None:
        mapping = self.make_mapping()
        self.failing_with(RuntimeError('deep down'))
        found = self.ask(_MAPPING, 'get_by_instance_uuid', mapping.instance_uuid)
        self.assertEqual(mapping.instance_uuid, found.instance_uuid)
