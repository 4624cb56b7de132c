# SPDX-License-Identifier: Apache-2.0
"""Short ways from rows to objects, and between objects and primitives.

The library works out names, versions and kinds of fields anew for each value of each
object. Here that is done once for a class, and a value that already is what its field
would keep is taken as it is. What comes about is the same: all that is not as usual is
left to the library, in each method by ``super()``.
"""

from collections.abc import Callable, Mapping, Sequence, Set
import datetime
import functools
import itertools
import operator
import re
from typing import Any, NamedTuple, Self, TypeVar

from oslo_utils import versionutils
from oslo_versionedobjects import base
from oslo_versionedobjects import fields as library_fields

from nova_cellmap import short_ways
from nova_cellmap.objects import fields

# The library's name for the attribute behind a field.
STORAGE = '_obj_'

_Object = TypeVar('_Object', bound=base.VersionedObject)
_Class = TypeVar('_Class', bound=type[base.VersionedObject])

_TIME = re.compile('[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}Z')

# Answers what is under the keys of a dict; KeyError where one is missing.
_Get = Callable[[dict[str, Any]], tuple[Any, ...]]
# The place of a field among those of a class, and its name.
_Place = tuple[int, str]


class _Layout(NamedTuple):
    """What is the same for all objects of a class, in the order of its fields."""

    # Of each field, its name and the attribute behind it.
    attributes: dict[str, str]
    # Of all fields at once: what an object has behind them, and what a primitive has of them.
    stored: _Get
    data: _Get
    # The types that the values in a primitive may be of.
    types: Set[tuple[type, ...]]
    uuids: tuple[int, ...]
    texts: tuple[int, ...]
    times: tuple[_Place, ...]
    # The fields that hold objects.
    children: tuple[_Place, ...]
    fields: tuple[Any, ...]
    # The keys of primitives, and what is in each of them.
    heading: dict[str, str]
    version_key: str
    data_key: str
    changes_key: str


# What is made together has one time: so many are kept.
TIMES = 4096

_layouts: dict[type[base.VersionedObject], _Layout] = {}


def paths(cls: _Class) -> _Class:
    """Let the objects of a registered class go the short ways between primitives.

    Those of a subclass go the library's, since it may override what is not asked here.
    """
    attributes = {name: STORAGE + name for name in cls.fields}
    kinds = [(place, name, _kind(field)) for place, (name, field) in enumerate(cls.fields.items())]
    _layouts[cls] = _Layout(
        attributes=attributes,
        stored=operator.itemgetter(*attributes.values()),
        data=operator.itemgetter(*attributes),
        types=frozenset(itertools.product(*map(_types, cls.fields.values()))),
        uuids=tuple(place for place, _, kind in kinds if kind is fields.UUID),
        texts=tuple(place for place, _, kind in kinds if kind in (fields.Text, fields.URL)),
        times=tuple((place, name) for place, name, kind in kinds if kind is fields.DateTime),
        children=tuple((place, name) for place, name, kind in kinds if kind is _OBJECT),
        fields=tuple(cls.fields.values()),
        heading={
            cls._obj_primitive_key('name'): cls.obj_name(),
            cls._obj_primitive_key('namespace'): cls.OBJ_PROJECT_NAMESPACE,
        },
        version_key=cls._obj_primitive_key('version'),
        data_key=cls._obj_primitive_key('data'),
        changes_key=cls._obj_primitive_key('changes'),
    )
    return cls


