# SPDX-License-Identifier: Apache-2.0
"""The same statements through the driver alone. Runs with a database's URL as its argument."""

from collections.abc import Sequence
import datetime
import sys
from typing import Any
import uuid

import sqlalchemy as sa

from benchmarks import worker_loop

_COLUMNS = (
    'instance_uuid, cell_uuid, project_id, user_id, queued_for_delete, created_at'
)  # fmt: skip
_INSERT = f'INSERT INTO instance_mapping ({_COLUMNS}) VALUES ({{places}})'


class Raw:
    """A connection that commits each statement, unless it is told when."""

    def __init__(self, url: sa.URL) -> None:
        engine = sa.create_engine(url, poolclass=sa.StaticPool, isolation_level='AUTOCOMMIT')
        self._connection: Any = engine.connect().connection.driver_connection
        dialect = engine.dialect
        self._begin = 'BEGIN IMMEDIATE' if dialect.name == 'sqlite' else 'BEGIN'
        place = {'qmark': '?'}.get(dialect.paramstyle, '%s')
        self._insert = _INSERT.format(places=', '.join([place] * 6))

    def statements(self, statements: Sequence[tuple[str, Any]], rows: int) -> None:
        """Send them and take all that they give; one gives so many rows."""
        cursor = self._connection.cursor()
        numbers = []
        for statement, parameters in statements:
            cursor.execute(statement, parameters)
            numbers.append(len(cursor.fetchall()))
        cursor.close()
        assert rows in numbers, (rows, numbers)

    lookup = hundred = project = page_first = page_last = count = count_plain = statements

    def prepare_create(self, project_id: str, cell_uuid: str) -> tuple[Sequence[Any]]:
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None, microsecond=0)
        return ((str(uuid.uuid4()), cell_uuid, project_id, 'user', False, str(now)),)

    def create(self, row: Sequence[Any]) -> None:
        cursor = self._connection.cursor()
        cursor.execute(self._insert, row)
        cursor.close()

    def prepare_create_bulk(
        self, project_id: str, cell_uuid: str, count: int
    ) -> tuple[list[Sequence[Any]]]:
        return ([self.prepare_create(project_id, cell_uuid)[0] for _ in range(count)],)

    def create_bulk(self, rows: list[Sequence[Any]]) -> None:
        cursor = self._connection.cursor()
        cursor.execute(self._begin)
        cursor.executemany(self._insert, rows)
        cursor.execute('COMMIT')
        cursor.close()


if __name__ == '__main__':
    worker_loop.serve(Raw(sa.make_url(sys.argv[1])))
