# SPDX-License-Identifier: Apache-2.0
"""How lists of mappings travel."""

import datetime
import json
from typing import Any

import hypothesis
from hypothesis import strategies as st

from nova_cellmap import objects
from nova_cellmap.objects import base
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests import samples

_TIMES = st.none() | st.datetimes(
    min_value=datetime.datetime(1970, 1, 2), timezones=st.just(datetime.UTC)
)
_CELLS = st.builds(
    lambda uuid, name: unchanged(
        objects.CellMapping(
            id=1,
            uuid=uuid,
            name=name,
            transport_url='rabbit://u:hush@mq/',
            database_connection='mysql://u:hush@db/x',
            disabled=False,
            created_at=None,
            updated_at=None,
        )
    ),
    st.uuids().map(str),
    st.none() | st.text('abc'),
)


def unchanged(obj: Any) -> Any:
    obj.obj_reset_changes()
    return obj


@st.composite
def mappings(draw: Any) -> objects.InstanceMapping:
    """Any mapping: loaded whole, or with fields unset or changed."""
    values = {
        'id': draw(st.integers(1, 2**60)),
        'instance_uuid': str(draw(st.uuids())),
        'project_id': draw(st.text('pq', min_size=1)),
        'user_id': draw(st.text('uv', min_size=1)),
        'queued_for_delete': draw(st.booleans()),
        'created_at': draw(_TIMES),
        'updated_at': draw(_TIMES),
        'cell_mapping': draw(st.none() | _CELLS),
    }
    for name in draw(st.sets(st.sampled_from(sorted(values)), max_size=2)):
        if draw(st.booleans()):
            del values[name]
    mapping: objects.InstanceMapping = unchanged(objects.InstanceMapping(**values))
    if draw(st.integers(0, 9)) == 0:
        mapping.project_id = 'changed'
    return mapping


class Wire(tests_base.TestCase):
    @hypothesis.settings(deadline=None)
    @hypothesis.given(st.lists(mappings(), max_size=5), st.booleans())
    def test_a_list_arrives_as_it_left(self, members: Any, whole_seconds: bool) -> None:
        if whole_seconds:
            for member in members:
                for name in ('created_at', 'updated_at'):
                    if name in member and getattr(member, name):
                        setattr(member, name, getattr(member, name).replace(microsecond=0))
                        member.obj_reset_changes([name])
        sent = unchanged(objects.InstanceMappingList(objects=members))
        wire = json.loads(json.dumps(sent.obj_to_primitive(), default=sorted))
        arrived = base.CellMapObjectSerializer().deserialize_entity(None, wire)
        self.assertIsInstance(arrived, objects.InstanceMappingList)
        self.assertEqual(self.shown(sent), self.shown(arrived))

    def shown(self, mappings: Any) -> list[dict[str, Any]]:
        """What the members are, as the library itself says it."""
        return [
            {
                key: sorted(value) if key.endswith('changes') else value
                for key, value in member.obj_to_primitive().items()
            }
            for member in mappings
        ]

    def test_every_field_travels_in_rows(self) -> None:
        sent = unchanged(
            objects.InstanceMappingList(
                objects=[samples.whole_mapping(number=number) for number in range(4)]
            )
        )
        wire = json.loads(json.dumps(sent.obj_to_primitive()))
        self.assertIn('rows', wire['nova_cellmap_object.data'])
        arrived = base.CellMapObjectSerializer().deserialize_entity(None, wire)
        self.assertEqual(self.shown(sent), self.shown(arrived))
        for one, other in zip(sent, arrived, strict=True):
            for name in objects.InstanceMapping.fields:
                self.assertEqual(getattr(one, name), getattr(other, name), name)

    def test_each_cell_travels_once(self) -> None:
        wire = json.dumps(self.many(1000).obj_to_primitive())
        self.assertEqual(2 * 3, wire.count('hush'))

    def test_the_mappings_of_a_cell_share_it_when_they_arrive(self) -> None:
        arrived = objects.InstanceMappingList.obj_from_primitive(
            self.many(9).obj_to_primitive(), None
        )
        self.assertEqual(3, len({id(mapping.cell_mapping) for mapping in arrived}))

    def test_older_readers_get_the_shape_they_know(self) -> None:
        primitive = self.many(3).obj_to_primitive('1.4')
        members = primitive['nova_cellmap_object.data']['objects']
        self.assertEqual(
            ['1.4'] * 3, [member['nova_cellmap_object.version'] for member in members]
        )

    def test_a_reader_that_knows_no_newer_cell_gets_it_object_by_object(self) -> None:
        manifest = {
            'nova_cellmap.InstanceMapping': objects.InstanceMapping.VERSION,
            'nova_cellmap.CellMapping': '1.1',
        }
        primitive = self.many(1).obj_to_primitive(objects.InstanceMappingList.VERSION, manifest)
        [member] = primitive['nova_cellmap_object.data']['objects']
        cell = member['nova_cellmap_object.data']['cell_mapping']
        self.assertEqual('1.1', cell['nova_cellmap_object.version'])

    def many(self, count: int) -> objects.InstanceMappingList:
        cells = [
            unchanged(
                objects.CellMapping(
                    id=number,
                    uuid=f'00000000-0000-4000-8000-00000000000{number}',
                    name=f'cell{number}',
                    transport_url='rabbit://u:hush@mq/',
                    database_connection='mysql://u:hush@db/x',
                    disabled=False,
                    created_at=None,
                    updated_at=None,
                )
            )
            for number in range(3)
        ]
        members = [
            samples.whole_mapping(number=number, cell_mapping=cells[number % 3])
            for number in range(count)
        ]
        made: objects.InstanceMappingList = unchanged(objects.InstanceMappingList(objects=members))
        return made
