# SPDX-License-Identifier: Apache-2.0
"""Making changes of mappings that are still as they were seen."""

from typing import Any
from unittest import mock

from nova_cellmap import exception
from nova_cellmap.db import api as db_api
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.upkeep import changing_base
from nova_cellmap.tests.functional.upkeep.changing_base import make_change
from nova_cellmap.upkeep import changing
from nova_cellmap.upkeep.change import Change
from nova_cellmap.upkeep.change_files import Fate
from nova_cellmap.upkeep.changing import Changer


@base.on_both_schemas
class Make(changing_base.TestCase):
    def make(self, *changes: Change) -> dict[str, str]:
        """Make changes: why those that were not made were not, as the journal says too."""
        not_made = Changer(self.context, self.journal).make(changes)
        told = {
            entry.change.instance_uuid: entry.why_not
            for entry in self.entries()
            if entry.fate is Fate.NOT_MADE
        }
        self.assertEqual(told, not_made)
        return dict(not_made)

    def test_all_ways(self) -> None:
        moved, removed, created = self.map(), self.map(user_id=None), base.new_uuid()
        stays = self.map()
        there = self.values(cell_uuid=self.other.uuid, queued_for_delete=True)
        changes = (
            make_change(moved, self.values(), there),
            make_change(removed, self.values(user_id=None), None),
            make_change(created, None, self.values(cell_uuid=None, user_id=None)),
        )
        self.assertEqual({}, self.make(*changes))
        self.assertEqual(
            {
                moved: there,
                created: self.values(cell_uuid=None, user_id=None),
                stays: self.values(),
            },
            self.now(),
        )
        self.assertEqual(
            sorted((each.line, Fate.MADE) for each in changes),
            sorted((entry.change.line, entry.fate) for entry in self.entries()),
        )
        # And back.
        self.assertEqual({}, self.make(*(each.opposite for each in changes)))
        before = {moved: self.values(), removed: self.values(user_id=None), stays: self.values()}
        self.assertEqual(before, self.now())

    def test_what_others_have_changed_is_left(self) -> None:
        changed = {
            self.map(**{name: value}): name
            for name, value in (
                ('cell_uuid', None),
                ('cell_uuid', self.other.uuid),
                ('project_id', 'theirs'),
                ('user_id', 'theirs'),
                ('user_id', None),
                ('queued_for_delete', True),
            )
        }
        same, gone, existing = self.map(), base.new_uuid(), self.map()
        before = self.now()
        after = self.values(project_id='new')
        changes = [make_change(uuid, self.values(), after) for uuid in (*changed, same, gone)]
        not_made = self.make(*changes, make_change(existing, None, after))
        self.assertEqual({*changed, gone, existing}, not_made.keys())
        self.assertEqual({changing.OTHERS_FIRST}, {*not_made.values()})
        self.assertEqual({**before, same: after}, self.now())

    def test_removals_of_what_others_have_changed(self) -> None:
        same, changed = self.map(), self.map(queued_for_delete=True)
        changes = [make_change(uuid, self.values(), None) for uuid in (same, changed)]
        self.assertEqual({changed}, self.make(*changes).keys())
        self.assertEqual([changed], [*self.now()])

    def test_a_cell_that_is_gone(self) -> None:
        moved, created, stays = self.map(), base.new_uuid(), self.map()
        nowhere = self.values(cell_uuid=base.new_uuid())
        there = self.values(cell_uuid=self.other.uuid)
        not_made = self.make(
            make_change(moved, self.values(), nowhere),
            make_change(created, None, nowhere),
            make_change(stays, self.values(), there),
        )
        self.assertEqual({moved, created}, not_made.keys())
        self.assertIn('There is no cell', not_made[moved])
        self.assertEqual({moved: self.values(), stays: there}, self.now())

    def test_what_the_database_does_not_take(self) -> None:
        uuids = [self.map() for _ in range(5)]
        wrong = self.values(project_id='p' * 300)
        new = self.values(project_id='new')
        changes = [make_change(uuid, self.values(), new) for uuid in uuids[1:]]
        not_made = self.make(make_change(uuids[0], self.values(), wrong), *changes)
        self.assertEqual([uuids[0]], [*not_made])
        self.assertIn('300', not_made[uuids[0]])
        self.assertEqual({uuids[0]: self.values(), **dict.fromkeys(uuids[1:], new)}, self.now())

    def test_in_parts(self) -> None:
        self.patch(changing, 'BATCH_SIZE', 3)
        uuids = [self.map() for _ in range(7)]
        gone = make_change(base.new_uuid(), self.values(), None)
        changes = [make_change(uuid, self.values(), None) for uuid in uuids]
        self.assertEqual([gone.instance_uuid], [*self.make(*changes, gone)])
        self.assertEqual({}, self.now())
        self.assertEqual(8, len(self.entries()))

    def test_none(self) -> None:
        self.assertEqual({}, self.make())
        self.assertEqual([], self.entries())


@base.on_both_schemas
class Failures(changing_base.TestCase):
    def test_a_journal_that_cannot_be_written_stops_the_change(self) -> None:
        uuid = self.map()
        self.path.mkdir()
        changer = Changer(self.context, self.journal)
        one = make_change(uuid, self.values(), None)
        self.assertRaises(exception.JournalUnwritable, changer.make, [one])
        self.assertEqual({uuid: self.values()}, self.now())

    def test_a_database_that_fails(self) -> None:
        """Nobody knows whether it was made."""
        uuid = self.map()

        def fail(*args: Any) -> list[str]:
            raise exception.DatabaseOutcomeUnknown(reason='lost')

        changer = Changer(self.context, self.journal)
        with mock.patch.object(db_api, 'instance_mapping_destroy_seen', fail):
            self.assertRaises(
                exception.DatabaseOutcomeUnknown,
                changer.make,
                [make_change(uuid, self.values(), None)],
            )
        self.assertEqual([Fate.UNKNOWN], [entry.fate for entry in self.entries()])
