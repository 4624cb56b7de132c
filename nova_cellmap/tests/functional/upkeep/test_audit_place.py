# SPDX-License-Identifier: Apache-2.0
"""Audits that have no time to come to their end."""

import datetime
import pathlib

from nova_cellmap.db import resume_files
from nova_cellmap.tests.functional import base
from nova_cellmap.tests.functional.upkeep import base as upkeep_base
from nova_cellmap.upkeep.limits import MostChanges

_NO_TIME = datetime.timedelta()


@base.on_both_schemas
class Time(upkeep_base.TestCase):
    """With no time at all, each run looks at a batch."""

    def test_each_run_goes_on_where_the_one_before_was(self) -> None:
        uuids = sorted(self.add(5))
        ends = []
        for _ in range(5):
            run = self.audit(repair=True, batch_size=2, most_time=_NO_TIME)
            ends.append((run.began_after, run.stopped_at))
            if run.stopped_at is None:
                break
        self.assertEqual(
            [('', uuids[1]), (uuids[1], uuids[3]), (uuids[3], uuids[4]), (uuids[4], None)], ends
        )
        self.assertEqual(set(uuids), set(self.mapped()))
        # And then again from the beginning.
        run = self.audit(repair=True, batch_size=10, most_time=_NO_TIME)
        self.assertEqual('', run.began_after)

    def test_what_is_left_is_the_same_as_in_one_run(self) -> None:
        self.break_()
        self.audit()
        expected = {problem.instance_uuid for problem in self.found}
        met: list[str] = []
        for _ in range(2 * len(expected)):
            run = self.audit(batch_size=2, most_time=_NO_TIME)
            met += [problem.instance_uuid for problem in self.found]
            if run.stopped_at is None:
                break
        self.assertEqual(sorted(expected), sorted(met))

    def test_with_enough_time_it_comes_to_its_end(self) -> None:
        self.add(5)
        run = self.audit(batch_size=2, most_time=datetime.timedelta(hours=1))
        self.assertIsNone(run.stopped_at)
        self.assertEqual(5, len(self.found))

    def test_one_that_does_more_begins_at_the_first(self) -> None:
        self.add(5)
        self.assertIsNotNone(self.audit(batch_size=2, most_time=_NO_TIME).stopped_at)
        for options in ({'repair': True}, {'only': self.cell}, {'project_id': 'project'}):
            run = self.audit(batch_size=2, most_time=_NO_TIME, **options)
            self.assertEqual('', run.began_after, str(options))

    def test_one_without_a_limit_begins_at_the_first(self) -> None:
        self.add(5)
        self.audit(batch_size=2, most_time=_NO_TIME)
        self.audit()
        self.assertEqual(5, len(self.found))

    def test_a_mapping_that_is_spelled_otherwise_is_no_place(self) -> None:
        odd = {'instance_uuid': '0 is none', 'cell_uuid': self.cell.uuid, 'project_id': 'p'}
        self.execute(self.mapping_table.insert().values(odd))
        uuids = sorted(self.add(3))
        run = self.audit(batch_size=1, most_time=_NO_TIME)
        self.assertEqual(uuids[0], run.stopped_at)

    def test_what_is_noted_and_is_no_place(self) -> None:
        self.add(3)
        run = self.audit(batch_size=1, most_time=_NO_TIME)
        self.assertIsNotNone(run.stopped_at)
        [file] = pathlib.Path(self.conf.state_path, resume_files.FOLDER).iterdir()
        for text in ('', '{"last_uuid": "x"}', '[]', '{}', '{"last_uuid": 7}'):
            file.write_text(text)
            run = self.audit(batch_size=1, most_time=_NO_TIME)
            self.assertEqual('', run.began_after, text)

    def test_what_was_refused_is_looked_at_again(self) -> None:
        self.add(5)
        options = {'repair': True, 'batch_size': 2, 'most_time': _NO_TIME}
        self.assertIsNotNone(self.audit(most_changes=MostChanges(1), **options).refused)
        run = self.audit(most_changes=MostChanges(2), **options)
        self.assertEqual(('', None), (run.began_after, run.refused))
        self.assertEqual(2, len(self.mapped()))
