# SPDX-License-Identifier: Apache-2.0
"""Short ways from rows to objects, and between objects and primitives.

The library works out names, versions and kinds of fields anew for each value of each
object. Here that is done once for a class, and a value that already is what its field
would keep is taken as it is. What comes about is the same: all that is not as usual is
left to the library, in each method by ``super()``.
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

from nova_cellmap import short_ways
from nova_cellmap.objects import fields

# The library's name for the attribute behind a field.
STORAGE = '_obj_'

_Object = TypeVar('_Object', bound=base.VersionedObject)
_Class = TypeVar('_Class', bound=type[base.VersionedObject])

_TIME = re.compile('[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}Z')

# Answers what is under the keys of a dict; KeyError where one is missing.
_Get = Callable[[dict[str, Any]], tuple[Any, ...]]
# Answers the values that fields keep, but for objects; None where one is not as usual.
_Keep = Callable[..., list[Any] | None]
# The place of a field among those of a class, and its name.
_Place = tuple[int, str]
# Of a primitive: its namespace, name and version.
_Keys = tuple[str, str, str]
# The library's registry: the classes of a name, the newest first.
_Classes = Mapping[str, Sequence[type[base.VersionedObject]]]


class _Layout(NamedTuple):
    """What is the same for all objects of a class, in the order of its fields."""

    # Of each field, its name and the attribute behind it.
    attributes: dict[str, str]
    # Of all fields at once: what an object has behind them, and what a primitive has of them.
    stored: _Get
    data: _Get
    # What the fields keep of the values in a primitive.
    kept: _Keep
    times: tuple[_Place, ...]
    # The fields that hold objects.
    children: tuple[_Place, ...]
    fields: tuple[Any, ...]
    # The keys of primitives, and what is in each of them.
    heading: dict[str, Any]
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
    _layouts[cls] = _Layout(
        attributes=attributes,
        stored=_getter(*attributes.values()),
        data=_getter(*attributes),
        kept=_keeping(cls),
        times=_places(cls, fields.DateTime),
        children=_places(cls, _OBJECT),
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


def _getter(*keys: str) -> _Get:
    get = operator.itemgetter(*keys)
    # Of one key alone it answers no tuple.
    return (lambda held: (get(held),)) if len(keys) == 1 else get


def _places(cls: type[base.VersionedObject], *kinds: type) -> tuple[_Place, ...]:
    """The fields of some kinds."""
    return tuple(
        (place, name)
        for place, (name, field) in enumerate(cls.fields.items())
        if _kind(field) in kinds
    )


def _kind(field: Any) -> type:
    return _OBJECT if isinstance(field, _OBJECT) else type(field.AUTO_TYPE)


_OBJECT = library_fields.ObjectField


def _keeping(cls: type[base.VersionedObject]) -> _Keep:
    types = frozenset(itertools.product(*map(_types, cls.fields.values())))
    uuids = _places(cls, fields.UUID)
    texts = _places(cls, fields.Text, fields.URL)
    times = _places(cls, fields.DateTime)

    def keep(*values: Any) -> list[Any] | None:
        if tuple(map(type, values)) not in types:
            return None
        for place, _ in uuids:
            uuid = values[place]
            if uuid is not None and not _is_uuid(uuid):
                return None
        for place, _ in texts:
            text = values[place]
            if text is not None and (
                not text.isascii() or len(text) > fields.MAX_LENGTH or '\0' in text
            ):
                return None
        kept = list(values)
        for place, _ in times:
            text = values[place]
            if text is not None:
                kept[place] = time = _as_time(text)
                if time is None:
                    return None
        return kept

    if _places(cls, _OBJECT):
        return keep
    # What is within others comes again and again: a cell with each of its mappings. The
    # list is everybody's, and nobody changes it: only objects are put in, and in here are none.
    cached = functools.lru_cache(maxsize=_LEAVES, typed=True)(keep)

    def keep_short(*values: Any) -> list[Any] | None:
        # What is kept is of whoever sent it: so many, and none that is longer than a cell is.
        is_short = sum(len(value) for value in values if type(value) is str) <= _LEAF
        return cached(*values) if is_short else keep(*values)

    return keep_short


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


_TIME_LENGTH = len('YYYY-MM-DDTHH:MM:SSZ')


@functools.lru_cache(maxsize=TIMES)
def _parsed_time(text: str) -> datetime.datetime | None:
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        return None


class FastPaths(base.VersionedObject):
    """An object that goes the short ways where it can."""

    # The library makes one for each object, and most are never changed: one container less is
    # memory, and time of Python's collector.
    @functools.cached_property
    def _changed_fields(self) -> set[str]:  # type: ignore[override]
        return set()

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
        if short_ways.are_on:
            keys = _keys(cls.OBJ_SERIAL_NAMESPACE)
            made = cls._from_primitive(keys, primitive, context, _registered())
            if made is not None:
                return made
        return super().obj_from_primitive(primitive, context)

    @classmethod
    def _from_primitive(
        cls, keys: _Keys, primitive: Any, context: Any, registered: _Classes
    ) -> Self | None:
        """The object of a primitive; None where that is not as usual."""
        namespace, name, version = keys
        try:
            # The newest, which is the first, of whatever class is registered for the name now.
            found: type[Self] = registered.get(primitive[name], ())[0]  # type: ignore[assignment]
            is_usual = (
                primitive[version] == found.VERSION
                and primitive[namespace] == cls.OBJ_PROJECT_NAMESPACE
            )
        except (KeyError, IndexError, TypeError):
            return None
        layout = _layouts.get(found)
        if not is_usual or layout is None:
            return None
        return found._read(layout, keys, primitive, context, registered)

    @classmethod
    def _read(
        cls,
        layout: _Layout,
        keys: _Keys,
        primitive: dict[str, Any],
        context: Any,
        registered: _Classes,
    ) -> Self | None:
        """The object of a primitive of this class; None where its values are not as usual."""
        data = primitive.get(layout.data_key)
        try:
            values = layout.kept(*layout.data(data)) if type(data) is dict else None
        except (KeyError, TypeError):
            # A field is not set, or no field keeps such a thing.
            return None
        if values is None:
            return None
        for place, _ in layout.children:
            if values[place] is not None:
                child = cls._from_primitive(keys, values[place], context, registered)
                if child is None or child.obj_name() != layout.fields[place].objname:
                    return None
                values[place] = child
        self = cls.__new__(cls)
        stored = vars(self)
        stored.update(zip(layout.attributes.values(), values))  # noqa: B905 - it is slower
        # As the library does.
        stored['_context'] = context
        stored['VERSION'] = cls.VERSION
        if layout.changes_key in primitive:
            changes = primitive[layout.changes_key]
            if type(changes) is not list:
                return None
            stored['_changed_fields'] = {name for name in changes if name in cls.fields}
        self._was_read(primitive)
        return self

    @classmethod
    def _obj_from_primitive(cls, context: Any, objver: str, primitive: dict[str, Any]) -> Self:
        self: Self = super()._obj_from_primitive(context, objver, primitive)
        self._was_read(primitive)
        return self

    def _was_read(self, primitive: dict[str, Any]) -> None:
        """What a class does with an object that a primitive has become."""

    def obj_to_primitive(
        self, target_version: str | None = None, version_manifest: dict[str, str] | None = None
    ) -> dict[str, Any]:
        layout = _layouts.get(type(self)) if short_ways.are_on else None
        version = self.VERSION
        if layout is None or not (target_version is None or _is_at_most(target_version, version)):
            primitive = super().obj_to_primitive(target_version, version_manifest)
            self._was_written(primitive)
            return primitive
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
        has_changes = bool(stored.get('_changed_fields'))
        for _, name in layout.children:
            child = data.get(name)
            if child is not None:
                # Or its own children have: it is to say.
                below = _layouts.get(type(child))
                if below is None or below.children or vars(child).get('_changed_fields'):
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
        layout = _layout(type(self))
        if layout is None:
            return super().obj_what_changed()
        stored = vars(self)
        # A set's order tells how it came about, and shows in primitives: as the library does.
        changes = {name for name in stored.get('_changed_fields', ()) if name in self.fields}
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
    vars(obj)['_context'] = context
    return obj


def _registered() -> _Classes:
    # What obj_classes() answers, which makes an object for each call.
    return base.VersionedObjectRegistry._registry._obj_classes  # type: ignore[union-attr]


def _unchanged(obj: _Object) -> _Object:
    obj.obj_reset_changes()
    return obj


@functools.cache
def _keys(namespace: str) -> _Keys:
    return f'{namespace}.namespace', f'{namespace}.name', f'{namespace}.version'


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


@functools.lru_cache(maxsize=TIMES)
def _as_text(time: datetime.datetime) -> str:
    return f'{time.isoformat()[:19]}Z'
