# SPDX-License-Identifier: Apache-2.0
"""What all objects share."""

import datetime

from nova_cellmap import context
from nova_cellmap import exception
from nova_cellmap import objects
from nova_cellmap.objects import base as objects_base
from nova_cellmap.tests import base


class Registry(base.TestCase):
    def test_the_names_say_whose_the_classes_are(self) -> None:
        self.assertEqual(
            {
                'nova_cellmap.CellMapping': objects.CellMapping,
                'nova_cellmap.CellMappingList': objects.CellMappingList,
                'nova_cellmap.InstanceMapping': objects.InstanceMapping,
                'nova_cellmap.InstanceMappingList': objects.InstanceMappingList,
            },
            {name: classes[0] for name, classes in objects_base.registered().items()},
        )


class Objects(base.TestCase):
    def test_what_is_not_set_cannot_be_read(self) -> None:
        mapping = objects.InstanceMapping(context.get_admin_context())
        error = self.assertRaises(exception.ObjectActionError, getattr, mapping, 'user_id')
        self.assertIn('user_id', str(error))

    def test_a_time_of_a_row_is_one_of_utc(self) -> None:
        noon = datetime.datetime(2026, 1, 1, 12, 0, 5)
        self.assertEqual(noon.replace(tzinfo=datetime.UTC), objects_base.as_utc(noon))
        self.assertIsNone(objects_base.as_utc(None))


class Serializer(base.TestCase):
    def test_a_request_travels_without_its_transaction(self) -> None:
        serializer = objects_base.CellMapObjectSerializer()
        asked = context.RequestContext(
            request_id='req-1', user_id='u', project_id='p', overwrite=False
        )
        sent = serializer.serialize_context(asked)
        self.assertEqual('req-1', sent['request_id'])
        arrived = serializer.deserialize_context(sent)
        self.assertEqual(('u', 'p'), (arrived.user_id, arrived.project_id))
