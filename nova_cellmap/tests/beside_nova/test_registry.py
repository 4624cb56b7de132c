# SPDX-License-Identifier: Apache-2.0
"""Nova's objects and ours in one process, whichever was imported first."""

from nova_cellmap.tests import base
from nova_cellmap.tests.beside_nova import apart

_OURS = 'from nova_cellmap import objects as ours'
_NOVAS = """
from nova import objects as novas_package
novas_package.register_all()
from nova.objects import base as novas_base
from nova.objects import cell_mapping, instance_mapping
"""
_CHECK = """
UUID = '74f0b3a6-c576-4930-a749-35624f38b6bc'

from oslo_versionedobjects import base as library
from nova_cellmap.objects import base as our_base

registry = library.VersionedObjectRegistry.obj_classes()


def there_and_back(serializer, mapping):
    import json
    wire = json.loads(json.dumps(serializer.serialize_entity(None, {'mapping': [mapping]})))
    [back] = serializer.deserialize_entity(None, wire)['mapping']
    assert type(back) is type(mapping), (type(back), type(mapping))
    assert back.instance_uuid == UUID
    assert back.cell_mapping.uuid == UUID
    assert type(back.cell_mapping) is type(mapping.cell_mapping)
    return wire['mapping'][0]


class OurSerializer(library.VersionedObjectSerializer):
    OBJ_BASE_CLASS = our_base.CellMapObject


values = dict(uuid=UUID, name='x', transport_url='none:///', database_connection='none:///')
ours_wire = there_and_back(
    OurSerializer(),
    ours.InstanceMapping(
        instance_uuid=UUID, project_id='p', cell_mapping=ours.CellMapping(**values)
    ),
)
novas_wire = there_and_back(
    novas_base.NovaObjectSerializer(),
    instance_mapping.InstanceMapping(
        instance_uuid=UUID, project_id='p', cell_mapping=cell_mapping.CellMapping(**values)
    ),
)

# Each side takes the other's for plain data.
assert OurSerializer().deserialize_entity(None, dict(novas_wire)) == novas_wire
assert novas_base.NovaObjectSerializer().deserialize_entity(None, dict(ours_wire)) == ours_wire

# And each side finds its own classes by name.
for name in ('InstanceMapping', 'InstanceMappingList', 'CellMapping', 'CellMappingList'):
    assert registry[name][0].__module__.startswith('nova.objects.'), registry[name]
    [ours_alone] = registry['nova_cellmap.' + name]
    assert ours_alone is getattr(ours, name)
    assert getattr(novas_package, name).__module__.startswith('nova.objects.')
print('each found its own')
"""


class Registry(base.TestCase):
    def test_ours_first(self) -> None:
        apart.run(self, _OURS, _NOVAS, _CHECK)

    def test_novas_first(self) -> None:
        apart.run(self, _NOVAS, _OURS, _CHECK)

    def test_sqlalchemy_is_not_patched_for_nova(self) -> None:
        apart.run(
            self,
            """
            import sqlalchemy
            before = [cls.__bases__ for cls in vars(sqlalchemy.schema).values()
                      if isinstance(cls, type)]
            from nova_cellmap.db import migration
            migration.latest_version()
            after = [cls.__bases__ for cls in vars(sqlalchemy.schema).values()
                     if isinstance(cls, type)]
            assert before == after
            from nova.db.api import models
            print('each found its own')
            """,
        )
