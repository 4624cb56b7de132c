# SPDX-License-Identifier: Apache-2.0
"""Every version that an object ever had, and what it looks like on the wire."""

import pathlib
import re
from typing import Any

from oslo_versionedobjects import base as library
from oslo_versionedobjects import fixture

from nova_cellmap import objects
from nova_cellmap.db import migration
from nova_cellmap.db.schemas import own
from nova_cellmap.objects import base
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests import samples

# What an object looks like to others: its fields and the signatures of its remotable
# methods. Where one of these changes, so must the object's VERSION: add a comment with
# what is new, a case to obj_make_compatible() and to SHAPES below, then put the new
# fingerprint here.
FINGERPRINTS = {
    'nova_cellmap.CellMapping': '1.2-fb7f492764317311b79ed96deea5ab69',
    'nova_cellmap.CellMappingList': '1.3-b8565d3b3ad156216895b2cf288d5423',
    'nova_cellmap.InstanceMapping': '1.4-5eada1a08c8a1b31761bd4d1ffed0146',
    'nova_cellmap.InstanceMappingList': '1.5-79efd87a261c6e275cc4e7d6c094425f',
}

# The fields that each version knows.
_CELL_1_0 = {
    'id',
    'uuid',
    'name',
    'transport_url',
    'database_connection',
    'created_at',
    'updated_at',
}
_MAPPING_1_0 = {'id', 'instance_uuid', 'cell_uuid', 'project_id', 'created_at', 'updated_at'}
SHAPES = {
    'CellMapping': {
        '1.0': _CELL_1_0,
        '1.1': _CELL_1_0 | {'disabled'},
        '1.2': _CELL_1_0 | {'disabled'},
    },
    'InstanceMapping': {
        '1.0': _MAPPING_1_0,
        '1.1': _MAPPING_1_0,
        '1.2': _MAPPING_1_0 | {'queued_for_delete'},
        '1.3': _MAPPING_1_0 | {'queued_for_delete', 'user_id'},
        '1.4': _MAPPING_1_0 | {'queued_for_delete', 'user_id', 'cell_mapping'},
    },
}


def our_classes() -> dict[str, list[type[library.VersionedObject]]]:
    """The part of the library's registry that is ours."""
    return {
        name: classes
        for name, classes in library.VersionedObjectRegistry.obj_classes().items()
        if name.startswith(f'{base.NAMESPACE}.')
    }


def whole_cell() -> objects.CellMapping:
    return objects.CellMapping(
        id=1,
        uuid='00000000-0000-4000-8000-000000000001',
        name='cell1',
        transport_url='rabbit://u:p@mq/',
        database_connection='mysql://u:p@db/cell1',
        disabled=True,
        created_at=None,
        updated_at=None,
    )


def whole_mapping(**values: Any) -> objects.InstanceMapping:
    """All of whose fields are set, and changed."""
    fields = objects.InstanceMapping.fields
    set_ = {name: samples.value(field, 1) for name, field in fields.items() if name not in _CELLS}
    return objects.InstanceMapping(**{**set_, 'cell_mapping': whole_cell(), **values})


_CELLS = ('cell_mapping', 'cell_uuid')


