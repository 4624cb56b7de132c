# SPDX-License-Identifier: Apache-2.0
"""Whatever fields the objects have: each is stored, loaded, changed, compared, and travels.

Where a new one was forgotten in a place, one of these fails.
"""

from typing import Any

from nova_cellmap import objects
from nova_cellmap.db import api
from nova_cellmap.db.schemas import own
from nova_cellmap.tests import samples
from nova_cellmap.tests.functional import base

_CHANGEABLE = [it for it in samples.writable(objects.InstanceMapping) if it != 'instance_uuid']


class _Case(base.TestCase):
    def mapping(self, number: int) -> dict[str, Any]:
        """Values for each field of a mapping that can be given one."""
        cls = objects.InstanceMapping
        values = {name: samples.value(cls.fields[name], number) for name in samples.writable(cls)}
        return {**values, 'instance_uuid': base.new_uuid(), 'cell_uuid': self.make_cell().uuid}

    def cell(self, number: int) -> dict[str, Any]:
        """Values for each field of a cell that can be given one."""
        cls = objects.CellMapping
        values = {name: samples.value(cls.fields[name], number) for name in samples.writable(cls)}
        return {**values, 'database_connection': f'mysql+pymysql://u{number}:p@db/cell'}

    def assert_has(self, values: dict[str, Any], obj: Any) -> None:
        self.assertEqual(values, {name: getattr(obj, name) for name in values})


@base.straight_and_through_the_conductor
class EveryField(_Case):
    def test_of_a_mapping(self) -> None:
        cls = objects.InstanceMapping
        values = self.mapping(1)
        made = cls(self.context, **values)
        made.create()
        self.assert_has(values, made)
        self.assert_has(values, cls.get_by_instance_uuid(self.context, made.instance_uuid))
        for name, value in self.mapping(2).items():
            if name in _CHANGEABLE:
                setattr(made, name, value)
                made.save()
                values[name] = value
                found = cls.get_by_instance_uuid(self.context, made.instance_uuid)
                self.assert_has(values, found)
                self.assert_has(values, made)

    def test_of_a_mapping_in_a_list(self) -> None:
        values = [self.mapping(number) for number in range(3)]
        mappings = [objects.InstanceMapping(self.context, **each) for each in values]
        objects.InstanceMappingList.create_bulk(self.context, mappings)
        for listed in (
            objects.InstanceMappingList.get_all(self.context),
            objects.InstanceMappingList.get_by_instance_uuids(
                self.context, [each['instance_uuid'] for each in values]
            ),
        ):
            for each, found in zip(values, listed, strict=True):
                self.assert_has(each, found)

    def test_of_many_of_which_some_have_only_what_is_needed(self) -> None:
        needed = {'instance_uuid': base.new_uuid(), 'project_id': 'p'}
        whole = self.mapping(1)
        mappings = [objects.InstanceMapping(self.context, **each) for each in (needed, whole)]
        objects.InstanceMappingList.create_bulk(self.context, mappings)
        alone = objects.InstanceMapping(
            self.context, instance_uuid=base.new_uuid(), project_id='p'
        )
        alone.create()
        few, many = objects.InstanceMappingList.get_all(self.context, limit=2)
        self.assert_has(whole, many)
        # The same as where one is created alone.
        for name in _CHANGEABLE:
            self.assertEqual(name in alone, name in few, name)
            if name in alone:
                self.assertEqual(getattr(alone, name), getattr(few, name), name)


@base.on_both_schemas
class EveryColumn(_Case):
    def test_each_is_a_field(self) -> None:
        for cls, table in (
            (objects.InstanceMapping, own.instance_mapping),
            (objects.CellMapping, own.cell_mapping),
        ):
            self.assertEqual(set(table.columns.keys()), cls.fields.keys() - samples.OTHER_FORMS)

    def test_what_was_changed_since_it_was_seen_is_left_alone(self) -> None:
        for name in _CHANGEABLE:
            values = self.mapping(1)
            uuid = values['instance_uuid']
            seen = api.instance_mapping_create(self.context, values)
            other = self.mapping(2)[name]
            api.instance_mapping_update(self.context, uuid, {name: other})
            changes = [(seen, {'project_id': 'mine'})]
            self.assertEqual([], api.instance_mapping_update_bulk(self.context, changes), name)
            self.assertEqual([], api.instance_mapping_destroy_seen(self.context, [seen]), name)
            row = api.instance_mapping_get_by_instance_uuid(self.context, uuid)
            self.assertEqual(other, row[name])
            self.assertEqual(
                [uuid], api.instance_mapping_update_bulk(self.context, [(row, changes[0][1])])
            )

    def test_of_a_cell(self) -> None:
        cls = objects.CellMapping
        values = self.cell(1)
        made = cls(self.context, **values)
        made.create()
        self.assert_has(values, cls.get_by_uuid(self.context, made.uuid))
        for name in values:
            if name != 'uuid':
                values[name] = self.cell(2)[name]
                setattr(made, name, values[name])
                made.save()
                self.assert_has(values, cls.get_by_uuid(self.context, made.uuid))
        [listed] = objects.CellMappingList.get_all(self.context)
        self.assert_has(values, listed)
