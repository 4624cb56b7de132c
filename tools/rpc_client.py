# SPDX-License-Identifier: Apache-2.0
"""Work with mappings in a process that has no database: for tools/quickstart.

python rpc_client.py INSTANCE_UUID PROJECT_ID
"""

import sys

from nova_cellmap import conf
from nova_cellmap import context
from nova_cellmap import exception
from nova_cellmap import objects
from nova_cellmap.conductor import rpcapi

instance, project = sys.argv[1:]
admin = context.get_admin_context()
rpcapi.use_conductor(conf.new(config_files=['client.conf'], config_dirs=[]), wait=30)

mapping = objects.InstanceMapping.get_by_instance_uuid(admin, instance)
print(f'{instance} is in {mapping.cell_mapping.name}, {mapping.cell_uuid}.')
mappings = objects.InstanceMappingList.get_by_project_id(admin, project)
print(f'Its project has {len(mappings)} mappings.')

# Two movers have loaded the mapping, and the other one is faster.
cell0, cell1, cell2 = objects.CellMappingList.get_all(admin)
other = objects.InstanceMapping.get_by_instance_uuid(admin, instance)
other.cell_mapping = cell1
other.save()
mapping.cell_mapping = cell0
try:
    mapping.save()
except exception.InstanceMappingConflict as error:
    print(f'InstanceMappingConflict: {error}')

other.cell_mapping = cell2
other.save()
print(f'It is back in {other.cell_mapping.name}.')
