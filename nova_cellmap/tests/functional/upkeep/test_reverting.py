# SPDX-License-Identifier: Apache-2.0
"""Taking changes back: what nobody has changed since becomes what it was, and nothing else."""

from collections.abc import Callable
import contextlib
import datetime
import os
import signal
from typing import Any, NoReturn
from unittest import mock

import hypothesis
from hypothesis import strategies as st
import sqlalchemy as sa

from nova_cellmap import exception
from nova_cellmap.db import api as db_api
from nova_cellmap.db import engine
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.upkeep import changing_base
from nova_cellmap.tests.functional.upkeep.changing_base import Killed
from nova_cellmap.tests.functional.upkeep.changing_base import make_change
from nova_cellmap.upkeep import change
from nova_cellmap.upkeep import journal as journals
from nova_cellmap.upkeep import reverting
from nova_cellmap.upkeep.change_files import Fate
from nova_cellmap.upkeep.changing import Changer
from nova_cellmap.upkeep.journal import Journal
from nova_cellmap.upkeep.limits import MostChanges
from nova_cellmap.upkeep.reverting import Reverted

_WRITES = (
    'instance_mapping_create_bulk',
    'instance_mapping_update_bulk',
    'instance_mapping_destroy_seen',
)
# Where a run may end: behind the lines of the journal, and before the outcome.
_POINTS = ('before the transaction', 'after the commit')


class _Case(changing_base.TestCase):
    def make(self, *changes: change.Change) -> None:
        self.assertEqual({}, Changer(self.context, Journal(self.path)).make(changes))

    def revert(self, **options: Any) -> Reverted:
        return reverting.revert(
            self.context, self.path, **{'journal': Journal(self.path), **options}
        )

    def by_others(self, uuid: str, values: Any) -> None:
        """Have somebody else make a mapping say this, or remove it."""
        db_api.instance_mapping_destroy_bulk(self.context, [uuid])
        if values is not None:
            db_api.instance_mapping_create(self.context, {'instance_uuid': uuid, **values})


