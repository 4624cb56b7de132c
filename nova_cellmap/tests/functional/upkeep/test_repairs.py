# SPDX-License-Identifier: Apache-2.0
"""What an audit changes: what it is asked to, and nothing else."""

from nova_cellmap import nova_cell
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.upkeep import base as upkeep_base


@base.on_each_database
class Repaired(upkeep_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        other, nova = self.new_cell('cell2')
        [self.missing] = self.add(1)
        [self.wrong, self.unplaced, self.right, self.twice] = self.add(4)
        for uuid, cell_uuid, user_id in (
            (self.wrong, other.uuid, 'another'),
            (self.unplaced, None, 'user'),
            (self.right, self.cell.uuid, 'user'),
            # Only a person can tell which is the one.
            (self.twice, self.cell.uuid, 'another'),
        ):
            self.make_mapping(instance_uuid=uuid, cell_uuid=cell_uuid, user_id=user_id)
        nova_cell.add(nova, uuid=self.twice)
        self.gone = str(self.make_mapping(cell_uuid=self.cell.uuid).instance_uuid)

    def said(self) -> dict[str, tuple[str | None, ...]]:
        """The cell, the project and the user of each instance that has a mapping."""
        owners = self.owners()
        return {uuid: (cell_uuid, *owners[uuid]) for uuid, cell_uuid in self.mapped().items()}

    def changed(self, **options: bool) -> set[str]:
        """The instances whose mappings an audit changes; it tells of the same."""
        before = self.said()
        self.audit(**options)
        after = self.said()
        changed = {uuid for uuid in {*before, *after} if before.get(uuid) != after.get(uuid)}
        repaired = {problem.instance_uuid for problem in self.found if problem.repaired}
        self.assertEqual(repaired, changed)
        return changed

    def test_who_only_looks_changes_nothing(self) -> None:
        self.assertEqual(set(), self.changed())

    def test_a_repair_has_the_mapping_say_what_the_cells_say(self) -> None:
        repaired = {self.missing, self.wrong, self.unplaced}
        self.assertEqual(repaired, self.changed(repair=True))
        for uuid in repaired:
            found = InstanceMapping.get_by_instance_uuid(self.context, uuid)
            said = found.cell_uuid, found.project_id, found.user_id
            self.assertEqual((self.cell.uuid, 'project', 'user'), said)
        self.assertEqual(set(), self.changed(repair=True))

    def test_a_purge_removes_what_no_cell_has(self) -> None:
        self.assertEqual({self.gone}, self.changed(purge=True))
        self.assertNotIn(self.gone, self.mapped())

    def test_both(self) -> None:
        expected = {self.missing, self.wrong, self.unplaced, self.gone}
        self.assertEqual(expected, self.changed(repair=True, purge=True))
        self.assertEqual(set(), self.changed(repair=True, purge=True))
