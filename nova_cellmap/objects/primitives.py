# SPDX-License-Identifier: Apache-2.0
"""Objects to primitives and back in less time than oslo.versionedobjects takes.

The library works out names, versions and kinds of fields again for each value of each object.
Here a class is read once, by :func:`compiled`, and a value that is what its field would store is
stored as it is. The result is identical: anything unusual falls back to the library, in each
method by ``super()``.
"""

from collections.abc import Callable, Mapping, Sequence
import datetime
import functools
import itertools
import operator
import re
from typing import Any, NamedTuple, Self, TypeVar

from oslo_utils import versionutils
from oslo_versionedobjects import base
from oslo_versionedobjects import fields as library_fields

from nova_cellmap.objects import fields
from nova_cellmap.objects import storage

_Class = TypeVar('_Class', bound=type[base.VersionedObject])

# A dict's values under some keys; KeyError where one is missing.
_Get = Callable[[dict[str, Any]], tuple[Any, ...]]
# What fields store of the values in a primitive, but for objects; None where one is unusual.
_Read = Callable[..., list[Any] | None]
# A field: its place among those of its class, its name, and itself.
_Place = tuple[int, str, Any]
# The library's registry: the classes of a name, the newest first.
_Classes = Mapping[str, Sequence[type[base.VersionedObject]]]


class _Keys(NamedTuple):
    """The keys of a primitive."""

    namespace: str
    name: str
    version: str
    data: str
    changes: str


class _Layout(NamedTuple):
    """What is the same for all objects of a class, in the order of its fields."""

    # Of each field, its name and the attribute behind it.
    attributes: dict[str, str]
    # The values of all fields: of vars() of an object, and of the data of a primitive.
    stored: _Get
    data: _Get
    read: _Read
    times: tuple[_Place, ...]
    # The fields that hold objects.
    children: tuple[_Place, ...]
    # What each primitive of the class begins with, and its other keys.
    heading: dict[str, Any]
    version_key: str
    data_key: str
    changes_key: str


# Of each class that was compiled.
layouts: dict[type[base.VersionedObject], _Layout] = {}


def compiled(cls: _Class) -> _Class:
    """Convert the objects of a registered class in less time.

    Those of a subclass are left to the library, since it may override what is not asked here.
    """
    keys = _keys(cls.OBJ_SERIAL_NAMESPACE)
    layouts[cls] = _Layout(
        attributes={name: storage.attribute(name) for name in cls.fields},
        stored=storage.getter(*cls.fields),
        data=storage.items(*cls.fields),
        read=_reader(cls),
        times=_places(cls, fields.DateTime),
        children=_places(cls, _OBJECT),
        heading={keys.name: cls.obj_name(), keys.namespace: cls.OBJ_PROJECT_NAMESPACE},
        version_key=keys.version,
        data_key=keys.data,
        changes_key=keys.changes,
    )
    return cls


def primitive_of(obj: base.VersionedObject, data: dict[str, Any]) -> dict[str, Any]:
    """The primitive of an unchanged object that holds *data*."""
    keys = _keys(obj.OBJ_SERIAL_NAMESPACE)
    return {
        keys.name: obj.obj_name(),
        keys.namespace: obj.OBJ_PROJECT_NAMESPACE,
        keys.version: obj.VERSION,
        keys.data: data,
    }


@functools.cache
def _keys(namespace: str) -> _Keys:
    return _Keys(*(f'{namespace}.{name}' for name in _Keys._fields))


