# SPDX-License-Identifier: Apache-2.0
"""What is said of all instances."""

from typing import Any

import sqlalchemy as sa

from nova_cellmap.db import api
from nova_cellmap.db import facts
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.db import case


@base.on_both_schemas
class Facts(case.Case):
    def scan(self, **of_project: Any) -> list[api.Fact]:
        return api.instance_mapping_scan(self.context, '', 100, **of_project)

    def said(self, **values: Any) -> str:
        """What is said of a new mapping, which is removed again."""
        uuid = self.map(**values)
        [(found, said)] = self.scan()
        self.assertEqual(uuid, found)
        api.instance_mapping_destroy(self.context, uuid)
        return said

    def test_pages_of_any_size_have_each_once_in_the_order_of_uuids(self) -> None:
        uuids = sorted(self.map() for _ in range(7))
        for limit in (1, 3, 7, 100):
            found, last = list[str](), ''
            while page := api.instance_mapping_scan(self.context, last, limit):
                self.assertLessEqual(len(page), limit)
                found += [uuid for uuid, _ in page]
                last = found[-1]
            self.assertEqual(uuids, found)

    def test_those_of_a_project(self) -> None:
        mine = [self.map(project_id='mine') for _ in range(2)]
        self.map(project_id='Mine')
        self.assertEqual(sorted(mine), [uuid for uuid, _ in self.scan(project_id='mine')])
        self.assertEqual([], self.scan(project_id='nobodys'))

    def test_equal_texts_say_the_same_and_others_do_not(self) -> None:
        cell, other = self.cell(), self.cell()
        alike = {'cell_uuid': cell, 'project_id': 'p', 'user_id': 'u'}
        said = self.said(**alike)
        self.assertEqual(said, self.said(**alike, queued_for_delete=None))
        for difference in (
            {'cell_uuid': other},
            {'cell_uuid': None},
            {'project_id': 'P'},
            {'user_id': None},
            {'user_id': ''},
            {'user_id': 'u '},
            {'queued_for_delete': True},
            # As one text they are the same.
            {'project_id': 'pu', 'user_id': ''},
        ):
            self.assertNotEqual(said, self.said(**{**alike, **difference}), difference)

    def test_a_cell_says_it_in_the_same_words(self) -> None:
        cell = self.cell()
        for user, queued in (('u', False), (None, True)):
            said = self.said(cell_uuid=cell, user_id=user, queued_for_delete=queued)
            texts = [sa.literal(cell), sa.literal('p'), sa.literal(user, sa.String)]
            is_queued = sa.literal(1) == (1 if queued else 0)
            query = sa.select(facts.fact(*texts, queued_for_delete=is_queued))
            self.assertEqual([(said,)], self.execute(query))

    def test_the_cell_that_is_named(self) -> None:
        cell = self.cell()
        self.assertEqual(cell, api.cell_of_fact(('', self.said(cell_uuid=cell))))
        self.assertNotIn('-', api.cell_of_fact(('', self.said())))


@base.on_both_schemas
class AsStored(case.Case):
    def test_those_that_are_asked_for(self) -> None:
        cell = self.cell()
        mapped, unplaced, _ = self.map(cell_uuid=cell, user_id=None), self.map(), self.map()
        asked = [mapped, unplaced, base.new_uuid()]
        rows = {
            row['instance_uuid']: row
            for row in api.instance_mapping_get_as_stored(self.context, asked)
        }
        self.assertEqual({mapped, unplaced}, rows.keys())
        names = ('cell_uuid', 'project_id', 'user_id')
        self.assertEqual([cell, 'p', None], [rows[mapped][name] for name in names])
        self.assertEqual([None, 'p', 'u'], [rows[unplaced][name] for name in names])
        self.assertFalse(rows[mapped]['queued_for_delete'])
        self.assertEqual([], api.instance_mapping_get_as_stored(self.context, []))
