# SPDX-License-Identifier: Apache-2.0
"""Map cells with nova_cellmap, and tell how long that took."""

import json
import sys
import time

import nova_cellmap
from nova_cellmap import conf
from nova_cellmap import context
from nova_cellmap.cells import mapping
from nova_cellmap.cells import registration


def main() -> None:
    task = json.load(sys.stdin)
    nova_cellmap.configure(conf.new(config_files=[task['config']]))
    request = context.get_admin_context()
    cells = [registration.get_cell(request, uuid) for uuid in task['cells']]

    start, cpu_start = time.perf_counter(), time.process_time()
    for cell in cells:
        mapping.map_instances(request, registration.get_cell(request, cell.uuid))
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start

    print(json.dumps({'seconds': seconds, 'cpu_seconds': cpu_seconds}))


if __name__ == '__main__':
    main()
