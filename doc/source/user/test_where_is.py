# SPDX-License-Identifier: Apache-2.0
"""The tests of a function that looks instances up."""

import testtools

from nova_cellmap import context
from nova_cellmap import exception
from nova_cellmap import fixtures
from nova_cellmap import objects
from nova_cellmap.upkeep import mapping


def where_is(ctxt, uuid):
    """The function to be tested: the name of the instance's cell, or None."""
    try:
        found = objects.InstanceMapping.get_by_instance_uuid(ctxt, uuid)
    except exception.InstanceMappingNotFound:
        return None
    return found.cell_mapping.name if found.cell_mapping else None


class TestWhereIs(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.ctxt = context.get_admin_context()
        self.useFixture(fixtures.Database())
        cells = self.useFixture(fixtures.Cells(2, instances=100, deleted=0.2))
        self.uuid = cells.add(cells.cells[2], project_id='demo')
        for cell in cells.cells:
            mapping.map_instances(self.ctxt, cell)

    def test_an_instance_is_found(self):
        self.assertEqual('cell2', where_is(self.ctxt, self.uuid))

    def test_an_instance_is_found_without_a_database(self):
        self.useFixture(fixtures.Conductor(page_size=10))
        self.assertEqual('cell2', where_is(self.ctxt, self.uuid))
        self.assertEqual(301, len(objects.InstanceMappingList.get_all(self.ctxt)))

    def test_nothing_is_found(self):
        self.assertIsNone(where_is(self.ctxt, 'ffffffff-ffff-4fff-8fff-ffffffffffff'))
