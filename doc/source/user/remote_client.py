# SPDX-License-Identifier: Apache-2.0
"""A program that works with the mapping and has no database."""

from nova_cellmap import conf
from nova_cellmap import context
from nova_cellmap import exception
from nova_cellmap import objects
from nova_cellmap.conductor import rpcapi

rpcapi.use_conductor(conf.new(config_files=['client.conf']), wait=30)
ctxt = context.RequestContext(user_id='alice', project_id='demo')

# A method of a class: its result comes back.
cell1 = objects.CellMapping.get_by_name(ctxt, 'cell1')
print(cell1.identity, cell1.transport_url)

# A method of an object: what it changed of the object comes back too.
uuid = '7d1e8c9a-5b0f-4a3e-9c55-3f6f0d0c7a10'
mapping = objects.InstanceMapping(ctxt, instance_uuid=uuid, project_id='demo', cell_mapping=cell1)
mapping.create()
print(mapping.id, mapping.cell_mapping.name)

# Of two writers one wins, and the other is told.
mine = objects.InstanceMapping.get_by_instance_uuid(ctxt, uuid)
theirs = objects.InstanceMapping.get_by_instance_uuid(ctxt, uuid)
theirs.cell_mapping = None
theirs.save()
mine.cell_uuid = '00000000-0000-0000-0000-000000000000'
try:
    mine.save()
except exception.InstanceMappingConflict as conflict:
    print('it is in no cell now:', conflict.cell_uuid is None)

# Any number at once: a page a call.
more = [
    objects.InstanceMapping(
        ctxt,
        instance_uuid=f'00000000-0000-4000-8000-{number:012}',
        project_id='demo',
        cell_uuid=cell1.uuid,
    )
    for number in range(2500)
]
print(objects.InstanceMappingList.create_bulk(ctxt, more))
print(len(objects.InstanceMappingList.get_by_cell_uuid(ctxt, cell1.uuid)))

rpcapi.use_database()
