# SPDX-License-Identifier: Apache-2.0
"""InstanceMapping, on each kind of database."""

import copy
import datetime
from typing import Any

import hypothesis
from hypothesis import strategies as st
from oslo_versionedobjects import exception as library_exception

from nova_cellmap import exception
from nova_cellmap import objects
from nova_cellmap.tests import samples
from nova_cellmap.tests.functional import base

InstanceMapping = objects.InstanceMapping
InstanceMappingList = objects.InstanceMappingList


class _Case(base.TestCase):
    def get(self, mapping: InstanceMapping) -> InstanceMapping:
        return InstanceMapping.get_by_instance_uuid(self.context, mapping.instance_uuid)

    def uuids(self, mappings: Any) -> list[str]:
        return [mapping.instance_uuid for mapping in mappings]


@base.straight_and_through_the_conductor
class Mapping(_Case):
    def test_a_mapping_is_found_as_it_was_created(self) -> None:
        created = self.make_mapping(cell_mapping=self.make_cell(name='here'))
        found = self.get(created)
        self.assertEqual(created.obj_to_primitive(), found.obj_to_primitive())
        self.assertEqual('here', found.cell_mapping.name)
        self.assertEqual(found.cell_uuid, found.cell_mapping.uuid)
        self.assertIs(False, found.queued_for_delete)
        self.assertEqual(datetime.UTC, found.created_at and found.created_at.tzinfo)
        self.assertEqual(set(), found.obj_what_changed())

    def test_a_uuid_may_be_spelled_in_any_way(self) -> None:
        mapping = self.make_mapping(instance_uuid='74F0B3A6C5764930A74935624F38B6BC')
        self.assertEqual('74f0b3a6-c576-4930-a749-35624f38b6bc', mapping.instance_uuid)
        for spelling in (mapping.instance_uuid.upper(), mapping.instance_uuid.replace('-', '')):
            found = InstanceMapping.get_by_instance_uuid(self.context, spelling)
            self.assertEqual(mapping.instance_uuid, found.instance_uuid)

    def test_a_cell_may_be_given_by_its_uuid(self) -> None:
        cell = self.make_cell()
        mapping = self.make_mapping(cell_uuid=cell.uuid)
        self.assertEqual(cell.uuid, mapping.cell_mapping.uuid)

    def test_an_instance_may_be_in_no_cell_yet(self) -> None:
        mapping = self.get(self.make_mapping())
        self.assertIsNone(mapping.cell_uuid)
        self.assertIsNone(mapping.cell_mapping)

    def test_an_instance_is_mapped_once(self) -> None:
        mapping = self.make_mapping()
        again = self.new_mapping(instance_uuid=mapping.instance_uuid)
        self.assertRaises(exception.InstanceMappingExists, again.create)
        self.assertRaises(exception.ObjectActionError, mapping.create)

    def test_what_a_mapping_needs(self) -> None:
        mapping = InstanceMapping(self.context, user_id='user')
        error = self.assertRaises(exception.ObjectActionError, mapping.create)
        self.assertIn('instance_uuid, project_id', str(error))

    def test_owners_that_change_what_is_shown_are_refused(self) -> None:
        mapping = self.make_mapping()
        for field in ('project_id', 'user_id'):
            for text in samples.ODD_TEXTS:
                odd = self.new_mapping(**{field: text})
                self.assertRaises(exception.InvalidInput, odd.create)
                self.assertRaises(
                    exception.InvalidInput,
                    objects.InstanceMappingList.create_bulk,
                    self.context,
                    [self.new_mapping(), odd],
                )
                changed = self.get(mapping)
                setattr(changed, field, text)
                self.assertRaises(exception.InvalidInput, changed.save)
        [found] = objects.InstanceMappingList.get_all(self.context)
        self.assertEqual(mapping.obj_to_primitive(), found.obj_to_primitive())

    def test_what_the_database_sets_cannot_be_given(self) -> None:
        self.assertRaises(exception.ObjectActionError, self.new_mapping(id=7).create)
        mapping = self.make_mapping()
        mapping.created_at = None
        self.assertRaises(exception.ObjectActionError, mapping.save)

    def test_a_missing_cell_is_told_of(self) -> None:
        new = self.new_mapping(cell_uuid=base.new_uuid())
        self.assertRaises(exception.CellMappingNotFound, new.create)
        mapping = self.make_mapping()
        mapping.cell_uuid = base.new_uuid()
        self.assertRaises(exception.CellMappingNotFound, mapping.save)

    def test_what_names_a_missing_mapping_says_so(self) -> None:
        mapping = self.make_mapping()
        self.get(mapping).destroy()
        mapping.project_id = 'other'
        for call in (
            mapping.save,
            mapping.destroy,
            lambda: self.get(mapping),
            lambda: InstanceMapping.get_by_instance_uuid(self.context, 'no uuid'),
        ):
            self.assertRaises(exception.InstanceMappingNotFound, call)

    def test_saving_nothing_still_notices_that_it_is_gone(self) -> None:
        mapping = self.make_mapping()
        self.get(mapping).destroy()
        self.assertRaises(exception.InstanceMappingNotFound, mapping.save)

    def test_the_instance_of_a_mapping_cannot_be_changed(self) -> None:
        mapping = self.make_mapping()
        self.assertRaises(
            library_exception.ReadOnlyFieldError,
            setattr,
            mapping,
            'instance_uuid',
            base.new_uuid(),
        )

    def test_without_a_user(self) -> None:
        mapping = self.get(self.make_mapping())
        self.execute(self.mapping_table.update().values(user_id=None))
        mapping = self.get(mapping)
        self.assertFalse('user_id' in mapping)
        self.assertRaises(exception.ObjectActionError, getattr, mapping, 'user_id')
        mapping.user_id = 'found'
        mapping.save()
        self.assertEqual('found', self.get(mapping).user_id)

    def test_null_is_not_queued_for_delete(self) -> None:
        mapping = self.make_mapping()
        self.execute(self.mapping_table.update().values(queued_for_delete=None))
        self.assertIs(False, self.get(mapping).queued_for_delete)
        [listed] = InstanceMappingList.get_by_project_id(self.context, 'project')
        self.assertIs(False, listed.queued_for_delete)

    def test_an_orphan_says_that_it_is_one(self) -> None:
        mapping = InstanceMapping(instance_uuid=base.new_uuid(), cell_uuid=base.new_uuid())
        for call in (mapping.create, mapping.save, lambda: mapping.cell_mapping):
            self.assertRaises(library_exception.OrphanedObjectError, call)


