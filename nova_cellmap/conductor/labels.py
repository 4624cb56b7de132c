# SPDX-License-Identifier: Apache-2.0
"""The names under which calls and errors are counted.

They are a fixed set: what is counted does not grow with what callers think of, and no text of
theirs is among it.
"""

import functools
from typing import Any

import oslo_messaging
from oslo_versionedobjects import exception as library_exception

from nova_cellmap import exception
from nova_cellmap import objects  # noqa: F401 - registers them
from nova_cellmap.conductor import ping
from nova_cellmap.objects import base

# What is none of the others.
OTHER = 'other'

# The conductor's own methods, but for those that call one of an object.
_OWN = ('object_backport_versions', 'ping', ping.METHOD)
_OF_OBJECTS = ('object_action', 'object_class_action_versions')
_PREFIX = f'{base.NAMESPACE}.'
_OBJECT_NAME = f'{base.CellMapObject.OBJ_SERIAL_NAMESPACE}.name'


@functools.cache
def methods() -> tuple[str, ...]:
    """All that calls are counted under: ``CellMapping.save``, ``ping``, ..."""
    return (*sorted(_by_object().values()), *_OWN, OTHER)


@functools.cache
def errors() -> tuple[str, ...]:
    """All that errors are counted under: the names of their classes."""
    return (*sorted({cls.__name__ for cls in _error_classes()}), OTHER)


def method(message: dict[str, Any]) -> str:
    """What a message that has arrived is counted under; nothing of it was checked."""
    name, arguments = message.get('method'), message.get('args')
    if name in _OF_OBJECTS and type(arguments) is dict:
        return _method_of_object(_objname(arguments), arguments.get('objmethod'))
    return name if type(name) is str and name in _OWN else OTHER


def error(raised: BaseException) -> str:
    """What an error is counted under: the nearest of its classes that has a name here."""
    for cls in type(raised).__mro__:
        if cls in _error_classes():
            return cls.__name__
    return OTHER


def _objname(arguments: dict[str, Any]) -> Any:
    obj = arguments.get('objinst')
    return obj.get(_OBJECT_NAME) if type(obj) is dict else arguments.get('objname')


def _method_of_object(objname: Any, name: Any) -> str:
    is_text = type(objname) is str and type(name) is str
    return _by_object().get((objname, name), OTHER) if is_text else OTHER


@functools.cache
def _by_object() -> dict[tuple[str, str], str]:
    """What remotable methods are counted under, by the object's name and the method's."""
    return {
        (objname, name): f'{objname.removeprefix(_PREFIX)}.{name}'
        for objname, classes in base.registered().items()
        for cls in classes
        for name in dir(cls)
        if getattr(getattr(cls, name), 'remotable', False)
    }


@functools.cache
def _error_classes() -> frozenset[type]:
    found = {
        cls
        for module in (exception, library_exception)
        for cls in vars(module).values()
        if isinstance(cls, type) and issubclass(cls, Exception)
    }
    return frozenset({*found, oslo_messaging.NoSuchMethod, oslo_messaging.UnsupportedVersion})
