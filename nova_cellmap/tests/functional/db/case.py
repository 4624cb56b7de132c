# SPDX-License-Identifier: Apache-2.0
"""What the tests of the function layer share."""

from collections.abc import Callable, Sequence
import concurrent.futures
import threading
from typing import Any

from nova_cellmap import exception
from nova_cellmap.db import api
from nova_cellmap.tests.functional import base


def at_once(count: int, function: Callable[[int], Any]) -> list[Any]:
    """Call *function* with 0, 1, ... in as many threads, all let go at one moment.

    What it raises is its answer.
    """
    barrier = threading.Barrier(count)

    def call(number: int) -> Any:
        barrier.wait()
        try:
            return function(number)
        except exception.CellMapError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count)))


class Case(base.TestCase):
    def cell(self, **values: Any) -> str:
        uuid = base.new_uuid()
        urls = {'transport_url': 'none:///', 'database_connection': 'none:///'}
        api.cell_mapping_create(self.context, {'uuid': uuid, **urls, **values})
        return uuid

    def map(self, **values: Any) -> str:
        row = self.values(**values)
        api.instance_mapping_create(self.context, row)
        return str(row['instance_uuid'])

    def values(self, **values: Any) -> dict[str, Any]:
        return {'instance_uuid': base.new_uuid(), 'project_id': 'p', 'user_id': 'u', **values}

    def uuids(self, rows: Sequence[api.Row]) -> list[str]:
        return [row['instance_uuid'] for row in rows]

    def all(self, **filters: Any) -> Sequence[api.Row]:
        return api.instance_mapping_get_all(self.context, **filters)

    def import_batch(self, rows: list[Any], **kwargs: Any) -> api.BulkResult:
        return api.instance_mapping_import_batch(self.context, rows, source='s', **kwargs)

    def map_batch(self, *args: Any, **kwargs: Any) -> api.BulkResult:
        return api.instance_mapping_map_batch(self.context, *args, **kwargs)