@base.straight_and_through_the_conductor
class Moves(_Case):
    """A change of the cell is a compare-and-swap."""

    def test_a_save_stores_what_was_changed_and_no_more(self) -> None:
        mapping = self.make_mapping()
        behind = self.get(mapping)
        mapping.cell_mapping = self.make_cell()
        mapping.save()
        behind.queued_for_delete = True
        behind.save()
        self.assertEqual(mapping.cell_uuid, behind.cell_uuid)
        self.assertIs(True, self.get(mapping).queued_for_delete)

    def test_the_second_of_two_writers_is_told_which_cell_won(self) -> None:
        for change in ('cell_mapping', 'cell_uuid'):
            first = self.make_mapping()
            second = self.get(first)
            won, lost = self.make_cell(), self.make_cell()
            self.change(first, change, won)
            first.save()
            self.change(second, change, lost)
            error = self.assertRaises(exception.InstanceMappingConflict, second.save)
            self.assertEqual(won.uuid, error.cell_uuid)
            self.assertIn(won.uuid, str(error))
            self.assertEqual(won.uuid, self.get(first).cell_uuid)

    def test_also_where_both_want_the_same_cell(self) -> None:
        cell = self.make_cell()
        first = self.make_mapping()
        second = self.get(first)
        for mapping in (first, second):
            mapping.cell_mapping = cell
        first.save()
        self.assertRaises(exception.InstanceMappingConflict, second.save)

    def test_one_object_can_be_moved_again_and_again(self) -> None:
        mapping = self.make_mapping()
        for cell in (self.make_cell(), None, self.make_cell(), self.make_cell()):
            mapping.cell_mapping = cell
            mapping.save()
            self.assertEqual(cell and cell.uuid, self.get(mapping).cell_uuid)
            self.assertEqual(set(), mapping.obj_what_changed())

    def test_none_unmaps(self) -> None:
        for change in ('cell_mapping', 'cell_uuid'):
            mapping = self.make_mapping(cell_mapping=self.make_cell())
            setattr(mapping, change, None)
            mapping.save()
            self.assertIsNone(mapping.cell_mapping)
            self.assertIsNone(self.get(mapping).cell_uuid)

    def test_what_is_set_back_is_no_change(self) -> None:
        one, two = self.make_cell(), self.make_cell()
        first = self.make_mapping(cell_mapping=one)
        second = self.get(first)
        second.cell_mapping = two
        second.save()
        first.cell_mapping = one
        first.project_id = 'other'
        first.save()
        self.assertEqual((two.uuid, 'other'), (first.cell_uuid, first.project_id))

    def test_a_copy_compares_with_the_same_cell(self) -> None:
        mapping = self.make_mapping()
        copies = [
            copy.deepcopy(mapping),
            mapping.obj_clone(),
            InstanceMapping.obj_from_primitive(mapping.obj_to_primitive(), self.context),
        ]
        mapping.cell_mapping = self.make_cell()
        changed = InstanceMapping.obj_from_primitive(mapping.obj_to_primitive(), self.context)
        mapping.save()
        for each in copies:
            each.cell_mapping = self.make_cell()
        for each in [*copies, changed]:
            self.assertRaises(exception.InstanceMappingConflict, each.save)

    def test_an_object_that_was_never_loaded_compares_with_nothing(self) -> None:
        mapping = self.make_mapping(cell_mapping=self.make_cell())
        cell = self.make_cell()
        blind = InstanceMapping(self.context, instance_uuid=mapping.instance_uuid)
        blind.cell_mapping = cell
        blind.save()
        self.assertEqual(cell.uuid, self.get(mapping).cell_uuid)
        self.assertEqual('project', blind.project_id)

    def test_the_two_forms_of_the_cell_agree(self) -> None:
        one, two = self.make_cell(), self.make_cell()
        mapping = self.make_mapping(cell_mapping=one)
        mapping.cell_mapping = two
        self.assertEqual(two.uuid, mapping.cell_uuid)
        mapping.cell_uuid = one.uuid
        self.assertEqual(one.uuid, mapping.cell_mapping.uuid)
        mapping.cell_uuid = None
        self.assertIsNone(mapping.cell_mapping)

    def change(self, mapping: InstanceMapping, name: str, cell: Any) -> None:
        setattr(mapping, name, cell if name == 'cell_mapping' else cell.uuid)


