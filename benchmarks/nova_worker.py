# SPDX-License-Identifier: Apache-2.0
"""Map cells with Nova's own code, and tell how long that took.

Runs in Nova's environment; the rest of the benchmarks cannot be imported here.
"""

import json
import sys
import time
from typing import Any

# The rest of Nova through it, for eventlet patches what is imported once it is.
from nova.cmd import manage


def main() -> None:
    task = json.load(sys.stdin)
    # As nova-manage itself does.
    manage.config.parse_args(['nova-manage', '--config-file', task['config']])
    manage.logging.setup(manage.CONF, 'nova')
    manage.objects.register_all()
    request = manage.context.RequestContext()
    cells = [manage.objects.CellMapping.get_by_uuid(request, uuid) for uuid in task['cells']]

    start, cpu_start = time.perf_counter(), time.process_time()
    for cell in cells:
        map_instances(cell, task['max_count'], task['batch_size'])
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start

    print(json.dumps({'seconds': seconds, 'cpu_seconds': cpu_seconds}))


def map_instances(cell: Any, max_count: int | None, batch_size: int | None) -> None:
    commands = manage.CellV2Commands()
    if batch_size is None or max_count is None:
        commands.map_instances(cell.uuid, max_count=max_count)
        return
    # What it does without --max-count, which cannot be stopped part way.
    marker = None
    for _ in range(max_count // batch_size):
        marker = commands._get_and_map_instances(
            manage.context.RequestContext(), cell, batch_size, marker
        )


if __name__ == '__main__':
    main()
