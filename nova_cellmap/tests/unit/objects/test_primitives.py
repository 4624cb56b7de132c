# SPDX-License-Identifier: Apache-2.0
"""The short ways of objects lead where the library's own lead, for whatever there is."""

from collections.abc import Callable
import copy
import datetime
import functools
from typing import Any

import hypothesis
from hypothesis import strategies as st
from oslo_versionedobjects import base as library

import nova_cellmap
from nova_cellmap import conf
from nova_cellmap import objects
from nova_cellmap.context import RequestContext
from nova_cellmap.db import api
from nova_cellmap.objects import base
from nova_cellmap.objects import fields
from nova_cellmap.objects import primitives
from nova_cellmap.objects import storage
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests import samples
from nova_cellmap.tests import stock_paths
from nova_cellmap.tests.unit.objects.test_versions import whole_mapping

_KEY = 'nova_cellmap_object.'
_ZONES = st.none() | st.just(datetime.UTC) | st.timezones()
_TIMES = st.datetimes(timezones=_ZONES, allow_imaginary=False)
_UUIDS = st.uuids().map(str)
_TEXTS = st.text(max_size=4) | st.sampled_from(['x' * 255, 'x' * 256, '\0', 'é', '\ud800'])
_VERSIONS = st.sampled_from(['1.0', '1.1', '1.2', '1.3', '1.4', '1.5', '1.4.1', '2.0', 'x', ''])
_MANIFESTS = st.none() | st.dictionaries(
    st.sampled_from(['nova_cellmap.InstanceMapping', 'nova_cellmap.CellMapping', 'other']),
    st.sampled_from(['1.0', '1.1', '1.2', '1.4']),
)
_CELL: dict[str, Any] = {
    'id': st.integers(),
    'uuid': _UUIDS,
    'name': st.none() | st.text('ab'),
    'transport_url': st.just('rabbit://u:p@mq/'),
    'database_connection': st.just('mysql://u:p@db/é'),
    'disabled': st.booleans(),
    'created_at': st.none() | _TIMES,
    'updated_at': st.none() | _TIMES,
}
_MAPPING: dict[str, Any] = {
    'id': st.integers(),
    'instance_uuid': _UUIDS,
    'cell_uuid': st.none() | _UUIDS,
    'project_id': st.text('ab'),
    'user_id': st.text('ab'),
    'queued_for_delete': st.booleans(),
    'created_at': st.none() | _TIMES,
    'updated_at': st.none() | _TIMES,
}
for _name, _field in objects.InstanceMapping.fields.items():
    if _name not in _MAPPING and _name not in samples.OTHER_FORMS:
        _MAPPING[_name] = st.integers(0, 9).map(functools.partial(samples.value, _field))
_JUNK: Any = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | _TEXTS
    | st.uuids().map(lambda uuid: uuid.hex.upper())
    | st.datetimes().map(str)
    | st.datetimes().map(lambda time: time.strftime('%Y-%m-%dT%H:%M:%S+02:00'))
    | st.sampled_from(['2026-01-01T24:00:00Z', '2026-02-30T00:00:00Z', '２026-01-01T00:00:00Z'])
    | st.sampled_from(['yes', '2026-01-01T00:00:60Z', '2026-01-01T00:00:00Z\n'])
    | st.just([])
    | st.just({})
)


@st.composite
def cells(draw: Any) -> Any:
    """Any cell, with some fields unset and some changed."""
    return _made(draw, objects.CellMapping, draw(_some(_CELL)))


@st.composite
def mappings(draw: Any) -> Any:
    """Any mapping, with some fields unset and some changed, in a cell or in none."""
    values = draw(_some(_MAPPING))
    if draw(st.booleans()):
        cell = draw(st.none() | cells())
        if cell is None or 'uuid' in cell:
            values['cell_mapping'] = cell
            values.pop('cell_uuid', None)
    return _made(draw, objects.InstanceMapping, values)


@st.composite
def sent(draw: Any) -> Any:
    """The primitive of an object, often with something wrong at some place."""
    with stock_paths.only():
        primitive = draw(cells() | mappings()).obj_to_primitive()
    places = [primitive, primitive[_KEY + 'data']]
    cell = primitive[_KEY + 'data'].get('cell_mapping')
    if cell is not None:
        places += [cell, cell[_KEY + 'data']]
    for place in draw(st.lists(st.sampled_from(places), max_size=2)):
        name = draw(st.sampled_from([*place, _KEY + 'changes', 'uuid', 'cell_uuid', 'more']))
        if draw(st.booleans()):
            place.pop(name, None)
        elif name == _KEY + 'changes':
            place[name] = draw(st.lists(st.sampled_from(['name', 'uuid', 'x'])) | _JUNK)
        else:
            place[name] = draw(_JUNK | _VERSIONS)
    return primitive


def _some(fields: dict[str, Any]) -> Any:
    """Values for nearly all of the fields."""
    return st.fixed_dictionaries(fields).flatmap(
        lambda values: st.sets(st.sampled_from(sorted(values)), max_size=2).map(
            lambda unset: {name: values[name] for name in values if name not in unset}
        )
    )


