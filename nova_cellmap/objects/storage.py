# SPDX-License-Identifier: Apache-2.0
"""How oslo.versionedobjects stores what an object holds: no other module knows.

``vars()`` of an object has the value of each field that is set, under an attribute named after the
field, and beside them the context and the names of the changed fields. The library's properties
lead to the same, and check what is written; they take ten times as long, and a list has thousands
of objects. The functions here take the short way, for values that are valid already.

The private names of the library are listed in ``doc/source/contributor/private_names.rst``.
"""

from collections.abc import Callable, Collection, Mapping
import functools
import operator
import sys
from typing import Any, Self, TypeVar

from oslo_versionedobjects import base

_Object = TypeVar('_Object', bound=base.VersionedObject)

_PREFIX = '_obj_'
# The keys in vars() of the context, and of the set of the changed fields, which is missing where
# none was ever changed.
CONTEXT = '_context'
CHANGED = '_changed_fields'


@functools.cache
def attribute(field: str) -> str:
    """The key of a field's value in ``vars()`` of an object: missing where it is not set."""
    return sys.intern(_PREFIX + field)


def getter(*fields: str) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """A function from ``vars()`` of an object to the values of some fields.

    It raises KeyError where one of them is not set.
    """
    return items(*map(attribute, fields))


def items(*keys: str) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """The same of any dict and its keys."""
    get = operator.itemgetter(*keys)
    # Of one key alone it returns no tuple.
    return (lambda held: (get(held),)) if len(keys) == 1 else get


class StoredObject(base.VersionedObject):
    """An object that stores nothing about changes until there are some.

    The library makes a set for each object, and most are never changed: one container less is
    memory, and time of Python's collector.
    """

    @functools.cached_property
    def _changed_fields(self) -> set[str]:  # type: ignore[override]
        return set()

    def __copy__(self) -> Self:
        """The same with changes of its own: what is set on the one is no change of the other."""
        copied = self.__class__.__new__(self.__class__)
        vars(copied).update(vars(self))
        if CHANGED in vars(self):
            vars(copied)[CHANGED] = set(vars(self)[CHANGED])
        return copied


def is_set(obj: base.VersionedObject, field: str) -> bool:
    return attribute(field) in vars(obj)


def value(obj: base.VersionedObject, field: str) -> Any:
    """The value of a field; None also where it is not set. Nothing is loaded."""
    return vars(obj).get(attribute(field))


def changed(obj: base.VersionedObject) -> Collection[str]:
    """The fields that were changed, but for objects with changes of their own."""
    names: Collection[str] = vars(obj).get(CHANGED, ())
    return names


def new(cls: type[_Object], context: Any) -> _Object:
    """An object with no field set."""
    if cls.__init__ is not base.VersionedObject.__init__:
        return cls(context)
    # What the library's __init__ does, but not through the __setattr__ of a class.
    obj = cls.__new__(cls)
    vars(obj)[CONTEXT] = context
    return obj


def fill(obj: base.VersionedObject, values: Mapping[str, Any]) -> None:
    """Set fields to valid values, not as changes."""
    stored = vars(obj)
    for field, each in values.items():
        stored[attribute(field)] = each


def unset(obj: base.VersionedObject, field: str) -> None:
    """Unset a field, and forget that it was changed."""
    vars(obj).pop(attribute(field), None)
    vars(obj).get(CHANGED, set()).discard(field)


def take_over(obj: base.VersionedObject, other: base.VersionedObject) -> None:
    """Let *obj* hold what *other* holds, unchanged."""
    stored = vars(obj)
    for name in [name for name in stored if name.startswith(_PREFIX)]:
        del stored[name]
    stored.update({name: each for name, each in vars(other).items() if name.startswith(_PREFIX)})
    obj.obj_reset_changes()