@base.straight_and_through_the_conductor
class Values(_Case):
    """Whatever is put into a field is kept exactly or refused clearly."""

    @hypothesis.settings(max_examples=60)
    @hypothesis.given(
        st.dictionaries(
            st.sampled_from(sorted(InstanceMapping.fields)),
            st.one_of(
                st.text(),
                st.text(min_size=250, max_size=260),
                st.uuids().map(str),
                st.integers(),
                st.floats(),
                st.booleans(),
                st.none(),
                st.binary(),
                st.datetimes(),
            ),
        )
    )
    @hypothesis.example({'created_at': datetime.datetime(250, 6, 26, 14, 37, 31)})
    @hypothesis.example({'created_at': '2024-01-01T00:00:00+05:30'})
    @hypothesis.example({'id': float('inf')})
    def test_any_mapping(self, values: dict[str, Any]) -> None:
        try:
            mapping = self.new_mapping(**values)
        except (ValueError, TypeError):
            return
        repr(mapping)
        try:
            mapping.create()
        except (
            exception.InvalidInput,
            exception.ObjectActionError,
            exception.CellMappingNotFound,
        ):
            return
        found = self.get(mapping)
        self.assertEqual(mapping.obj_to_primitive(), found.obj_to_primitive())
        for name in ('project_id', 'user_id'):
            if name in values:
                self.assertEqual(str(values[name]), getattr(found, name))
        found.destroy()

    @hypothesis.settings(max_examples=40)
    @hypothesis.given(
        st.text() | st.text().map('rabbit://host/{}'.format),
        st.text() | st.text().map('sqlite:////{}'.format),
        st.none() | st.text(),
    )
    def test_any_cell(self, transport_url: str, database: str, name: str | None) -> None:
        try:
            cell = self.make_cell(
                transport_url=transport_url, database_connection=database, name=name
            )
        except ValueError:
            return
        repr(cell)
        found = objects.CellMapping.get_by_uuid(self.context, cell.uuid)
        self.assertEqual(
            (transport_url, database, name),
            (found.transport_url, found.database_connection, found.name),
        )
        found.destroy()