def _made(draw: Any, cls: Any, values: dict[str, Any]) -> Any:
    obj = cls(draw(st.none() | st.just('a context')), **values)
    if draw(st.booleans()):
        obj.obj_reset_changes()
    if draw(st.booleans()):
        obj.project_id = obj.name = 'changed'
    return copy.deepcopy(obj) if draw(st.booleans()) else obj


def outcome(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call answers or raises, in a form that can be compared."""
    try:
        return _shown(call(*arguments))
    except Exception as error:
        return type(error), str(error)


def _shown(value: Any) -> Any:
    if isinstance(value, library.VersionedObject):
        held = {'_changed_fields': value._changed_fields, **vars(value)}
        return type(value), {name: _shown(each) for name, each in held.items()}
    if isinstance(value, dict):
        # The order of what is changed, and of the fields, can be seen on the wire.
        return [(name, _shown(held)) for name, held in value.items()]
    if isinstance(value, (list, tuple)):
        return [_shown(held) for held in value]
    # 1 is not True, and a time is in one zone.
    return value if isinstance(value, set) else (type(value), repr(value))


def by_library(call: Callable[..., Any], *arguments: Any) -> Any:
    with stock_paths.only():
        return outcome(call, *arguments)


class Primitives(tests_base.TestCase):
    @hypothesis.settings(deadline=None)
    @hypothesis.given(cells() | mappings(), st.none() | _VERSIONS, _MANIFESTS)
    def test_an_object_becomes_what_the_library_makes_of_it(
        self, obj: Any, target: Any, manifest: Any
    ) -> None:
        def make(obj: Any) -> Any:
            primitive = library.VersionedObject.obj_to_primitive(obj, target, manifest)
            # Of nova_cellmap alone.
            primitive.update(loaded(obj))
            return primitive

        self.assertEqual(by_library(make, obj), outcome(obj.obj_to_primitive, target, manifest))

    @hypothesis.settings(deadline=None)
    @hypothesis.given(st.lists(mappings(), max_size=3), st.none() | _VERSIONS, _MANIFESTS)
    def test_a_list_becomes_what_the_library_makes_of_it(
        self, members: Any, target: Any, manifest: Any
    ) -> None:
        listed = objects.InstanceMappingList(objects=members)
        self.assertEqual(
            by_library(listed.obj_to_primitive, target, manifest),
            outcome(listed.obj_to_primitive, target, manifest),
        )

    @hypothesis.settings(deadline=None, max_examples=300)
    @hypothesis.given(sent(), st.none() | st.just('a context'))
    def test_a_primitive_becomes_what_the_library_makes_of_it(
        self, primitive: Any, context: Any
    ) -> None:
        for call in (
            objects.InstanceMapping.obj_from_primitive,
            base.CellMapObject.obj_from_primitive,
            lambda *given: base.CellMapObjectSerializer().deserialize_entity(*reversed(given)),
        ):
            self.assertEqual(
                by_library(call, copy.deepcopy(primitive), context),
                outcome(call, copy.deepcopy(primitive), context),
            )

    def test_what_is_no_primitive_is_refused_as_the_library_does(self) -> None:
        others: Any = (None, 5, 'x', [], {}, {_KEY + 'name': []}, objects.CellMapping())
        for what in others:
            call = base.CellMapObject.obj_from_primitive
            self.assertEqual(by_library(call, what), outcome(call, what))

    @hypothesis.settings(deadline=None)
    @hypothesis.given(cells() | mappings())
    def test_an_object_has_the_changes_that_the_library_finds(self, obj: Any) -> None:
        found = library.VersionedObject.obj_what_changed
        self.assertEqual(list(by_library(found, obj)), list(obj.obj_what_changed()))

    def test_each_wrong_value_is_refused_as_the_library_does(self) -> None:
        with stock_paths.only():
            primitive = whole_mapping().obj_to_primitive()
        data = primitive[_KEY + 'data']
        wrong: Any = (None, True, 1, 1.5, '', 'é', 'x' * 256, '\0', '\ud800', [], {}, ['x'])
        for name in (*data, _KEY + 'changes', _KEY + 'data', _KEY + 'version', _KEY + 'name'):
            for value in wrong:
                place = {_KEY + 'data': {**data, name: value}} if name in data else {name: value}
                call = base.CellMapObject.obj_from_primitive
                given = {**primitive, **place}
                self.assertEqual(by_library(call, given), outcome(call, given), f'{name} {value}')

    def test_each_wrong_version_is_refused_as_the_library_does(self) -> None:
        others: Any = ([], {}, 1, 1.4, '', 'x', '1.x', '1.4.0', '1.5', '2', b'1.4')
        for version in others:
            call = objects.CellMapping(name='x').obj_to_primitive
            self.assertEqual(by_library(call, version), outcome(call, version), f'{version}')

    def test_what_no_field_would_keep_becomes_what_the_library_makes_of_it(self) -> None:
        cell = objects.CellMapping(name='x')
        cell._changed_fields.add('of a later release')
        zone = datetime.timezone(datetime.timedelta(hours=2))
        for time in (datetime.datetime(2026, 1, 1), datetime.datetime(2026, 1, 1, tzinfo=zone)):
            vars(cell)[storage.attribute('created_at')] = time
            self.assertEqual(by_library(cell.obj_to_primitive), outcome(cell.obj_to_primitive))
        self.assertEqual({'name'}, cell.obj_what_changed())

    def test_a_subclass_is_asked_for_what_it_overrides(self) -> None:
        class Shouting(objects.CellMapping):
            @property
            def name(self) -> str:
                return 'CELL'

            @name.setter
            def name(self, value: str) -> None:
                self._obj_name = value

        cell = Shouting(name='cell')
        self.assertEqual('CELL', cell.obj_to_primitive()[_KEY + 'data']['name'])

    def test_a_class_that_takes_the_place_of_another_is_found(self) -> None:
        replaced = library.VersionedObjectRegistry.obj_classes()['nova_cellmap.CellMapping']

        class Other(objects.CellMapping):
            @classmethod
            def obj_name(cls) -> str:
                return 'nova_cellmap.CellMapping'

        primitive = objects.CellMapping().obj_to_primitive()
        self.addCleanup(replaced.__setitem__, 0, replaced[0])
        replaced[0] = Other
        self.assertIsInstance(base.CellMapObject.obj_from_primitive(primitive), Other)


class _OfOneField(base.CellMapObject):
    VERSION = '1.0'
    fields = {'name': fields.StringField(nullable=True)}


class Small(tests_base.TestCase):
    """A class with a single field."""

    def setUp(self) -> None:
        super().setUp()
        primitives.compiled(base.VersionedObjectRegistry.register(_OfOneField))
        classes = library.VersionedObjectRegistry.obj_classes()
        self.addCleanup(classes.pop, _OfOneField.obj_name())
        self.addCleanup(primitives.layouts.pop, _OfOneField)

    def test_it_is_converted_as_others_are(self) -> None:
        for values in ({'name': 'xyz'}, {'name': 'x'}, {'name': None}, {}):
            obj = _OfOneField(**values)
            primitive = obj.obj_to_primitive()
            self.assertEqual(by_library(obj.obj_to_primitive), outcome(obj.obj_to_primitive))
            call = _OfOneField.obj_from_primitive
            self.assertEqual(by_library(call, primitive), outcome(call, primitive))


class Rows(tests_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(nova_cellmap.configure(conf.new(args=[], config_files=[])).close)

    @hypothesis.settings(deadline=None)
    @hypothesis.given(st.fixed_dictionaries(_CELL), st.fixed_dictionaries(_MAPPING), st.booleans())
    def test_rows_become_what_setting_each_field_makes(
        self, cell: dict[str, Any], mapping: dict[str, Any], is_mapped: bool
    ) -> None:
        for row in (cell, mapping):
            for name in ('created_at', 'updated_at'):
                row[name] = row[name] and row[name].replace(tzinfo=None)
        mapping['cell_uuid'] = cell['uuid'] if is_mapped else None
        mapping['cell_mapping'] = cell if is_mapped else None
        columns = api.columns_of(mapping)
        listed = api.MappingRows([columns, columns], {cell['uuid']: cell})
        call = objects.InstanceMappingList._from_listed
        context = RequestContext()
        found = call(context, listed)
        with stock_paths.only():
            expected = call(context, listed)
        for one, other in zip(found, expected, strict=True):
            self.assertEqual(_shown(other), _shown(one))
            self.assertEqual(vars(other)['_loaded_cell_uuid'], vars(one)['_loaded_cell_uuid'])


class LibraryNames(tests_base.TestCase):
    """The private names of the library that the short ways use."""

    def test_a_field_is_kept_behind_its_prefix(self) -> None:
        self.assertEqual('x', vars(objects.CellMapping(name='x'))[storage.attribute('name')])

    def test_an_object_with_no_field_set_holds_nothing_else(self) -> None:
        for cls in (objects.CellMapping, objects.InstanceMapping):
            with stock_paths.only():
                by_library = cls('a context')
            self.assertEqual({'_changed_fields': set(), '_context': 'a context'}, vars(by_library))

    def test_the_library_makes_objects_by_the_method_that_is_overridden(self) -> None:
        for name in ('_obj_from_primitive', '_obj_primitive_key'):
            self.assertTrue(callable(getattr(library.VersionedObject, name)))

    def test_all_can_be_left_to_the_library(self) -> None:
        def refuse(*_: Any) -> None:
            raise AssertionError('a short way was taken')

        self.patch(primitives, '_as_text', refuse)
        cell = objects.CellMapping(created_at=datetime.datetime(2026, 1, 1))
        with stock_paths.only():
            cell.obj_to_primitive()


def loaded(obj: Any) -> dict[str, Any]:
    """What the primitive of a mapping has besides what the library puts there."""
    if not isinstance(obj, objects.InstanceMapping):
        return {}
    key = _KEY + 'loaded_cell'
    primitive = obj.obj_to_primitive()
    return {key: primitive[key]} if key in primitive else {}
