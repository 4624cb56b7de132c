# SPDX-License-Identifier: Apache-2.0
"""Short ways from rows to objects, and between objects and primitives.

The library works out names, versions and kinds of fields anew for each value of each
object. Here that is done once for a class, and a value that already is what its field
would keep is taken as it is. What comes about is the same: all that is not as usual is
left to the library, in each method by ``super()``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import datetime
import functools
import operator
import re
from typing import Any, NamedTuple, Self, TypeVar

from oslo_utils import versionutils
from oslo_versionedobjects import base
from oslo_versionedobjects import fields as library_fields

from nova_cellmap.objects import fields

# The library's name for the attribute behind a field.
STORAGE = '_obj_'

_Object = TypeVar('_Object', bound=base.VersionedObject)
_Class = TypeVar('_Class', bound=type[base.VersionedObject])

# Answers the value that a primitive is of; None where it is not as usual.
_Read = Callable[[Any], Any]

_TIME = re.compile('[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}Z')


class _Layout(NamedTuple):
    """What is the same for all objects of a class."""

    # Of each field, its name and the attribute behind it.
    attributes: dict[str, str]
    # Answers what is behind all fields; KeyError where one is not set.
    get: Callable[[dict[str, Any]], tuple[Any, ...]]
    # Of the fields that do not hold objects, also how they are read, and if they may be None.
    values: tuple[tuple[str, str, _Read, bool], ...]
    # Of those that hold times, also themselves.
    times: tuple[tuple[str, Any], ...]
    # Of those that hold objects, also themselves.
    children: tuple[tuple[str, str, Any], ...]
    # The keys of primitives, and what is in each of them.
    heading: dict[str, str]
    version: str
    data: str
    changes: str


# What is made together has one time: so many are kept.
_TIMES = 4096

_layouts: dict[type[base.VersionedObject], _Layout] = {}
_on = True


def paths(cls: _Class) -> _Class:
    """Let the objects of a registered class go the short ways between primitives.

    Those of a subclass go the library's, since it may override what is not asked here.
    """
    every = [(name, STORAGE + name, field) for name, field in cls.fields.items()]
    children = tuple(it for it in every if isinstance(it[2], library_fields.ObjectField))
    _layouts[cls] = _Layout(
        attributes={name: attribute for name, attribute, _ in every},
        get=operator.itemgetter(*(attribute for _, attribute, _ in every)),
        values=tuple(
            (name, attribute, _READ[_kind(field)], field.nullable)
            for name, attribute, field in every
            if (name, attribute, field) not in children
        ),
        times=tuple((name, field) for name, _, field in every if _kind(field) is fields.DateTime),
        children=children,
        heading={
            cls._obj_primitive_key('name'): cls.obj_name(),
            cls._obj_primitive_key('namespace'): cls.OBJ_PROJECT_NAMESPACE,
        },
        version=cls._obj_primitive_key('version'),
        data=cls._obj_primitive_key('data'),
        changes=cls._obj_primitive_key('changes'),
    )
    return cls


@contextlib.contextmanager
def off() -> Iterator[None]:
    """Have the library do everything, for tests that compare the two."""
    global _on
    before, _on = _on, False
    try:
        yield
    finally:
        _on = before


class FastPaths(base.VersionedObject):
    """An object that goes the short ways where it can."""

    @classmethod
    def _hydrate(cls, context: Any, values: Mapping[str, Any]) -> Self:
        """A new, unchanged object whose fields hold *values*: of a row, and so trusted."""
        if not _on:
            return _unchanged(cls(context, **values))
        self = _new(cls, context)
        stored = vars(self)
        layout = _layouts.get(cls)
        attributes = layout.attributes if layout else {it: STORAGE + it for it in values}
        for name, value in values.items():
            stored[attributes[name]] = value
        return self

    @classmethod
    def _of(cls, context: Any, members: Sequence[Any]) -> Self:
        """The list object, unchanged, of these *members*, which are trusted."""
        if not _on:
            return _unchanged(cls(context, objects=members))
        self = cls(context)
        # The list's own would ask of each member whether it is one.
        list.extend(getattr(self, 'objects'), members)  # noqa: B009 - only lists have it
        return self

    @classmethod
    def obj_from_primitive(cls, primitive: dict[str, Any], context: Any = None) -> Self:
        found = cls._class_of(primitive)
        if found is None:
            return super().obj_from_primitive(primitive, context)
        made: Self = found._obj_from_primitive(context, found.VERSION, primitive)
        return made

    @classmethod
    def _class_of(cls, primitive: Any) -> type[Any] | None:
        """The registered class that the library would find; None where it is to find it."""
        key = cls.OBJ_SERIAL_NAMESPACE
        try:
            namespace = primitive[f'{key}.namespace']
            name = primitive[f'{key}.name']
            version = primitive[f'{key}.version']
            registered = base.VersionedObjectRegistry.obj_classes().get(name, [])
        except (KeyError, TypeError):
            return None
        for found in registered:
            if version == found.VERSION and namespace == cls.OBJ_PROJECT_NAMESPACE:
                return found if _layout(found) else None
        return None

    @classmethod
    def _obj_from_primitive(cls, context: Any, objver: str, primitive: dict[str, Any]) -> Self:
        layout = _layout(cls)
        made = cls._read(layout, context, primitive) if layout else None
        if made is None:
            return super()._obj_from_primitive(context, objver, primitive)
        vars(made)['VERSION'] = objver
        return made

    @classmethod
    def _read(cls, layout: _Layout, context: Any, primitive: dict[str, Any]) -> Self | None:
        """The object of a primitive; None where that is not as usual."""
        data = primitive.get(layout.data)
        changes = primitive.get(layout.changes, [])
        if type(data) is not dict or type(changes) is not list:
            return None
        self = _new(cls, context)
        stored = vars(self)
        for name, attribute, read, nullable in layout.values:
            if name not in data:
                continue
            value = data[name]
            if value is not None:
                value = read(value)
            elif nullable:
                stored[attribute] = None
                continue
            if value is None:
                return None
            stored[attribute] = value
        for name, attribute, field in layout.children:
            if name not in data:
                continue
            value = data[name]
            if type(value) is dict:
                value = cls.obj_from_primitive(value, context)
                if value.obj_name() != field.objname:
                    return None
            elif value is not None or not field.nullable:
                return None
            stored[attribute] = value
        if changes:
            stored['_changed_fields'] = {name for name in changes if name in self.fields}
        return self

    def obj_to_primitive(
        self, target_version: str | None = None, version_manifest: dict[str, str] | None = None
    ) -> dict[str, Any]:
        layout = _layout(type(self))
        version = self.VERSION
        target = version if target_version is None else target_version
        if layout is None or type(target) is not str or not _is_at_most(target, version):
            return super().obj_to_primitive(target_version, version_manifest)
        stored = vars(self)
        try:
            data = dict(zip(layout.attributes, layout.get(stored), strict=False))
        except KeyError:
            held = layout.attributes.items()
            data = {name: stored[attribute] for name, attribute in held if attribute in stored}
        for name, field in layout.times:
            value = data.get(name)
            if value is not None:
                is_usual = type(value) is datetime.datetime and value.tzinfo is datetime.UTC
                data[name] = _as_text(value) if is_usual else field.to_primitive(self, name, value)
        for name, _, _ in layout.children:
            child = data.get(name)
            if child is not None:
                data[name] = child.obj_to_primitive()
        if target != version or version_manifest:
            self.obj_make_compatible_from_manifest(data, target, version_manifest)
        primitive: dict[str, Any] = {**layout.heading, layout.version: target, layout.data: data}
        if stored['_changed_fields'] or layout.children:
            changes = [name for name in self.obj_what_changed() if name in data]
            if changes:
                primitive[layout.changes] = changes
        return primitive

    def obj_what_changed(self) -> set[str]:
        layout = _layout(type(self))
        if layout is None:
            return super().obj_what_changed()
        stored = vars(self)
        changes = set()
        if stored['_changed_fields']:
            # A set's order tells how it came about, and shows in primitives: as the library does.
            changes = {name for name in stored['_changed_fields'] if name in self.fields}
        for name, attribute, _ in layout.children:
            child = stored.get(attribute)
            if child is not None and child.obj_what_changed():
                changes.add(name)
        return changes


def _layout(cls: type[base.VersionedObject]) -> _Layout | None:
    return _layouts.get(cls) if _on else None


def _new(cls: type[_Object], context: Any) -> _Object:
    """An object with no field set."""
    if cls not in _layouts:
        return cls(context)
    # What the library's __init__ does, but not through the __setattr__ of a class.
    obj = cls.__new__(cls)
    stored = vars(obj)
    stored['_changed_fields'] = set()
    stored['_context'] = context
    return obj


def _unchanged(obj: _Object) -> _Object:
    obj.obj_reset_changes()
    return obj


def _kind(field: Any) -> type:
    return type(field.AUTO_TYPE)


@functools.lru_cache
def _is_at_most(version: str, other: str) -> bool:
    as_tuple = versionutils.convert_version_to_tuple
    try:
        return bool(as_tuple(version) <= as_tuple(other))
    except ValueError:
        # The library is to say what is wrong with them.
        return False


@functools.lru_cache(maxsize=_TIMES)
def _as_text(time: datetime.datetime) -> str:
    return f'{time.isoformat()[:19]}Z'


def _read_time(value: Any) -> datetime.datetime | None:
    return _as_time(value) if type(value) is str else None


@functools.lru_cache(maxsize=_TIMES)
def _as_time(text: str) -> datetime.datetime | None:
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        return None


def _read_integer(value: Any) -> int | None:
    return value if type(value) is int else None


def _read_boolean(value: Any) -> bool | None:
    return value if type(value) is bool else None


def _read_uuid(value: Any) -> str | None:
    return value if type(value) is str and fields.UUID_FORM.fullmatch(value) else None


def _read_text(value: Any) -> str | None:
    if type(value) is not str or len(value) > fields.MAX_LENGTH:
        return None
    return value if value.isascii() and '\0' not in value else None


_READ: dict[type, _Read] = {
    library_fields.Integer: _read_integer,
    fields.Boolean: _read_boolean,
    fields.DateTime: _read_time,
    fields.Text: _read_text,
    fields.URL: _read_text,
    fields.UUID: _read_uuid,
}
