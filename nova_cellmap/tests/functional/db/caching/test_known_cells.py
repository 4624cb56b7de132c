# SPDX-License-Identifier: Apache-2.0
"""The cells that a process knows, with or without the cache."""

import time
from unittest import mock

import testtools

import nova_cellmap
from nova_cellmap import runtime
from nova_cellmap.db import api
from nova_cellmap.db.caching import known_cells
from nova_cellmap.tests.functional import base


@base.on_both_schemas
class KnownCells(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cell = self.make_cell(name='old')
        for _ in range(2):
            self.make_mapping(cell_uuid=self.cell.uuid)

    def names(self) -> list[str]:
        rows = api.instance_mapping_get_all(self.context, project_id='project')
        return [row['cell_mapping']['name'] for row in rows]

    def change_unseen(self) -> None:
        self.execute(self.cell_table.update().values(name='new'))

    def test_a_cell_is_read_once_in_a_while(self) -> None:
        self.names()
        self.change_unseen()
        self.assertEqual(['old'] * 2, self.names())
        with mock.patch.object(time, 'monotonic', return_value=time.monotonic() + 11):
            self.assertEqual(['new'] * 2, self.names())

    def test_not_where_that_is_off(self) -> None:
        self.conf.set_override('cache_time', 0, group='cells')
        nova_cellmap.configure(self.conf)
        self.names()
        self.change_unseen()
        self.assertEqual(['new'] * 2, self.names())

    def test_configure_forgets_them(self) -> None:
        self.names()
        self.change_unseen()
        nova_cellmap.configure(self.conf)
        self.assertEqual(['new'] * 2, self.names())

    def test_what_this_process_changes_it_knows_at_once(self) -> None:
        self.names()
        api.cell_mapping_update(self.context, self.cell.uuid, {'name': 'new'})
        self.assertEqual(['new'] * 2, self.names())

    def test_a_transaction_sees_its_own_changes(self) -> None:
        self.names()
        with testtools.ExpectedException(ZeroDivisionError), api.writer(self.context):
            api.cell_mapping_update(self.context, self.cell.uuid, {'name': 'new'})
            self.assertEqual(['new'] * 2, self.names())
            raise ZeroDivisionError
        self.assertEqual(['old'] * 2, self.names())

    def test_a_new_cell_is_read(self) -> None:
        self.names()
        self.make_mapping(cell_uuid=self.make_cell(name='another').uuid)
        self.assertEqual(['old', 'old', 'another'], self.names())

    def test_what_is_handed_out_is_the_callers_own(self) -> None:
        for _ in range(3):
            [row, _] = api.instance_mapping_get_all(self.context, project_id='project')
            row['cell_mapping']['name'] += ' and changed'
        self.assertEqual(['old'] * 2, self.names())

    def test_a_transaction_that_began_before_a_change_has_nothing_kept(self) -> None:
        with api.writer(self.context):
            # MariaDB's shows what was at the first statement.
            api.instance_mapping_get_counts(self.context, 'project')
            runtime.default().part(known_cells.KnownCells).forget()
            self.names()
        self.change_unseen()
        self.assertEqual(['new'] * 2, self.names())

    def test_what_was_read_before_a_change_is_not_kept_after_it(self) -> None:
        known = runtime.default().part(known_cells.KnownCells)
        generation = known.generation
        row = api.cell_mapping_get_by_uuid(self.context, self.cell.uuid)
        api.cell_mapping_update(self.context, self.cell.uuid, {'name': 'new'})
        known.keep([row], generation, time.monotonic())
        self.assertEqual(['new'] * 2, self.names())
