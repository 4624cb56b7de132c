# SPDX-License-Identifier: Apache-2.0
"""Audit a cloud, or only read what an audit has to read, and tell how long that took."""

from collections.abc import Iterator
import contextlib
import json
import resource
import sys
import time
from typing import Any

import sqlalchemy as sa

import nova_cellmap
from nova_cellmap import conf
from nova_cellmap import context
from nova_cellmap.objects import CellMappingList
from nova_cellmap.upkeep import audit

_INSTANCES = 'SELECT uuid, project_id, user_id, deleted, vm_state, hidden FROM instances'
_MAPPING = (
    'SELECT instance_uuid, cell_uuid, project_id, user_id, queued_for_delete FROM instance_mapping'
)
_ROWS = 1000


def main() -> None:
    task = json.load(sys.stdin)
    start, cpu_start = time.perf_counter(), time.process_time()
    answer = read_streams(task) if task['bare'] else audit_all(task)
    answer['seconds'] = time.perf_counter() - start
    answer['cpu_seconds'] = time.process_time() - cpu_start
    # In kilobytes, on Linux.
    answer['peak_memory'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(answer))


def audit_all(task: dict[str, Any]) -> dict[str, Any]:
    nova_cellmap.configure(conf.new(config_files=[task['config']]))
    request = context.get_admin_context()
    run = audit.Audit(request, CellMappingList.get_all(request))
    problems = list(run.problems())
    assert not run.errors, run.errors
    return {'count': run.instances, 'problems': len(problems)}


def read_streams(task: dict[str, Any]) -> dict[str, Any]:
    """Each side from its beginning to its end, through the driver alone."""
    instances = sum(read(url, _INSTANCES + task['order']) for url in task['cells'])
    mappings = read(task['mapping'], _MAPPING + task['order'].replace('uuid', 'instance_uuid'))
    assert instances == mappings, (instances, mappings)
    return {'count': instances, 'problems': 0}


def read(url: str, query: str) -> int:
    rows = 0
    with _cursor(sa.make_url(url)) as cursor:
        cursor.execute(query)
        while page := cursor.fetchmany(_ROWS):
            rows += len(page)
    return rows


@contextlib.contextmanager
def _cursor(url: sa.URL) -> Iterator[Any]:
    """A cursor that holds a page of the result and not all of it."""
    engine = sa.create_engine(url)
    connection: Any = engine.raw_connection()
    driver = connection.driver_connection
    if engine.dialect.name == 'mysql':
        from pymysql import cursors

        cursor = driver.cursor(cursors.SSCursor)
    elif engine.dialect.name == 'postgresql':
        cursor = driver.cursor(name='stream')
        cursor.itersize = _ROWS
    else:
        cursor = driver.cursor()
    try:
        yield cursor
    finally:
        cursor.close()
        connection.close()
        engine.dispose()


if __name__ == '__main__':
    main()