class Convertible(storage.StoredObject):
    """An object that becomes a primitive, and is made of one, in less time where it can."""

    @classmethod
    def obj_from_primitive(cls, primitive: dict[str, Any], context: Any = None) -> Self:
        classes = base.VersionedObjectRegistry.obj_classes()
        found = cls._from_usual(primitive, context, classes)
        return super().obj_from_primitive(primitive, context) if found is None else found

    @classmethod
    def _from_usual(cls, primitive: Any, context: Any, classes: _Classes) -> Self | None:
        """The object of a primitive; None where that is unusual."""
        keys = _keys(cls.OBJ_SERIAL_NAMESPACE)
        try:
            # The newest, of whatever class is registered for the name now.
            found: type[Self] = classes.get(primitive[keys.name], ())[0]  # type: ignore[assignment]
            is_usual = (
                primitive[keys.version] == found.VERSION
                and primitive[keys.namespace] == cls.OBJ_PROJECT_NAMESPACE
            )
        except (KeyError, IndexError, TypeError):
            return None
        layout = layouts.get(found)
        if not is_usual or layout is None:
            return None
        return found._from_values(layout, primitive, context, classes)

    @classmethod
    def _from_values(
        cls, layout: _Layout, primitive: dict[str, Any], context: Any, classes: _Classes
    ) -> Self | None:
        """The object of a primitive of this class; None where its values are unusual."""
        data = primitive.get(layout.data_key)
        try:
            values = layout.read(*layout.data(data)) if type(data) is dict else None
        except (KeyError, TypeError):
            # A field is not set, or no field stores such a thing.
            return None
        if values is None:
            return None
        for at, _, field in layout.children:
            if values[at] is not None:
                child = cls._from_usual(values[at], context, classes)
                if child is None or child.obj_name() != field.objname:
                    return None
                values[at] = child
        self = cls.__new__(cls)
        stored = vars(self)
        stored[storage.CONTEXT] = context
        stored.update(zip(layout.attributes.values(), values))  # noqa: B905 - it is slower
        # As the library does.
        stored['VERSION'] = cls.VERSION
        if layout.changes_key in primitive:
            changes = primitive[layout.changes_key]
            if type(changes) is not list:
                return None
            stored[storage.CHANGED] = {name for name in changes if name in cls.fields}
        self._was_read(primitive)
        return self

    @classmethod
    def _obj_from_primitive(cls, context: Any, objver: str, primitive: dict[str, Any]) -> Self:
        data = primitive[_keys(cls.OBJ_SERIAL_NAMESPACE).data]
        self = cls._from_own_form(context, objver, data)
        if self is None:
            self = super()._obj_from_primitive(context, objver, primitive)
        self._was_read(primitive)
        return self

    @classmethod
    def _from_own_form(cls, context: Any, version: str, data: Any) -> Self | None:
        """The object of data in a form that only its class knows; None of any other."""
        return None

    def _was_read(self, primitive: dict[str, Any]) -> None:
        """What a class does with an object that a primitive has become."""

    def obj_to_primitive(
        self, target_version: str | None = None, version_manifest: dict[str, str] | None = None
    ) -> dict[str, Any]:
        layout = layouts.get(type(self))
        version = self.VERSION
        if layout is None or not (target_version is None or _is_at_most(target_version, version)):
            primitive = super().obj_to_primitive(target_version, version_manifest)
            self._was_written(primitive)
            return primitive
        stored = vars(self)
        try:
            data = dict(zip(layout.attributes, layout.stored(stored)))  # noqa: B905 - it is slower
        except KeyError:
            names = layout.attributes.items()
            data = {name: stored[attribute] for name, attribute in names if attribute in stored}
        for _, name, field in layout.times:
            time = data.get(name)
            if time is None:
                continue
            if type(time) is datetime.datetime and time.tzinfo is datetime.UTC:
                data[name] = _as_text(time)
            else:
                data[name] = field.to_primitive(self, name, time)
        has_changes = bool(stored.get(storage.CHANGED))
        for _, name, _ in layout.children:
            child = data.get(name)
            if child is not None:
                below = layouts.get(type(child))
                if below is None or below.children or vars(child).get(storage.CHANGED):
                    # Or its own children have: it is to say.
                    has_changes = True
                data[name] = child.obj_to_primitive()
        target = version if target_version is None else target_version
        if target != version or version_manifest:
            self.obj_make_compatible_from_manifest(data, target, version_manifest)
        primitive = layout.heading.copy()
        primitive[layout.version_key] = target
        primitive[layout.data_key] = data
        if has_changes:
            changes = [name for name in self.obj_what_changed() if name in data]
            if changes:
                primitive[layout.changes_key] = changes
            self._was_written(primitive)
        return primitive

    def _was_written(self, primitive: dict[str, Any]) -> None:
        """What a class does with the primitive that a changed object has become."""

    def obj_what_changed(self) -> set[str]:
        layout = layouts.get(type(self))
        if layout is None:
            return super().obj_what_changed()
        # A set's order tells how it came about, and shows in primitives: as the library does.
        changes = {name for name in storage.changed(self) if name in self.fields}
        for _, name, _ in layout.children:
            child = storage.value(self, name)
            if child is not None and child.obj_what_changed():
                changes.add(name)
        return changes


