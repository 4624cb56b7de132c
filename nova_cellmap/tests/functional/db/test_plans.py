# SPDX-License-Identifier: Apache-2.0
"""How a database finds what it is asked for, where the answer alone does not tell."""

from collections.abc import Callable
import functools
from typing import Any

import sqlalchemy as sa

from nova_cellmap.db import api
from nova_cellmap.db import engine
from nova_cellmap.tests.functional import base


@base.on_both_schemas
class Plans(base.TestCase):
    """No statement reads all mappings, but for those that are about all of them."""

    def setUp(self) -> None:
        super().setUp()
        if self.kind == 'postgresql':
            self.addCleanup(self.execute, sa.text(f'TRUNCATE {self.mapping_table.name}'))
        self.cells = [self.make_cell().uuid for _ in range(3)]
        rows: list[dict[str, Any]] = [
            {
                'instance_uuid': base.new_uuid(),
                'cell_uuid': self.cells[number % 3],
                'project_id': f'p{number % 100}',
                'user_id': f'u{number % 500}',
                'queued_for_delete': not number % 7,
            }
            for number in range(5000)
        ]
        api.instance_mapping_create_bulk(self.context, rows)
        self.uuids = [row['instance_uuid'] for row in rows]
        analyze = 'ANALYZE TABLE' if self.kind == 'mariadb' else 'ANALYZE'
        self.execute(sa.text(f'{analyze} {self.mapping_table.name}'))

    def test_what_reads(self) -> None:
        context, some = self.context, self.uuids[:50]
        self.assert_by_key(
            lambda: api.instance_mapping_get_by_instance_uuid(context, some[0]),
            lambda: api.instance_mapping_get_by_instance_uuids(context, some),
            lambda: api.instance_mapping_get_as_stored(context, some),
            lambda: api.instance_mapping_scan(context, some[0], 50),
            lambda: api.instance_mapping_get_counts(context, 'p7', 'u7'),
            lambda: api.instance_mapping_get_count_by_uuids_and_user(context, some, 'u7'),
            lambda: api.cell_mapping_get_by_project_id(context, 'p7'),
        )

    def test_pages(self) -> None:
        lists: tuple[dict[str, Any], ...] = (
            {},
            {'cell_uuid': self.cells[1]},
            {'project_id': 'p7'},
            {'project_id': 'p7', 'cell_uuid': self.cells[1]},
            {'project_id': 'p7', 'include_queued_for_delete': False},
        )
        # This one is in each of them.
        place: dict[str, Any] = {'limit': 10, 'marker': self.uuids[1507]}
        for filters in lists:
            read = functools.partial(api.instance_mapping_get_all, self.context)
            plans = self.assert_by_key(functools.partial(read, **filters, **place))
            # The first is of the marker. PostgreSQL's indexes have no ids, but for those that name
            # them: it may sort what it has found.
            if self.kind != 'postgresql':
                self.assertNotRegex(plans[1], 'filesort|FOR ORDER BY')

    def test_what_changes(self) -> None:
        context, cells, some = self.context, self.cells, self.uuids[:50]
        rows = list(api.instance_mapping_get_by_instance_uuids(context, self.uuids[100:120]))
        new = [{'instance_uuid': uuid, 'project_id': 'p'} for uuid in (*some, base.new_uuid())]
        self.assert_by_key(
            lambda: api.instance_mapping_update(
                context, some[0], {'cell_uuid': cells[1]}, expected_cell_uuid=cells[0]
            ),
            lambda: api.instance_mapping_update_bulk(
                context, [(row, {'user_id': 'x'}) for row in rows]
            ),
            lambda: api.instance_mapping_destroy_seen(context, rows[:5]),
            lambda: api.instance_mapping_create_bulk(context, new),
            lambda: api.instance_mapping_map_batch(context, cells[0], new, last_instance_id=1),
            lambda: api.instance_mapping_destroy(context, some[0]),
            lambda: api.instance_mapping_destroy_bulk(context, some[1:]),
        )

    def assert_by_key(self, *calls: Callable[[], Any]) -> list[str]:
        plans: list[str] = []
        for call in calls:
            for statement, parameters in self.sent(call):
                plan = self.plan(statement, parameters)
                self.assertNotRegex(plan, self.whole, statement)
                plans.append(plan)
        return plans

    def sent(self, call: Callable[[], Any]) -> list[tuple[str, Any]]:
        """The statements that a call sends, each with its parameters."""
        sent: list[tuple[str, Any]] = []

        def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            if statement.startswith(('SELECT', 'UPDATE', 'DELETE')):
                sent.append((statement, parameters))

        engines = {engine.of().reader, engine.of().writer}
        for each in engines:
            sa.event.listen(each, 'before_cursor_execute', note)
        call()
        for each in engines:
            sa.event.remove(each, 'before_cursor_execute', note)
        return sent

    def plan(self, statement: str, parameters: Any) -> str:
        explain = 'EXPLAIN QUERY PLAN' if self.kind == 'sqlite' else 'EXPLAIN'
        with engine.of().writer.begin() as connection:
            if self.kind == 'postgresql':
                # A table that is so small it may read at once: whether it can do otherwise.
                connection.exec_driver_sql('SET LOCAL enable_seqscan = off')
            rows = connection.exec_driver_sql(f'{explain} {statement}', parameters).all()
        return '\n'.join(str(tuple(row)) for row in rows)

    @property
    def whole(self) -> str:
        """What a plan has that reads all of the mappings."""
        table = self.mapping_table.name
        return {
            'sqlite': rf'SCAN {table}\b',
            'mariadb': rf"'{table}', '(ALL|index)'",
            'postgresql': rf'Seq Scan on {table}\b',
        }[self.kind]
