# SPDX-License-Identifier: Apache-2.0
"""Remove the mappings of instances that are gone from a cell: python purge_mappings.py CELL"""

import sys

import nova_cellmap
from nova_cellmap import conf
from nova_cellmap import context
from nova_cellmap import objects
from nova_cellmap.cells import database
from nova_cellmap.cells.instances import Instances

nova_cellmap.configure(conf.new())
ctxt = context.get_admin_context()
cell = objects.CellMapping.get_by_name(ctxt, sys.argv[1])

gone, marker = [], None
with database.connect(cell) as connection:
    instances = Instances(connection, cell)
    while page := objects.InstanceMappingList.get_by_cell_uuid(
        ctxt, cell.uuid, limit=1000, marker=marker
    ).objects:
        marker = page[-1].instance_uuid
        gone += [
            mapping.instance_uuid
            for mapping in page
            if mapping.queued_for_delete and instances.get(mapping.instance_uuid) is None
        ]

removed = 0
for start in range(0, len(gone), 1000):
    removed += objects.InstanceMappingList.destroy_bulk(ctxt, gone[start : start + 1000])
print(f'{removed} mappings removed')
