# SPDX-License-Identifier: Apache-2.0
"""What clients may see of cells, and what they may do with them."""

from typing import Any

from nova_cellmap import context
from nova_cellmap import exception
from nova_cellmap import objects
from nova_cellmap.conductor import cells
from nova_cellmap.conf import conductor as options
from nova_cellmap.tests import base

_UUID = '7d1e8c9a-0f3b-4c5d-8e6f-1a2b3c4d5e6f'


def _cell(**values: Any) -> objects.CellMapping:
    cell = objects.CellMapping(
        context.get_admin_context(),
        **{
            'uuid': _UUID,
            'name': 'east',
            'transport_url': 'rabbit://u:sekret@mq/',
            'database_connection': 'mysql+pymysql://u:sekret@db/x',
            **values,
        },
    )
    cell.obj_reset_changes()
    return cell


def _mapping(cell: objects.CellMapping | None) -> objects.InstanceMapping:
    return objects.InstanceMapping(
        context.get_admin_context(), instance_uuid=_UUID, project_id='p', cell_mapping=cell
    )


class Methods(base.TestCase):
    def refusal(self, policy: cells.Policy, cls: Any, method: str) -> str:
        return str(self.assertRaises(exception.RemoteCallRefused, policy.check, cls, method))

    def test_cells_are_changed_where_the_option_says_so(self) -> None:
        for method in ('create', 'save', 'destroy'):
            cells.Policy(options.FULL, writable=True).check(objects.CellMapping, method)
            told = self.refusal(
                cells.Policy(options.FULL, writable=False), objects.CellMapping, method
            )
            self.assertIn(f'CellMapping.{method}', told)
            self.assertIn('[conductor] cells_writable', told)

    def test_cells_are_read_unless_none_may_be(self) -> None:
        for visible in (options.FULL, options.WITHOUT_URLS):
            policy = cells.Policy(visible, writable=False)
            policy.check(objects.CellMapping, 'get_by_uuid')
            policy.check(objects.CellMappingList, 'get_all')
        policy = cells.Policy(options.NONE, writable=False)
        self.assertIn(
            '[conductor] cells', self.refusal(policy, objects.CellMapping, 'get_by_uuid')
        )
        self.refusal(policy, objects.CellMappingList, 'get_all')

    def test_mappings_of_instances_are_for_all(self) -> None:
        policy = cells.Policy(options.NONE, writable=False)
        for method in ('create', 'save', 'destroy', 'get_by_instance_uuid'):
            policy.check(objects.InstanceMapping, method)
        policy.check(objects.InstanceMappingList, 'create_bulk')


class Answers(base.TestCase):
    def answers(self) -> list[tuple[Any, objects.CellMapping]]:
        """Everything that a cell can be in, with that cell."""
        found: list[tuple[Any, objects.CellMapping]] = []
        asked = context.get_admin_context()
        for wrap in (
            lambda cell: cell,
            lambda cell: objects.CellMappingList(asked, objects=[cell]),
            _mapping,
            lambda cell: objects.InstanceMappingList(asked, objects=[_mapping(cell)]),
        ):
            cell = _cell()
            found.append((wrap(cell), cell))
        return found

    def test_with_everything(self) -> None:
        for answer, cell in self.answers():
            cells.Policy(options.FULL, writable=False).hide(answer)
            self.assertIn('sekret', cell.database_connection)

    def test_without_urls(self) -> None:
        for answer, cell in self.answers():
            cells.Policy(options.WITHOUT_URLS, writable=False).hide(answer)
            self.assertNotIn('transport_url', cell)
            self.assertNotIn('database_connection', cell)
            self.assertEqual('east', cell.name)

    def test_with_nothing_but_its_uuid(self) -> None:
        for answer, cell in self.answers():
            cells.Policy(options.NONE, writable=False).hide(answer)
            self.assertEqual(['uuid'], [name for name in cell.fields if name in cell])

    def test_other_answers_stay_as_they_are(self) -> None:
        policy = cells.Policy(options.NONE, writable=False)
        answer: Any
        for answer in (None, 5, {'created': 1}, [], _mapping(None)):
            policy.hide(answer)
        policy.hide(objects.InstanceMappingList(context.get_admin_context(), objects=[]))
