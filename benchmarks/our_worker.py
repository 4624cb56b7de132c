# SPDX-License-Identifier: Apache-2.0
"""Map cells with nova_cellmap, or only read them as that does, and tell how long it took."""

import json
import sys
import time

import nova_cellmap
from nova_cellmap import conf
from nova_cellmap import context
from nova_cellmap.cells import database
from nova_cellmap.cells import instances
from nova_cellmap.objects import CellMapping
from nova_cellmap.upkeep import batches
from nova_cellmap.upkeep import mapping
from nova_cellmap.upkeep import registration


def main() -> None:
    task = json.load(sys.stdin)
    nova_cellmap.configure(conf.new(config_files=[task['config']]))
    request = context.get_admin_context()
    cells = [registration.get_cell(request, uuid) for uuid in task['cells']]

    start, cpu_start = time.perf_counter(), time.process_time()
    for cell in cells:
        if task['only_read']:
            read(cell)
        else:
            mapping.map_instances(request, registration.get_cell(request, cell.uuid))
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start

    print(json.dumps({'seconds': seconds, 'cpu_seconds': cpu_seconds}))


def read(cell: CellMapping) -> None:
    last_id = 0
    with database.connect(cell) as reader:
        table = instances.Instances(reader, cell)
        while page := table.after(last_id, batches.BATCH_SIZE):
            last_id = page.last_id


if __name__ == '__main__':
    main()
