# SPDX-License-Identifier: Apache-2.0
"""What several do to one mapping or cell at the same time: the races that Nova had."""

from collections.abc import Callable
from concurrent import futures
import threading
from typing import Any

from nova_cellmap import exception
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.tests.functional import base

# How often each race is run: neither side is always first.
_ROUNDS = 6


class _Case(base.TestCase):
    def at_once(self, *calls: Callable[[], Any]) -> list[Any]:
        """Run calls at the same time; what each answered, or the package's error it raised."""
        start = threading.Barrier(len(calls))

        def run(call: Callable[[], Any]) -> Any:
            start.wait(30)
            try:
                return call()
            except exception.CellMapError as error:
                return error

        with futures.ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(run, calls))

    def load(self, mapping: InstanceMapping) -> InstanceMapping:
        """The mapping as it is, as a service of its own would have it."""
        return InstanceMapping.get_by_instance_uuid(self.context, mapping.instance_uuid)

    def save(self, mapping: InstanceMapping, **values: Any) -> Callable[[], InstanceMapping]:
        """What a service does that has loaded the mapping and changes it."""
        loaded = self.load(mapping)

        def call() -> InstanceMapping:
            for name, value in values.items():
                setattr(loaded, name, value)
            loaded.save()
            return loaded

        return call


@base.straight_and_through_the_conductor
class Races(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.cells = [self.make_cell(name=f'cell{number}') for number in (1, 2)]

    def test_two_schedulers_map_one_instance_to_two_cells(self) -> None:
        """Exactly one wins, and the other is told which cell won."""
        for _ in range(_ROUNDS):
            mapping = self.make_mapping()
            outcomes = self.at_once(
                *(self.save(mapping, cell_mapping=cell) for cell in self.cells)
            )
            [winner] = [each for each in outcomes if isinstance(each, InstanceMapping)]
            [loser] = [each for each in outcomes if each is not winner]
            self.assertIsInstance(loser, exception.InstanceMappingConflict)
            self.assertEqual(winner.cell_uuid, loser.cell_uuid)
            self.assertEqual(winner.cell_uuid, self.load(mapping).cell_uuid)

    def test_two_create_the_mapping_of_one_instance(self) -> None:
        for _ in range(_ROUNDS):
            uuid = base.new_uuid()
            new = [
                self.new_mapping(instance_uuid=uuid, cell_uuid=cell.uuid) for cell in self.cells
            ]
            outcomes = self.at_once(*(mapping.create for mapping in new))
            [loser] = [each for each in outcomes if each is not None]
            self.assertIsInstance(loser, exception.InstanceMappingExists)
            winner = new[outcomes.index(None)]
            self.assertEqual(winner.cell_uuid, self.load(winner).cell_uuid)

    def test_queued_for_delete_while_it_is_scheduled(self) -> None:
        """Who deletes and who schedules change different things, and both last."""
        for _ in range(_ROUNDS):
            mapping = self.make_mapping()
            outcomes = self.at_once(
                self.save(mapping, cell_mapping=self.cells[0]),
                self.save(mapping, queued_for_delete=True),
            )
            self.assertEqual([InstanceMapping] * 2, [type(each) for each in outcomes])
            found = self.load(mapping)
            self.assertEqual(
                (self.cells[0].uuid, True), (found.cell_uuid, found.queued_for_delete)
            )

    def test_removed_while_it_is_scheduled(self) -> None:
        """The scheduler is told, by an error that it can catch."""
        for _ in range(_ROUNDS):
            mapping = self.make_mapping()
            removed, saved = self.at_once(
                self.load(mapping).destroy, self.save(mapping, cell_mapping=self.cells[0])
            )
            self.assertIsNone(removed)
            if not isinstance(saved, InstanceMapping):
                self.assertIsInstance(saved, exception.InstanceMappingNotFound)
            self.assertRaises(exception.InstanceMappingNotFound, self.load, mapping)

    def test_removed_by_two(self) -> None:
        for _ in range(_ROUNDS):
            mapping = self.make_mapping()
            outcomes = self.at_once(self.load(mapping).destroy, self.load(mapping).destroy)
            [loser] = [each for each in outcomes if each is not None]
            self.assertIsInstance(loser, exception.InstanceMappingNotFound)

    def test_unmapped_while_it_is_moved(self) -> None:
        first, second = self.cells
        for _ in range(_ROUNDS):
            mapping = self.make_mapping(cell_uuid=first.uuid)
            outcomes = self.at_once(
                self.save(mapping, cell_mapping=None), self.save(mapping, cell_mapping=second)
            )
            [winner] = [each for each in outcomes if isinstance(each, InstanceMapping)]
            [loser] = [each for each in outcomes if each is not winner]
            self.assertIsInstance(loser, exception.InstanceMappingConflict)
            self.assertEqual(winner.cell_uuid, loser.cell_uuid)
            self.assertEqual(winner.cell_uuid, self.load(mapping).cell_uuid)

    def test_a_cell_is_removed_while_a_mapping_to_it_is_created(self) -> None:
        """Either the cell has a mapping and stays, or it is gone and has none."""
        for number in range(_ROUNDS):
            cell = self.make_cell(name=f'short-lived {number}')
            mapping = self.new_mapping(cell_uuid=cell.uuid)
            removed, created = self.at_once(cell.destroy, mapping.create)
            if created is None:
                self.assertIsInstance(removed, exception.CellMappingInUse)
                self.assertEqual(cell.uuid, self.load(mapping).cell_mapping.uuid)
                CellMapping.get_by_uuid(self.context, cell.uuid)
            else:
                self.assertIsNone(removed)
                self.assertIsInstance(created, exception.CellMappingNotFound)
                self.assertRaises(exception.InstanceMappingNotFound, self.load, mapping)

    def test_a_cell_is_removed_while_an_instance_moves_there(self) -> None:
        for number in range(_ROUNDS):
            cell = self.make_cell(name=f'short-lived {number}')
            mapping = self.make_mapping(cell_uuid=self.cells[0].uuid)
            removed, moved = self.at_once(cell.destroy, self.save(mapping, cell_mapping=cell))
            if isinstance(moved, InstanceMapping):
                self.assertIsInstance(removed, exception.CellMappingInUse)
                self.assertEqual(cell.uuid, self.load(mapping).cell_uuid)
            else:
                self.assertIsNone(removed)
                self.assertIsInstance(moved, exception.CellMappingNotFound)
                self.assertEqual(self.cells[0].uuid, self.load(mapping).cell_uuid)

    def test_two_take_one_name_for_a_cell(self) -> None:
        for number in range(_ROUNDS):
            new = [
                CellMapping(
                    self.context,
                    uuid=base.new_uuid(),
                    name=f'wanted {number}',
                    transport_url='none:///',
                    database_connection='none:///',
                )
                for _ in range(2)
            ]
            outcomes = self.at_once(*(cell.create for cell in new))
            [loser] = [each for each in outcomes if each is not None]
            self.assertIsInstance(loser, exception.CellMappingExists)