@base.on_both_schemas
class Revert(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.there = self.values(cell_uuid=self.other.uuid)
        self.moved, self.removed, self.created = self.map(), self.map(), base.new_uuid()
        self.before = self.now()
        self.make(
            make_change(self.moved, self.values(), self.there),
            make_change(self.removed, self.values(), None),
            make_change(self.created, None, self.values(user_id=None)),
        )
        self.after = self.now()
        self.assertEqual({self.moved, self.created}, self.after.keys())

    def test_all(self) -> None:
        self.assertEqual(Reverted(total=3, looked_at=3, reverted=3), self.revert())
        self.assertEqual(self.before, self.now())
        # There is nothing more to be taken back, nor the taking back.
        self.assertEqual(Reverted(), self.revert())
        self.assertEqual(self.before, self.now())

    def test_what_was_done_again_is_taken_back_again(self) -> None:
        for _ in range(2):
            self.revert()
            self.make(make_change(self.moved, self.values(), self.there))
        self.assertEqual(Reverted(total=1, looked_at=1, reverted=1), self.revert())
        self.assertEqual(self.before, self.now())

    def test_the_newest_first(self) -> None:
        third = self.values(project_id='third')
        self.make(make_change(self.moved, self.there, third))
        self.make(make_change(self.moved, third, None))
        self.assertEqual(Reverted(total=5, looked_at=5, reverted=5), self.revert())
        self.assertEqual(self.before, self.now())

    def test_what_others_have_changed_stays(self) -> None:
        theirs = self.values(project_id='theirs')
        self.by_others(self.moved, theirs)
        self.by_others(self.removed, theirs)
        self.by_others(self.created, None)
        self.assertEqual(Reverted(total=3, looked_at=3, left=3), self.revert())
        self.assertEqual({self.moved: theirs, self.removed: theirs}, self.now())

    def test_what_others_have_made_as_a_change_before_had_stays(self) -> None:
        self.make(make_change(self.moved, self.there, None))
        self.by_others(self.moved, self.there)
        self.assertEqual(2, self.revert(instances=[self.moved]).left)
        self.assertEqual(self.there, self.now()[self.moved])

    def test_only_some_instances(self) -> None:
        self.assertEqual(1, self.revert(instances=[self.removed]).reverted)
        self.assertEqual({**self.after, self.removed: self.values()}, self.now())

    def test_only_since_then(self) -> None:
        later = change.now() + datetime.timedelta(hours=1)
        self.assertEqual(Reverted(), self.revert(since=later))
        with mock.patch.object(change, 'now', return_value=later):
            one = make_change(self.moved, self.there, self.values(project_id='new'))
        self.make(one)
        self.assertEqual(1, self.revert(since=later).reverted)
        self.assertEqual(self.after, self.now())

    def test_no_more_than_are_allowed(self) -> None:
        error = self.assertRaises(
            exception.ChangesRefused, self.revert, most_changes=MostChanges(2)
        )
        self.assertIn('3 mappings', str(error))
        self.assertEqual(self.after, self.now())
        self.assertEqual(3, self.revert(most_changes=MostChanges(3)).reverted)

    def test_the_files_that_the_journal_was_before(self) -> None:
        self.patch(journals, '_MOST_BYTES', 100)
        self.make(make_change(self.moved, self.there, None))
        self.assertEqual(2, len(journals.files(self.path)))
        self.assertEqual(4, self.revert().reverted)
        self.assertEqual(self.before, self.now())

    def test_a_wrong_line_is_seen_before_anything_is_done(self) -> None:
        with self.path.open('ab') as file:
            file.write(b'{}\n')
        self.assertRaises(exception.InvalidChangeFile, self.revert)
        self.assertEqual(self.after, self.now())

    def test_no_journal(self) -> None:
        self.path.unlink()
        call = reverting.revert
        self.assertRaises(exception.ChangeFileNotFound, call, self.context, self.path)


def _end(*args: Any) -> NoReturn:
    raise Killed


def _kill(*args: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise Killed


class _Killing:
    """Ends a process at a point of its work, while the block lasts."""

    def __init__(self, point: str, end: Callable[..., NoReturn] = _end) -> None:
        self._point = point
        self._end = end

    def __enter__(self) -> None:
        self._patches = [mock.patch.object(db_api, name, self._ending(name)) for name in _WRITES]
        for each in self._patches:
            each.start()

    def __exit__(self, *args: object) -> None:
        for each in self._patches:
            each.stop()

    def _ending(self, name: str) -> Any:
        real = getattr(db_api, name)

        def write(*args: Any, **kwargs: Any) -> Any:
            if self._point == 'before the transaction':
                self._end()
            if self._point == 'after the commit':
                real(*args, **kwargs)
                self._end()
            writer = engine.of().writer
            sa.event.listen(writer, 'commit', self._end)
            try:
                real(*args, **kwargs)
            finally:
                sa.event.remove(writer, 'commit', self._end)

        return write


@base.on_both_schemas
class Kills(_Case):
    def test_no_change_of_a_process_that_was_killed_is_unrecorded(self) -> None:
        there = self.values(cell_uuid=self.other.uuid)
        for point in (*_POINTS, 'before the commit'):
            uuids = self.map(), self.map(), base.new_uuid()
            before = self.now()
            changes = [
                make_change(uuids[0], self.values(), there),
                make_change(uuids[1], self.values(), None),
                make_change(uuids[2], None, there),
            ]
            for one in changes:
                self.make_and_be_killed(one, point)
            self.assertEqual(
                [(one, Fate.UNKNOWN) for one in changes],
                [(entry.change, entry.fate) for entry in self.entries()],
            )
            after = {**before, uuids[0]: there, uuids[2]: there}
            del after[uuids[1]]
            is_made = point == 'after the commit'
            self.assertEqual(after if is_made else before, self.now())
            reverted = self.revert()
            self.assertEqual(0, reverted.left)
            self.assertEqual(3, reverted.reverted if is_made else reverted.unmade)
            self.assertEqual(before, self.now())
            self.path.unlink()

    def make_and_be_killed(self, one: change.Change, point: str) -> None:
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException), _Killing(point, _kill):
                self.make(one)
            os._exit(1)
        self.assertEqual((child, signal.SIGKILL), os.waitpid(child, 0))

    def test_a_change_that_was_cut_off(self) -> None:
        for point in _POINTS:
            uuid = self.map()
            before = self.now()
            after = self.values(cell_uuid=self.other.uuid)
            with _Killing(point):
                self.assertRaises(Killed, self.make, make_change(uuid, self.values(), after))
            is_made = point == 'after the commit'
            self.assertEqual(after if is_made else self.values(), self.now()[uuid])
            reverted = self.revert(instances=[uuid])
            self.assertEqual((0, 0 if is_made else 1), (reverted.left, reverted.unmade))
            self.assertEqual(before, self.now())

    def test_one_before_another_that_was_cut_off(self) -> None:
        for point in _POINTS:
            uuid = self.map()
            before = self.now()
            after = self.values(cell_uuid=self.other.uuid)
            self.make(make_change(uuid, self.values(), after))
            with _Killing(point):
                self.assertRaises(Killed, self.make, make_change(uuid, after, None))
            self.assertEqual(0, self.revert(instances=[uuid]).left)
            self.assertEqual(before, self.now())

    def test_taking_back_that_was_cut_off_again_and_again(self) -> None:
        self.patch(reverting, 'BATCH_SIZE', 2)
        uuids = [self.map() for _ in range(6)]
        before = self.now()
        changes = [make_change(uuid, self.values(), None) for uuid in uuids]
        self.make(*changes)
        for point in _POINTS * 2:
            with _Killing(point):
                self.assertRaises(Killed, self.revert)
        self.assertEqual(0, self.revert().left)
        self.assertEqual(before, self.now())

    def test_taking_back_that_was_cut_off_and_what_came_before_it(self) -> None:
        uuid = self.map()
        before = self.now()
        after = self.values(project_id='new')
        for point in _POINTS:
            self.make(make_change(uuid, self.values(), after))
            self.make(make_change(uuid, after, None))
            with _Killing(point):
                self.assertRaises(Killed, self.revert)
            for _ in range(3):
                self.assertEqual(0, self.revert().left)
                self.assertEqual(before, self.now())


# What happens to one of a few instances.
_WHAT = (
    *('ours', 'ours', 'theirs', *_POINTS, 'back'),
    *(f'back {point}' for point in _POINTS),
)
_EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(_WHAT),
        st.sampled_from((None, 'p1', 'p2')),
    ),
    max_size=14,
)


