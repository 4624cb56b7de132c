# SPDX-License-Identifier: Apache-2.0
"""What calls and errors are counted under."""

from typing import Any

import oslo_messaging

from nova_cellmap import exception
from nova_cellmap.conductor import labels
from nova_cellmap.conductor import message
from nova_cellmap.objects import base as objects_base
from nova_cellmap.tests import base

_OBJECT_NAME = f'{objects_base.CellMapObject.OBJ_SERIAL_NAMESPACE}.name'


def _class_call(objname: Any, objmethod: Any) -> dict[str, Any]:
    arguments = {'objname': objname, 'objmethod': objmethod}
    return {'method': 'object_class_action_versions', 'args': arguments}


class Method(base.TestCase):
    def test_of_an_object_or_a_class(self) -> None:
        obj = {_OBJECT_NAME: 'nova_cellmap.InstanceMapping'}
        called = {'method': 'object_action', 'args': {'objinst': obj, 'objmethod': 'save'}}
        self.assertEqual('InstanceMapping.save', labels.method(called))
        called = _class_call('nova_cellmap.CellMappingList', 'get_all')
        self.assertEqual('CellMappingList.get_all', labels.method(called))

    def test_of_the_conductor_itself(self) -> None:
        for name in ('ping', 'object_backport_versions', 'oslo_rpc_server_ping'):
            self.assertEqual(name, labels.method({'method': name}))

    def test_no_text_of_a_caller(self) -> None:
        calls: list[dict[str, Any]] = [
            {},
            {'method': 'mine'},
            {'method': ['ping']},
            {'method': message.TOO_LONG, 'args': {}},
            {'method': 'object_action'},
            {'method': 'object_action', 'args': ['ping']},
            {'method': 'object_action', 'args': {'objinst': {_OBJECT_NAME: {}}}},
            {'method': 'object_action', 'args': {'objinst': 'x', 'objmethod': 'save'}},
            _class_call('nova_cellmap.CellMapping', 'mine'),
            _class_call('nova_cellmap.CellMapping', '__init__'),
            _class_call('nova_cellmap.CellMapping', ['save']),
            _class_call('CellMapping', 'save'),
            _class_call([], {}),
            _class_call('x' * 1_000_000, 'y' * 1_000_000),
        ]
        for call in calls:
            self.assertEqual(labels.OTHER, labels.method(call), str(call)[:200])

    def test_all_that_can_be_called_are_known(self) -> None:
        names = labels.methods()
        self.assertEqual(len(names), len(set(names)))
        self.assertLess({'CellMapping.save', 'InstanceMappingList.create_bulk'}, set(names))
        self.assertEqual(labels.OTHER, names[-1])


class Error(base.TestCase):
    def test_by_its_class(self) -> None:
        for error, name in (
            (exception.InstanceMappingNotFound(uuid='x'), 'InstanceMappingNotFound'),
            (oslo_messaging.NoSuchMethod('x'), 'NoSuchMethod'),
            (exception.RemoteCallRefused(what='x', reason='y'), 'RemoteCallRefused'),
        ):
            self.assertEqual(name, labels.error(error))

    def test_of_another_by_the_nearest_that_is_known(self) -> None:
        class Theirs(exception.InvalidInput):
            pass

        self.assertEqual('InvalidInput', labels.error(Theirs(reason='x')))
        self.assertEqual(labels.OTHER, labels.error(RuntimeError('x')))

    def test_each_name_is_there_once(self) -> None:
        self.assertEqual(len(labels.errors()), len(set(labels.errors())))
