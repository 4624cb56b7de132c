# SPDX-License-Identifier: Apache-2.0
"""Lists in pages."""

from collections.abc import Callable, Sequence
import functools
import itertools
from typing import Any

import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.db import engine
from nova_cellmap.db import pages
from nova_cellmap.db.schemas import own
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.db import case

_PROJECTS = 250
_COUNT = 100_000

_mappings = own.instance_mapping

_Page = Callable[..., Sequence[api.Row]]


@base.on_both_schemas
class Lists(case.Case):
    def setUp(self) -> None:
        super().setUp()
        self.cells = [self.cell(disabled=number == 2) for number in range(4)]
        for number in range(12):
            self.map(
                cell_uuid=[*self.cells[:2], None][number % 3],
                project_id='pq'[number % 2],
                queued_for_delete=number % 4 == 1,
            )

    def lists(self) -> list[tuple[str, _Page]]:
        """Each with the key of its rows."""
        mappings = functools.partial(api.instance_mapping_get_all, self.context)
        cells = functools.partial(api.cell_mapping_get_all, self.context)
        return [
            ('instance_uuid', mappings),
            ('instance_uuid', functools.partial(mappings, project_id='p')),
            ('instance_uuid', functools.partial(mappings, cell_uuid=self.cells[1])),
            ('instance_uuid', functools.partial(mappings, include_queued_for_delete=False)),
            ('instance_uuid', functools.partial(mappings, project_id='nobodys')),
            ('uuid', cells),
            ('uuid', functools.partial(cells, disabled=False)),
            ('uuid', functools.partial(api.cell_mapping_get_by_project_id, self.context, 'p')),
        ]

    def test_pages_of_any_size_are_the_whole_list(self) -> None:
        for (key, page), limit in itertools.product(self.lists(), (1, 3, 100)):
            whole = list(page())
            self.assertEqual(sorted(row['id'] for row in whole), [row['id'] for row in whole])
            paged: list[api.Row] = []
            while some := page(limit=limit, marker=paged[-1][key] if paged else None):
                self.assertLessEqual(len(some), limit)
                paged += some
            self.assertEqual(whole, paged)

    def test_a_page_of_nothing_and_one_of_all(self) -> None:
        for _, page in self.lists():
            self.assertEqual([], list(page(limit=0)))
            # More than any database counts.
            self.assertEqual(list(page()), list(page(limit=2**70)))

    def test_a_marker_has_to_be_of_the_list(self) -> None:
        whole = {row['instance_uuid'] for row in self.all()}
        mine = {row['instance_uuid'] for row in self.all(project_id='p')}
        for marker in (min(whole - mine), 'nobody', ''):
            error = self.assertRaises(
                exception.MarkerNotFound, self.all, project_id='p', marker=marker
            )
            self.assertIn(marker, str(error))


class Limits(tests_base.TestCase):
    def test_what_is_no_number_of_rows_is_refused(self) -> None:
        for limit in (None, 0, 1, 2**70):
            pages.check_limit(limit)
        wrong: tuple[Any, ...] = (-1, True, '1', 1.0, b'1')
        for each in wrong:
            error = self.assertRaises(exception.InvalidInput, pages.check_limit, each)
            self.assertIn(repr(each), str(error))


class PlansPostgresql(base.TestCase):
    """PostgreSQL alone keeps no id in an index that does not name it."""

    kind = 'postgresql'

    def setUp(self) -> None:
        super().setUp()
        # What is only deleted the next tests would have to step over.
        self.addCleanup(self.execute, sa.text('TRUNCATE instance_mapping'))
        self.execute(
            sa.text(
                'INSERT INTO instance_mapping (instance_uuid, project_id)'
                f" SELECT gen_random_uuid(), concat('p', number % {_PROJECTS})"
                f' FROM generate_series(1, {_COUNT}) AS number'
            )
        )
        self.execute(sa.text('ANALYZE instance_mapping'))

    def plan(self, **values: object) -> str:
        query = pages.page_query(own.schema, _mappings, *values).select
        text = query.params(**values).compile(
            dialect=engine.of().reader.dialect, compile_kwargs={'literal_binds': True}
        )
        return '\n'.join(line for (line,) in self.execute(sa.text(f'EXPLAIN {text}')))

    def test_a_page_is_found_in_the_index_of_the_project(self) -> None:
        [(middle,)] = self.execute(sa.select(sa.cast(sa.func.avg(_mappings.c.id), sa.BigInteger)))
        for place in ({}, {'last_id': middle}):
            plan = self.plan(project_id='p7', **place, limit=100)
            self.assertIn('Index Scan using instance_mapping_project_id_id_idx', plan)
            for more in ('Sort', 'Filter'):
                self.assertNotIn(more, plan)
