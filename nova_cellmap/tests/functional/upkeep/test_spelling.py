# SPDX-License-Identifier: Apache-2.0
"""Uuids that a cell spells otherwise than Nova does, and rows that are no instances."""

from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis import strategies as st

from nova_cellmap import exception
from nova_cellmap import nova_cell
from nova_cellmap.cells import listing
from nova_cellmap.cells import lookup
from nova_cellmap.cells import rows
from nova_cellmap.cells import target
from nova_cellmap.db.schemas import own
from nova_cellmap.objects import CellMappingList
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.upkeep import audit
from nova_cellmap.upkeep import mapping
from nova_cellmap.upkeep import registration
from nova_cellmap.upkeep.case import Kind
from nova_cellmap.upkeep.case import Problem

_mappings = own.instance_mapping

# What fits into Nova's column of 36 characters.
_SPELLINGS: dict[str, Callable[[str], str]] = {
    'upper case': str.upper,
    'no hyphens': lambda uuid: uuid.replace('-', ''),
    'both': lambda uuid: uuid.replace('-', '').upper(),
    'braces': lambda uuid: '{' + uuid.replace('-', '') + '}',
    'mixed case': lambda uuid: uuid[:20] + uuid[20:].upper(),
    'blanks': lambda uuid: f' {uuid.replace("-", "")} ',
    'as it should be': str,
}


def _with_letters() -> str:
    """A uuid that has upper case."""
    return next(
        uuid for uuid in iter(base.new_uuid, None) if any(digit.isalpha() for digit in uuid[24:])
    )