def _is_at_most(target: object, version: str) -> bool:
    """Whether there can be a primitive of the *target* version."""
    return type(target) is str and len(target) <= _VERSION and _is_version_at_most(target, version)


# The longest that has been is 3.
_VERSION = 16


@functools.lru_cache
def _is_version_at_most(version: str, other: str) -> bool:
    as_tuple = versionutils.convert_version_to_tuple
    try:
        return bool(as_tuple(version) <= as_tuple(other))
    except ValueError:
        # The library is to say what is wrong with them.
        return False


def _places(cls: type[base.VersionedObject], *kinds: type) -> tuple[_Place, ...]:
    """The fields of some kinds."""
    return tuple(
        (at, name, field)
        for at, (name, field) in enumerate(cls.fields.items())
        if _kind(field) in kinds
    )


def _kind(field: Any) -> type:
    return _OBJECT if isinstance(field, _OBJECT) else type(field.AUTO_TYPE)


_OBJECT = library_fields.ObjectField


def _reader(cls: type[base.VersionedObject]) -> _Read:
    types = frozenset(itertools.product(*map(_types, cls.fields.values())))
    uuids = _places(cls, fields.UUID)
    texts = _places(cls, fields.Text, fields.URL)
    times = _places(cls, fields.DateTime)

    def read(*values: Any) -> list[Any] | None:
        if tuple(map(type, values)) not in types:
            return None
        for at, _, _ in uuids:
            uuid = values[at]
            if uuid is not None and not _is_uuid(uuid):
                return None
        for at, _, _ in texts:
            text = values[at]
            if text is not None and (
                not text.isascii() or len(text) > fields.MAX_LENGTH or '\0' in text
            ):
                return None
        stored = list(values)
        for at, _, _ in times:
            text = values[at]
            if text is not None:
                stored[at] = time = _as_time(text)
                if time is None:
                    return None
        return stored

    if _places(cls, _OBJECT):
        return read
    # Childless objects repeat, a cell with each of its mappings, so they are memoized. Nobody
    # changes the lists that are shared: only objects are put in, and in here are none.
    cached = functools.lru_cache(maxsize=_LEAVES, typed=True)(read)

    strings = operator.itemgetter(
        *(at for at, field in enumerate(cls.fields.values()) if str in _types(field))
    )

    def read_short(*values: Any) -> list[Any] | None:
        # Anybody may have sent what is kept: so many, and none that is longer than a cell is.
        is_short = sum(map(len, filter(None, strings(values)))) <= _LEAF
        return cached(*values) if is_short else read(*values)

    return read_short


_LEAVES = 1024
_LEAF = 2048
_is_uuid = fields.UUID_FORM.fullmatch


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


def _as_time(text: str) -> datetime.datetime | None:
    return _parsed_time(text) if len(text) == _TIME_LENGTH else None


_TIME = re.compile('[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}Z')
_TIME_LENGTH = len('YYYY-MM-DDTHH:MM:SSZ')


@functools.lru_cache(maxsize=fields.TIMES)
def _parsed_time(text: str) -> datetime.datetime | None:
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        return None


@functools.lru_cache(maxsize=fields.TIMES)
def _as_text(time: datetime.datetime) -> str:
    return f'{time.isoformat()[:19]}Z'
