# SPDX-License-Identifier: Apache-2.0
"""How a database finds what it is asked for, where the answer alone does not tell."""

import sqlalchemy as sa

from nova_cellmap.db import engine
from nova_cellmap.db import pages
from nova_cellmap.db.schemas import own
from nova_cellmap.tests.functional import base

_PROJECTS = 250
_COUNT = 100_000

_mappings = own.instance_mapping


class Pages(base.TestCase):
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
