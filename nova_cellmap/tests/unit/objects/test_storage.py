# SPDX-License-Identifier: Apache-2.0
"""How the library stores what an object holds: the short way finds what the long one does."""

import copy

from nova_cellmap import context
from nova_cellmap import objects
from nova_cellmap.objects import storage
from nova_cellmap.tests import base

_UUID = '7d1e8c9a-0f3b-4c5d-8e6f-1a2b3c4d5e6f'


class Storage(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.asked = context.get_admin_context()
        self.cell = objects.CellMapping(self.asked, uuid=_UUID, name='east')

    def test_what_is_set_through_the_library_is_there(self) -> None:
        self.assertTrue(storage.is_set(self.cell, 'name'))
        self.assertFalse(storage.is_set(self.cell, 'disabled'))
        self.assertEqual('east', storage.value(self.cell, 'name'))
        self.assertIsNone(storage.value(self.cell, 'disabled'))
        self.assertEqual({'uuid', 'name'}, set(storage.changed(self.cell)))

    def test_what_is_filled_in_is_there_for_the_library_and_no_change(self) -> None:
        cell = storage.new(objects.CellMapping, self.asked)
        self.assertEqual(set(), cell.obj_what_changed())
        storage.fill(cell, {'uuid': _UUID, 'name': None})
        self.assertEqual((_UUID, None), (cell.uuid, cell.name))
        self.assertIs(self.asked, cell.obj_context)
        self.assertEqual(set(), cell.obj_what_changed())

    def test_changes(self) -> None:
        self.cell.obj_reset_changes(['uuid'])
        self.assertEqual({'name'}, set(storage.changed(self.cell)))
        storage.unset(self.cell, 'name')
        self.assertNotIn('name', self.cell)
        self.assertEqual(set(), self.cell.obj_what_changed())

    def test_a_copy_has_changes_of_its_own(self) -> None:
        self.cell.obj_reset_changes(['uuid'])
        copied = copy.copy(self.cell)
        self.assertEqual({'name'}, copied.obj_what_changed())
        copied.disabled = True
        copied.obj_reset_changes(['name'])
        self.assertEqual({'name'}, self.cell.obj_what_changed())
        self.assertNotIn('disabled', self.cell)
        unchanged = storage.new(objects.CellMapping, self.asked)
        self.assertEqual(set(), copy.copy(unchanged).obj_what_changed())

    def test_all_of_another_is_taken_over(self) -> None:
        other = objects.CellMapping(self.asked, uuid=_UUID, disabled=True)
        storage.take_over(self.cell, other)
        self.assertNotIn('name', self.cell)
        self.assertIs(True, self.cell.disabled)
        self.assertEqual(set(), self.cell.obj_what_changed())

    def test_values_come_as_a_tuple_whatever_their_number(self) -> None:
        held = vars(self.cell)
        self.assertEqual(('east',), storage.getter('name')(held))
        self.assertEqual((_UUID, 'east'), storage.getter('uuid', 'name')(held))
        self.assertRaises(KeyError, storage.getter('disabled'), held)