class _Case(cells_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(target.forget_all)
        self.cell2, self.nova2 = self.new_cell('cell2')

    def audit(self, **options: Any) -> list[Problem]:
        run = audit.Audit(self.context, CellMappingList.get_all(self.context), **options)
        problems = list(run.problems())
        self.assertEqual({}, run.errors)
        left = sum(report.left for report in run.reports.values())
        self.assertEqual(sum(not problem.repaired for problem in problems), left)
        return problems

    def kinds(self, **options: Any) -> dict[str, str]:
        problems = self.audit(**options)
        kinds = {problem.instance_uuid: problem.kind.value for problem in problems}
        self.assertEqual(len(problems), len(kinds), str(problems))
        return kinds

    def add_spelled(self, count: int = 3) -> dict[str, str]:
        """Instances in every spelling; how each is spelled, by what it is."""
        spelled = {}
        for spell in _SPELLINGS.values():
            for _ in range(count):
                uuid = _with_letters()
                spelled[uuid] = nova_cell.add(self.nova, uuid=spell(uuid))
        return spelled


@base.on_each_database
class Spellings(_Case):
    def test_each_is_mapped_in_the_one_form_and_found_again(self) -> None:
        uuids = self.add_spelled()
        run = mapping.map_instances(self.context, self.cell, batch_size=4)
        self.assertEqual((len(uuids), 0), (run.created, run.conflicts))
        self.assertEqual(dict.fromkeys(uuids, self.cell.uuid), self.mapped())
        self.assertEqual(len(uuids), mapping.map_instances(self.context, self.cell).existing)
        for uuid, spelled in uuids.items():
            found = InstanceMapping.get_by_instance_uuid(self.context, spelled)
            instance = lookup.find_instance(self.context, found).instance
            assert instance
            self.assertEqual(uuid, instance.uuid)

    def test_a_mapping_of_them_is_true(self) -> None:
        self.add_spelled()
        mapping.map_instances(self.context, self.cell)
        for batch_size in (1, 4, 1000):
            self.assertEqual({}, self.kinds(batch_size=batch_size))
        self.assertEqual({}, self.kinds(purge=True, repair=True))

    def test_what_is_wrong_with_one_is_told_once(self) -> None:
        uuids = self.add_spelled()
        for batch_size in (1, 3, 1000):
            self.assertEqual(dict.fromkeys(uuids, 'missing'), self.kinds(batch_size=batch_size))
        self.audit(repair=True)
        self.execute(_mappings.update().values(project_id='theirs'))
        for batch_size in (1, 3, 1000):
            self.assertEqual(
                dict.fromkeys(uuids, 'wrong_owner'), self.kinds(batch_size=batch_size)
            )
        self.execute(_mappings.update().values(cell_uuid=self.cell2.uuid, project_id='project'))
        self.assertEqual(dict.fromkeys(uuids, 'wrong_cell'), self.kinds(batch_size=5))
        self.audit(repair=True, batch_size=5)
        self.assertEqual({}, self.kinds())

    def test_a_mapping_that_is_spelled_otherwise_is_told_of_and_the_cell_is_read(self) -> None:
        uuid = _with_letters()
        nova_cell.add(self.nova, uuid=uuid)
        mapping.map_instances(self.context, self.cell)
        self.execute(_mappings.update().values(instance_uuid=uuid.upper()))
        expected = {uuid: 'missing', uuid.upper(): 'orphaned'}
        self.assertEqual(expected, self.kinds())
        self.assertEqual(expected, self.kinds(repair=True, purge=True))
        self.assertEqual({}, self.kinds())
        self.assertEqual({uuid: self.cell.uuid}, self.mapped())

    def test_only_what_no_cell_has_is_orphaned(self) -> None:
        self.add_spelled()
        mapping.map_instances(self.context, self.cell)
        gone = self.make_mapping(cell_uuid=self.cell.uuid).instance_uuid
        self.assertEqual({gone: 'orphaned'}, self.kinds(batch_size=2))
        self.assertEqual({gone: 'orphaned'}, self.kinds(only=self.cell, purge=True))
        self.assertNotIn(gone, self.mapped())
        # In the other cell, in a spelling that nobody would think of.
        moved = self.make_mapping(cell_uuid=self.cell.uuid).instance_uuid
        nova_cell.add(self.nova2, uuid=_SPELLINGS['mixed case'](moved.replace('-', '')))
        self.assertEqual({moved: 'wrong_cell'}, self.kinds(purge=True))

    def test_one_instance_in_two_cells_is_a_duplicate_in_any_spelling(self) -> None:
        uuid = _with_letters()
        nova_cell.add(self.nova, uuid=uuid.upper())
        nova_cell.add(self.nova2, uuid=uuid.replace('-', ''))
        self.assertEqual({uuid: 'duplicate'}, self.kinds())

    def test_they_are_listed_in_one_form_whole_and_in_pages(self) -> None:
        uuids = self.add_spelled(2)
        nova_cell.fill(self.nova2, 5, deleted=0, soft_deleted=0)
        uuids |= {uuid: uuid for uuid in cells_base.instances_in(self.nova2)}
        for key in ('uuid', 'created_at', 'display_name'):
            whole = listing.list_instances(self.context, sort_key=key).instances
            self.assertEqual(uuids.keys(), {each.uuid for each in whole})
            self.assertTrue(all(each.values['uuid'] == each.uuid for each in whole))
            paged: list[listing.Listed] = []
            while page := listing.list_instances(
                self.context, sort_key=key, limit=3, marker=paged[-1] if paged else None
            ).instances:
                paged += page
            self.assertEqual([each.uuid for each in whole], [each.uuid for each in paged])
        for marker in (whole[2].uuid, whole[2].uuid.upper(), whole[2].spelled):
            rest = listing.list_instances(self.context, sort_key=key, marker=marker).instances
            self.assertEqual([each.uuid for each in whole[3:]], [each.uuid for each in rest])

    def test_of_two_rows_of_one_instance_nobody_knows_which_it_is(self) -> None:
        uuid = _with_letters()
        nova_cell.add(self.nova, uuid=uuid, project_id='ours')
        nova_cell.add(self.nova, uuid=uuid.replace('-', ''), project_id='theirs')
        mapping.map_instances(self.context, self.cell)
        self.assertEqual({Kind.INVALID_ROW}, {problem.kind for problem in self.audit()})
        self.assertEqual({Kind.INVALID_ROW}, {problem.kind for problem in self.audit(purge=True)})
        self.assertEqual({uuid}, self.mapped().keys())

    def test_a_live_instance_keeps_its_cell(self) -> None:
        nova_cell.add(self.nova, uuid=base.new_uuid().upper())
        self.assertRaises(
            exception.CellHasInstances,
            registration.delete_cell,
            self.context,
            self.cell,
            force=True,
        )

    @hypothesis.settings(max_examples=8)
    @hypothesis.given(
        st.lists(
            st.tuples(
                st.sampled_from((*_SPELLINGS, 'nonsense')),
                st.sampled_from((*_SPELLINGS, None)),
                st.sampled_from((None, 0, 1, 2)),
            ),
            max_size=12,
        ),
        st.integers(1, 4),
    )
    def test_repair_and_purge_come_to_an_end(self, instances: list[Any], size: int) -> None:
        for nova in (self.nova, self.nova2):
            cells_base.empty(nova)
        self.execute(_mappings.delete())
        left: dict[str, str] = {}
        for here, there, mapped in instances:
            uuid = _with_letters()
            if here == 'nonsense':
                left[nova_cell.add(self.nova, uuid=f'x{uuid[1:]}')] = 'invalid_row'
            else:
                nova_cell.add(self.nova, uuid=_SPELLINGS[here](uuid))
            if there is not None:
                nova_cell.add(self.nova2, uuid=_SPELLINGS[there](uuid))
            if there is not None and here != 'nonsense':
                left[uuid] = 'duplicate'
            if mapped is not None:
                cell = (None, self.cell.uuid, self.cell2.uuid)[mapped]
                self.make_mapping(instance_uuid=uuid, cell_uuid=cell)
        found = self.kinds_of_all(batch_size=size)
        self.assertEqual(found, self.kinds_of_all())
        self.audit(repair=True, purge=True, batch_size=size)
        self.assertEqual(left, self.kinds(batch_size=size))

    def kinds_of_all(self, **options: Any) -> list[tuple[str, str]]:
        problems = self.audit(**options)
        return sorted((problem.instance_uuid, problem.kind.value) for problem in problems)


@base.on_each_database
class Markers(_Case):
    """Rows of Nova's own that are no instances."""

    def setUp(self) -> None:
        super().setUp()
        for nova in (self.nova, self.nova2):
            nova_cell.add(nova, uuid=rows.NO_UUID, project_id=rows.NO_UUID, deleted=1)
            nova_cell.add(nova, project_id='INSTANCE_MIGRATION_MARKER', user_id='x')
            nova_cell.add(nova, project_id=rows.NO_UUID)
        nova_cell.add(self.nova2, uuid='0' * 32, project_id='p')
        self.one, self.two = nova_cell.add(self.nova), nova_cell.add(self.nova2)

    def test_they_are_not_mapped(self) -> None:
        for cell in (self.cell, self.cell2):
            run = mapping.map_instances(self.context, cell)
            self.assertEqual((1, 0, True), (run.created, run.conflicts, run.done))
        self.assertEqual({self.one: self.cell.uuid, self.two: self.cell2.uuid}, self.mapped())

    def test_they_are_no_problem(self) -> None:
        self.assertEqual({self.one: 'missing', self.two: 'missing'}, self.kinds(repair=True))
        self.assertEqual({}, self.kinds(batch_size=1))

    def test_a_mapping_of_one_is_orphaned(self) -> None:
        self.audit(repair=True)
        self.make_mapping(instance_uuid=rows.NO_UUID, cell_uuid=self.cell.uuid)
        self.assertEqual({rows.NO_UUID: 'orphaned'}, self.kinds(purge=True))
        self.assertEqual({}, self.kinds())

    def test_they_are_not_listed(self) -> None:
        found = listing.list_instances(self.context, deleted=True)
        self.assertEqual({self.one, self.two}, {each.uuid for each in found.instances})
        self.assertEqual(({}, {}), (found.failures, found.invalid))
