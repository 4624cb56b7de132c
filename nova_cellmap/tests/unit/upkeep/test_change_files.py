# SPDX-License-Identifier: Apache-2.0
"""Files of changes."""

import os
from typing import Any

from nova_cellmap import exception
from nova_cellmap.tests.unit.upkeep import base
from nova_cellmap.tests.unit.upkeep.base import make_change
from nova_cellmap.upkeep import change
from nova_cellmap.upkeep import change_files
from nova_cellmap.upkeep.change import Outcome
from nova_cellmap.upkeep.change_files import ChangeFiles
from nova_cellmap.upkeep.change_files import Fate


class _Case(base.TestCase):
    def write(self, *lines: Any, name: str = 'journal') -> None:
        data = [each if isinstance(each, bytes) else each.line for each in lines]
        (self.folder / name).write_bytes(b''.join(data))

    def found(self, *names: str, newest_first: bool = False, **options: Any) -> list[Any]:
        paths = [self.folder / name for name in names or ('journal',)]
        with ChangeFiles(paths, **options) as files:
            self.made = [entry.change.instance_uuid for entry in files.made()]
            return [
                (entry.change.instance_uuid, entry.fate, entry.why_not)
                for entry in files.entries(newest_first=newest_first)
            ]


class Read(_Case):
    def test_what_became_of_each(self) -> None:
        self.write(
            # A run that was killed, and one that was not.
            *map(make_change, 'ab'),
            *map(make_change, 'cd'),
            Outcome(2, {'c': 'gone'}),
            make_change('e'),
        )
        found = [
            ('a', Fate.UNKNOWN, ''),
            ('b', Fate.UNKNOWN, ''),
            ('c', Fate.NOT_MADE, 'gone'),
            ('d', Fate.MADE, ''),
            ('e', Fate.UNKNOWN, ''),
        ]
        self.assertEqual(found, self.found())
        self.assertEqual([*'abde'], self.made)
        self.assertEqual(found[::-1], self.found(newest_first=True))

    def test_only_some(self) -> None:
        self.write(*map(make_change, 'ab'), Outcome(2, {}))
        found = self.found(wanted=lambda each: each.instance_uuid == 'b')
        self.assertEqual([('b', Fate.MADE, '')], found)
        self.assertEqual(['b'], self.made)

    def test_several_files(self) -> None:
        self.write(*map(make_change, 'ab'), name='journal.1')
        self.write(make_change('c'), Outcome(1, {}))
        self.assertEqual(
            ['a', 'b', 'c'], [uuid for uuid, *_ in self.found('journal.1', 'journal')]
        )
        found = self.found('journal.1', 'journal', newest_first=True)
        self.assertEqual(['c', 'b', 'a'], [uuid for uuid, *_ in found])

    def test_an_empty_one(self) -> None:
        self.write()
        self.assertEqual([], self.found())


class Wrong(_Case):
    def test_the_line_is_named(self) -> None:
        for lines, number in (
            ([make_change('a'), b'{}\n'], 2),
            ([b'no\n', make_change('a')], 1),
            ([make_change('a'), b'\n', make_change('b')], 2),
            ([make_change('a'), Outcome(2, {})], 2),
            ([make_change('a'), Outcome(1, {}), Outcome(1, {})], 3),
        ):
            self.write(*lines)
            for torn in (True, False):
                error = self.assertRaises(
                    exception.InvalidChangeFile, self.found, may_be_torn=torn
                )
                self.assertIn(f'{self.path}, line {number}: ', str(error))

    def test_one_that_ends_in_the_midst_of_a_line(self) -> None:
        line = make_change('b').line
        for length in range(1, len(line) - 1):
            self.write(make_change('a'), line[:length])
            self.assertEqual([('a', Fate.UNKNOWN, '')], self.found(may_be_torn=True))
            # A plan that was not copied as a whole is none.
            self.assertRaises(exception.InvalidChangeFile, self.found)
        # Only the line end is missing, as editors leave it.
        self.write(make_change('a'), line[:-1])
        self.assertEqual(2, len(self.found()))

    def test_a_line_without_an_end(self) -> None:
        self.patch(change, 'MOST_BYTES', 100)
        self.write(b'x' * 200)
        self.assertRaises(exception.InvalidChangeFile, self.found, may_be_torn=True)

    def test_what_cannot_be_read(self) -> None:
        self.assertRaises(exception.ChangeFileNotFound, self.found, 'nosuch')
        self.assertRaises(exception.ChangeFileUnreadable, self.found, '.')
        self.assertRaises(exception.ChangeFileUnreadable, self.found, 'a\0b')
        read, write = os.pipe()
        os.close(write)
        self.addCleanup(os.close, read)
        error = self.assertRaises(exception.ChangeFileUnreadable, self.found, f'/dev/fd/{read}')
        self.assertIn('/dev/fd/', str(error))


class Batches(_Case):
    def test_no_instance_is_twice_in_one(self) -> None:
        self.write(*map(make_change, 'abcabdd'))
        with ChangeFiles([self.path]) as files:
            found = [
                ''.join(entry.change.instance_uuid for entry in batch)
                for batch in change_files.batches(files.made(), 4)
            ]
        self.assertEqual(['abc', 'abd', 'd'], found)
        with ChangeFiles([self.path]) as files:
            sizes = [len(batch) for batch in change_files.batches(files.made(), 2)]
        self.assertEqual([2, 2, 2, 1], sizes)
