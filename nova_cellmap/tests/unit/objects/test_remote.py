# SPDX-License-Identifier: Apache-2.0
"""What the remotable methods declare for those who call them over RPC."""

from collections.abc import Callable, Iterator
import inspect
from typing import Any

from nova_cellmap import context
from nova_cellmap import objects
from nova_cellmap.objects import base
from nova_cellmap.objects import remote
from nova_cellmap.tests import base as tests_base


def _methods() -> Iterator[tuple[str, type[base.CellMapObject], Callable[..., Any]]]:
    for name, (cls, *_) in sorted(base.registered().items()):
        for method_name, method in inspect.getmembers(cls, inspect.ismethod):
            if getattr(method, 'remotable', False):
                yield f'{name}.{method_name}', cls, method  # type: ignore[misc]


class TestDeclarations(tests_base.TestCase):
    def test_what_answers_a_list_is_paged_by_a_field_of_its_members(self) -> None:
        paged = []
        for name, cls, method in _methods():
            parameters = inspect.signature(method).parameters
            marker = remote.marker_of(method)
            self.assertEqual('marker' in parameters, marker is not None, name)
            self.assertEqual('limit' in parameters, marker is not None, name)
            if issubclass(cls, base.CellMapObjectList) and name.split('.')[-1].startswith('get_'):
                answers_list = 'count' not in name
                self.assertEqual(answers_list, marker is not None, name)
            if marker is not None:
                member = base.registered()[cls.fields['objects'].objname][0]  # type: ignore[attr-defined]
                self.assertIn(marker, member.fields, name)
                paged.append(name)
        self.assertIn('nova_cellmap.CellMappingList.get_all', paged)
        self.assertIn('nova_cellmap.InstanceMappingList.get_by_instance_uuids', paged)

    def test_what_takes_any_number_of_things_is_chunked_by_them(self) -> None:
        chunked = []
        for name, _, method in _methods():
            parameters = inspect.signature(method).parameters.values()
            several = [each.name for each in parameters if 'Iterable' in str(each.annotation)]
            chunks = remote.chunks_of(method)
            self.assertEqual(several, [] if chunks is None else [chunks.by], name)
            if chunks is not None:
                chunked.append(name.split('.')[-1])
        self.assertEqual(
            [
                'create_bulk',
                'destroy_bulk',
                'get_by_instance_uuids',
                'get_count_by_uuids_and_user',
            ],
            chunked,
        )


class TestMerging(tests_base.TestCase):
    def test_lists_are_joined_in_the_order_of_creation(self) -> None:
        asked = context.get_admin_context()

        def listed(*ids: int) -> objects.InstanceMappingList:
            members = [objects.InstanceMapping.from_values(asked, {'id': each}) for each in ids]
            return objects.InstanceMappingList(asked, objects=members)

        whole = remote.joined([listed(3, 5), listed(), listed(1, 4)])
        self.assertIsInstance(whole, objects.InstanceMappingList)
        self.assertEqual([1, 3, 4, 5], [mapping.id for mapping in whole])
        self.assertIs(asked, whole.obj_context)
        self.assertNotIn('objects', whole.obj_what_changed())

    def test_results_of_bulk_writes_are_added_up(self) -> None:
        first: Any = {'created': 1, 'existing': 2, 'conflicts': {'a': 'x'}}
        second: Any = {'created': 10, 'existing': 20, 'conflicts': {'b': None}}
        total = {'created': 11, 'existing': 22, 'conflicts': {'a': 'x', 'b': None}}
        self.assertEqual(total, remote.added_up([first, second]))
        parts: Any = [{**first, 'ids': {'c': 7}}, {**second, 'ids': {'d': 8}}]
        with_ids = remote.added_up(parts)
        self.assertEqual({**total, 'ids': {'c': 7, 'd': 8}}, with_ids)