class LawSqlite(_Case):
    """Each mapping becomes what it was after somebody else wrote it last."""

    @hypothesis.settings(max_examples=60)
    @hypothesis.given(_EVENTS)
    def test_exactly_what_others_have_not_changed(self, events: list[Any]) -> None:
        self.path.unlink(missing_ok=True)
        self.path.touch()
        uuids = [base.new_uuid() for _ in range(3)]
        expected: dict[str, Any] = dict.fromkeys(uuids)
        for number, (place, what, project) in enumerate(events):
            uuid = uuids[place]
            before = self.now().get(uuid)
            after = None if project is None else self.values(project_id=project)
            if what == 'theirs':
                # Like no other.
                expected[uuid] = self.values(project_id=f'theirs{number}')
                self.by_others(uuid, expected[uuid])
            elif what == 'back':
                self.revert(instances=[uuid])
            elif what.startswith('back '):
                with _Killing(what.removeprefix('back ')), contextlib.suppress(Killed):
                    self.revert(instances=[uuid])
            elif before != after:
                one = make_change(uuid, before, after)
                if what == 'ours':
                    self.make(one)
                else:
                    with _Killing(what):
                        self.assertRaises(Killed, self.make, one)
        self.revert()
        now = self.now()
        self.assertEqual(expected, {uuid: now.get(uuid) for uuid in uuids})
        db_api.instance_mapping_destroy_bulk(self.context, uuids)
