# SPDX-License-Identifier: Apache-2.0
"""Nova's own contexts with every function and object, and ours in Nova."""

import pathlib

import fixtures

from nova_cellmap.tests import base
from nova_cellmap.tests.beside_nova import apart

_PROGRAM = """
import nova.conf
from nova import config as nova_config
from nova import context as nova_context
from nova.db.main import api as nova_db
import nova_cellmap
from nova_cellmap import conf
from nova_cellmap import context
from nova_cellmap import objects
from nova_cellmap.cells import listing
from nova_cellmap.cells import scatter
from nova_cellmap.cells import target
from nova_cellmap.db import api
from nova_cellmap.db import migration
from nova_cellmap.objects.base import CellMapObjectSerializer
from nova_cellmap import nova_cell
import sqlalchemy as sa

# As Nova's services start: they know the options of the libraries that are installed.
nova_config.parse_args(['nova'], default_config_files=[], configure_db=False, init_rpc=False)
for group in ('database', 'api_database'):
    nova.conf.CONF.set_override('connection', f'sqlite:///{FOLDER}/novas-{group}', group=group)
made = conf.new(config_files=[])
made.set_override('connection', f'sqlite:///{FOLDER}/mapping', group='api_database')
nova_cellmap.configure(made)
migration.db_sync()
engine = sa.create_engine(f'sqlite:///{FOLDER}/cell1')
nova_cell.create(engine)
nova_cell.fill(engine, 3)

who = dict(user_id='alice', project_id='demo', roles=['member'], is_admin=False)
theirs = nova_context.RequestContext(**who)
"""
_USE = """
cell = objects.CellMapping(
    theirs, name='cell1', transport_url='none:///', database_connection=str(engine.url)
)
cell.create()
uuid = '74f0b3a6-c576-4930-a749-35624f38b6bc'
mapping = objects.InstanceMapping(
    theirs, instance_uuid=uuid, project_id='demo', cell_uuid=cell.uuid
)
mapping.create()
assert objects.InstanceMapping.get_by_instance_uuid(theirs, uuid).cell_mapping.uuid == cell.uuid
with api.writer(theirs):
    api.instance_mapping_update(theirs, uuid, {'user_id': 'bob'})
    assert api.instance_mapping_get_by_instance_uuid(theirs, uuid)['user_id'] == 'bob'

with target.target_cell(theirs, cell) as cctxt:
    assert (cctxt.user_id, cctxt.project_id) == ('alice', 'demo')
    with cctxt.cell.reader() as connection:
        assert len(connection.execute(nova_cell.instances.select()).all()) == 3
results = scatter.scatter_gather_all_cells(theirs, lambda cctxt: cctxt.user_id)
assert results.answers == {cell.uuid: 'alice'}, results
assert len(listing.list_instances(theirs).instances) == 3

# Within Nova's own transaction, on the same context, the mapping is asked; and the other way.
nova_db.configure(nova.conf.CONF)
from nova.db.main import api as main
with main.context_manager.reader.using(theirs) as session:
    assert objects.InstanceMapping.get_by_instance_uuid(theirs, uuid).user_id == 'bob'
    with api.writer(theirs):
        api.instance_mapping_update(theirs, uuid, {'user_id': 'carol'})
    assert session.execute(sa.text('SELECT 1')).scalar_one() == 1
with api.writer(theirs):
    with main.context_manager.reader.using(theirs) as session:
        url = str(session.get_bind().url)
        assert 'novas-database' in url, url
        api.instance_mapping_update(theirs, uuid, {'user_id': 'dave'})
assert objects.InstanceMapping.get_by_instance_uuid(theirs, uuid).user_id == 'dave'

# Nothing of ours is left on it: Nova copies its contexts, and sends them.
assert not [name for name in vars(theirs) if 'cellmap' in name]
theirs.elevated().to_dict()
print('each found its own')
"""
_DICTS = """
ours = context.RequestContext(overwrite=False, **who)
again = nova_context.RequestContext.from_dict(ours.to_dict())
assert (again.user_id, again.project_id, again.roles) == ('alice', 'demo', ['member'])
assert again.is_admin is False
back = context.RequestContext.from_dict(theirs.to_dict())
assert (back.user_id, back.project_id, back.request_id) == ('alice', 'demo', theirs.request_id)
serializer = CellMapObjectSerializer()
came = serializer.deserialize_context(serializer.serialize_context(theirs))
assert (came.user_id, came.project_id, came.request_id) == ('alice', 'demo', theirs.request_id)
for made_by_nova in (nova_context.get_admin_context(), nova_context.get_context()):
    api.cell_mapping_get_all(made_by_nova)
    assert context.of(made_by_nova).is_admin == made_by_nova.is_admin
print('each found its own')
"""


class Contexts(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.named = f'FOLDER = {str(folder)!r}'

    def test_they_work_with_everything(self) -> None:
        apart.run(self, self.named, _PROGRAM, _USE)

    def test_they_and_ours_as_dicts(self) -> None:
        apart.run(self, self.named, _PROGRAM, _DICTS)