class FastPaths(base.VersionedObject):
    """An object that goes the short ways where it can."""

    @classmethod
    def _hydrate(cls, context: Any, values: Mapping[str, Any]) -> Self:
        """A new, unchanged object whose fields hold *values*: of a row, and so trusted."""
        if not short_ways.are_on:
            return _unchanged(cls(context, **values))
        self = new(cls, context)
        stored = vars(self)
        layout = _layouts.get(cls)
        attributes = layout.attributes if layout else {it: STORAGE + it for it in values}
        for name, value in values.items():
            stored[attributes[name]] = value
        return self

    @classmethod
    def _of(cls, context: Any, members: Sequence[Any]) -> Self:
        """The list object, unchanged, of these *members*, which are trusted."""
        if not short_ways.are_on:
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
        namespace, name, version = _keys(cls.OBJ_SERIAL_NAMESPACE)
        try:
            wanted = primitive[version]
            for found in base.VersionedObjectRegistry.obj_classes().get(primitive[name], ()):
                if wanted == found.VERSION and primitive[namespace] == cls.OBJ_PROJECT_NAMESPACE:
                    return found if short_ways.are_on and found in _layouts else None
        except (KeyError, TypeError):
            pass
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
        data = primitive.get(layout.data_key)
        try:
            values = layout.data(data) if type(data) is dict else ()
        except KeyError:
            # A field is not set.
            return None
        read = _read(layout, values)
        if read is None:
            return None
        for place, _ in layout.children:
            if read[place] is not None:
                child = read[place] = cls.obj_from_primitive(read[place], context)
                if child.obj_name() != layout.fields[place].objname:
                    return None
        self = new(cls, context)
        stored = vars(self)
        stored.update(zip(layout.attributes.values(), read))  # noqa: B905 - it is slower
        if layout.changes_key in primitive:
            changes = primitive[layout.changes_key]
            if type(changes) is not list:
                return None
            stored['_changed_fields'] = {name for name in changes if name in self.fields}
        return self

    def obj_to_primitive(
        self, target_version: str | None = None, version_manifest: dict[str, str] | None = None
    ) -> dict[str, Any]:
        layout = _layouts.get(type(self)) if short_ways.are_on else None
        version = self.VERSION
        if layout is None or not (target_version is None or _is_at_most(target_version, version)):
            return super().obj_to_primitive(target_version, version_manifest)
        stored = vars(self)
        try:
            data = dict(zip(layout.attributes, layout.stored(stored)))  # noqa: B905 - it is slower
        except KeyError:
            held = layout.attributes.items()
            data = {name: stored[attribute] for name, attribute in held if attribute in stored}
        for place, name in layout.times:
            value = data.get(name)
            if value is None:
                continue
            if type(value) is datetime.datetime and value.tzinfo is datetime.UTC:
                data[name] = _as_text(value)
            else:
                data[name] = layout.fields[place].to_primitive(self, name, value)
        has_changes = bool(stored['_changed_fields'])
        for _, name in layout.children:
            child = data.get(name)
            if child is not None:
                # Or its own children have: it is to say.
                has_changes = has_changes or bool(child._changed_fields) or not _is_leaf(child)
                data[name] = child.obj_to_primitive()
        target = version if target_version is None else target_version
        if target != version or version_manifest:
            self.obj_make_compatible_from_manifest(data, target, version_manifest)
        primitive: dict[str, Any] = layout.heading.copy()
        primitive[layout.version_key] = target
        primitive[layout.data_key] = data
        if has_changes:
            changes = [name for name in self.obj_what_changed() if name in data]
            if changes:
                primitive[layout.changes_key] = changes
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
        for _, name in layout.children:
            child = stored.get(layout.attributes[name])
            if child is not None and child.obj_what_changed():
                changes.add(name)
        return changes


def _layout(cls: type[base.VersionedObject]) -> _Layout | None:
    return _layouts.get(cls) if short_ways.are_on else None


def new(cls: type[_Object], context: Any) -> _Object:
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
    return _OBJECT if isinstance(field, _OBJECT) else type(field.AUTO_TYPE)


_OBJECT = library_fields.ObjectField


def _types(field: Any) -> list[type]:
    """Those that the primitive of a field's value may be of."""
    type_ = _TYPES[_kind(field)]
    return [type_, type(None)] if field.nullable else [type_]


_TYPES: dict[type, type] = {
    fields.Integer: int,
    fields.Boolean: bool,
    fields.DateTime: str,
    fields.Text: str,
    fields.URL: str,
    fields.UUID: str,
    _OBJECT: dict,
}


@functools.cache
def _keys(namespace: str) -> tuple[str, str, str]:
    return f'{namespace}.namespace', f'{namespace}.name', f'{namespace}.version'


def _is_at_most(target: object, version: str) -> bool:
    """Whether there can be a primitive of the *target* version."""
    return type(target) is str and _is_version_at_most(target, version)


@functools.lru_cache
def _is_version_at_most(version: str, other: str) -> bool:
    as_tuple = versionutils.convert_version_to_tuple
    try:
        return bool(as_tuple(version) <= as_tuple(other))
    except ValueError:
        # The library is to say what is wrong with them.
        return False


def _is_leaf(child: Any) -> bool:
    layout = _layouts.get(type(child))
    return layout is not None and not layout.children


@functools.lru_cache(maxsize=TIMES)
def _as_text(time: datetime.datetime) -> str:
    return f'{time.isoformat()[:19]}Z'


def _read(layout: _Layout, values: tuple[Any, ...]) -> list[Any] | None:
    """The values that the fields keep, but for objects; None where one is not as usual."""
    if tuple(map(type, values)) not in layout.types:
        return None
    for place in layout.uuids:
        uuid = values[place]
        if uuid is not None and not _is_uuid(uuid):
            return None
    for place in layout.texts:
        text = values[place]
        if text is not None and (not text.isascii() or len(text) > _MAX_LENGTH or '\0' in text):
            return None
    read = list(values)
    for place, _ in layout.times:
        text = values[place]
        if text is not None:
            read[place] = time = _as_time(text)
            if time is None:
                return None
    return read


_is_uuid = fields.UUID_FORM.fullmatch
_MAX_LENGTH = fields.MAX_LENGTH


@functools.lru_cache(maxsize=TIMES)
def _as_time(text: str) -> datetime.datetime | None:
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