class Fingerprints(tests_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.checker = fixture.ObjectVersionChecker(our_classes())

    def test_no_object_changes_without_a_new_version(self) -> None:
        expected, actual = self.checker.test_hashes(FINGERPRINTS)
        self.assertEqual(expected, actual, 'See the comment at FINGERPRINTS.')

    def test_every_version_can_be_reached(self) -> None:
        self.checker.test_compatibility_routines()
        self.checker.test_compatibility_routines(use_manifest=True)
        self.checker.test_relationships_in_order()

    def test_the_objects_are_registered_under_names_of_their_own(self) -> None:
        names = {f'nova_cellmap.{name}' for name in objects.__all__}
        self.assertEqual(names, set(our_classes()))


class Shapes(tests_base.TestCase):
    """A whole object, taken down to each version, alone and within others."""

    def test_every_version_is_described(self) -> None:
        for name, shapes in SHAPES.items():
            last = getattr(objects, name).VERSION
            minor = int(last.split('.')[1])
            self.assertEqual([f'1.{number}' for number in range(minor + 1)], list(shapes))

    def test_each_version_has_its_fields(self) -> None:
        for obj in (whole_cell(), whole_mapping()):
            for version, fields in SHAPES[type(obj).__name__].items():
                primitive = obj.obj_to_primitive(target_version=version)
                self.assertEqual(fields, set(data(primitive)), version)
                self.assertEqual(version, primitive['nova_cellmap_object.version'])
                changes = primitive['nova_cellmap_object.changes']
                self.assertLessEqual(set(changes), fields)

    def test_a_mapping_takes_its_cell_down_as_the_manifest_says(self) -> None:
        for version, fields in SHAPES['CellMapping'].items():
            today = objects.InstanceMapping.VERSION
            manifest = {
                'nova_cellmap.InstanceMapping': today,
                'nova_cellmap.CellMapping': version,
            }
            primitive = whole_mapping().obj_to_primitive(today, manifest)
            cell = data(primitive)['cell_mapping']
            self.assertEqual(version, cell['nova_cellmap_object.version'])
            self.assertEqual(fields, set(data(cell)))

    def test_a_list_takes_its_members_down(self) -> None:
        members = objects.InstanceMappingList(objects=[whole_mapping(), whole_mapping()])
        cells = objects.CellMappingList(objects=[whole_cell()])
        for listed, member in ((members, 'InstanceMapping'), (cells, 'CellMapping')):
            for version, below in type(listed).child_versions.items():
                for shown in data(listed.obj_to_primitive(version))['objects']:
                    self.assertEqual(below, shown['nova_cellmap_object.version'])
                    self.assertEqual(SHAPES[member][below], set(data(shown)))

    def test_a_list_takes_its_members_and_their_cells_down_as_the_manifest_says(self) -> None:
        members = objects.InstanceMappingList(objects=[whole_mapping()])
        manifest = {
            'nova_cellmap.InstanceMappingList': '1.4',
            'nova_cellmap.InstanceMapping': '1.4',
            'nova_cellmap.CellMapping': '1.0',
        }
        [shown] = data(members.obj_to_primitive('1.4', manifest))['objects']
        self.assertEqual(_CELL_1_0, set(data(data(shown)['cell_mapping'])))

    def test_each_version_of_a_list_says_that_of_its_members(self) -> None:
        for cls, member in (
            (objects.InstanceMappingList, objects.InstanceMapping),
            (objects.CellMappingList, objects.CellMapping),
        ):
            minor = int(cls.VERSION.split('.')[1])
            said = cls.child_versions
            self.assertEqual([f'1.{number}' for number in range(minor + 1)], list(said))
            self.assertEqual(member.VERSION, said[cls.VERSION])

    def test_a_mapping_says_the_version_of_its_cell(self) -> None:
        said = objects.InstanceMapping.obj_relationships['cell_mapping']
        self.assertEqual(objects.CellMapping.VERSION, said[-1][1])

    def test_version_1_0_does_not_hear_of_a_mapping_to_no_cell(self) -> None:
        mapping = whole_mapping(cell_mapping=None)
        self.assertEqual(_MAPPING_1_0 - {'cell_uuid'}, set(data(mapping.obj_to_primitive('1.0'))))
        self.assertIsNone(data(mapping.obj_to_primitive('1.1'))['cell_uuid'])


def data(primitive: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = primitive['nova_cellmap_object.data']
    return fields


class Documentation(tests_base.TestCase):
    def test_each_version_has_a_row(self) -> None:
        text = (_ROOT / 'doc/source/user/versions.rst').read_text(encoding='utf-8')
        for name in objects.__all__:
            rows = text.partition(f'   * - ``{name}``\n')[2].partition('   * - ``')[0]
            versions = re.findall(r'^     - (1\.\d+)$', rows, re.MULTILINE)
            minor = int(getattr(objects, name).VERSION.split('.')[1])
            self.assertEqual([f'1.{number}' for number in range(minor + 1)], versions, name)

    def test_each_column_is_described(self) -> None:
        text = (_ROOT / 'doc/source/user/tables.rst').read_text(encoding='utf-8')
        for table in own.metadata.sorted_tables:
            after = text.partition(f'\n{table.name}\n====')[2]
            rows = re.findall(r'^   \* - (``.*)$', after.partition('\n====')[0], re.MULTILINE)
            described = {name for row in rows for name in re.findall('``([a-z_]+)``', row)}
            self.assertEqual(set(table.columns.keys()), described, table.name)

    def test_each_script_has_a_row(self) -> None:
        text = (_ROOT / 'doc/source/user/tables.rst').read_text(encoding='utf-8')
        history = text.partition('.. _schema-history:')[2]
        numbers = re.findall(r'^   \* - (\d+)$', history, re.MULTILINE)
        self.assertEqual([str(it + 1) for it in range(migration.latest_version())], numbers)


_ROOT = pathlib.Path(__file__).parents[4]
