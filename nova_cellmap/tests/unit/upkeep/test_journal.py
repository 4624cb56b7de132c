# SPDX-License-Identifier: Apache-2.0
"""The journal as a file."""

from collections.abc import Mapping, Sequence
import errno
import multiprocessing
import os
import stat
from typing import Any
from unittest import mock

from nova_cellmap import exception
from nova_cellmap.tests.unit.upkeep import base
from nova_cellmap.tests.unit.upkeep.base import make_change
from nova_cellmap.upkeep import journal as journals
from nova_cellmap.upkeep.change import Change
from nova_cellmap.upkeep.change_files import ChangeFiles
from nova_cellmap.upkeep.change_files import Fate
from nova_cellmap.upkeep.journal import Journal


class _Case(base.TestCase):
    def found(self) -> list[tuple[str, Fate]]:
        with ChangeFiles(journals.files(self.path), may_be_torn=True) as files:
            return [(entry.change.instance_uuid, entry.fate) for entry in files.entries()]

    def record(self, *uuids: str, not_made: Mapping[str, str] | None = None) -> None:
        record(Journal(self.path), uuids, not_made or {})


def record(journal: Journal, uuids: Sequence[str], not_made: Mapping[str, str]) -> None:
    journal.record([make_change(uuid) for uuid in uuids], lambda changes: not_made)


class Record(_Case):
    def test_the_changes_are_there_before_they_are_made(self) -> None:
        journal = Journal(self.path)

        def make(changes: Sequence[Change]) -> dict[str, str]:
            self.assertEqual([('a', Fate.UNKNOWN), ('b', Fate.UNKNOWN)], self.found())
            return {'b': 'gone'}

        with mock.patch('os.fsync', side_effect=os.fsync) as synced:
            journal.record([make_change('a'), make_change('b')], make)
        self.assertEqual([('a', Fate.MADE), ('b', Fate.NOT_MADE)], self.found())
        # The folder, the changes, and the outcome.
        self.assertEqual(3, synced.call_count)
        self.assertEqual(2, journal.changes)

    def test_nobody_else_reads_it(self) -> None:
        self.addCleanup(os.umask, os.umask(0))
        Journal(self.path).check()
        self.assertEqual(0o600, stat.S_IMODE(self.path.stat().st_mode))

    def test_a_failure_leaves_them_without_an_outcome(self) -> None:
        make = mock.Mock(side_effect=exception.DatabaseBusy())
        call = Journal(self.path).record
        self.assertRaises(exception.DatabaseBusy, call, [make_change('a')], make)
        self.record('b')
        self.assertEqual([('a', Fate.UNKNOWN), ('b', Fate.MADE)], self.found())

    def test_what_a_kill_has_left_of_a_line_is_cut_off(self) -> None:
        line = make_change('b').line
        for length in (1, 20, len(line) - 1):
            self.path.unlink(missing_ok=True)
            for before in ([], ['a']):
                if before:
                    self.record(*before)
                with self.path.open('ab') as file:
                    file.write(line[:length])
                self.record('c')
                with ChangeFiles([self.path]) as files:
                    uuids = [entry.change.instance_uuid for entry in files.entries()]
                self.assertEqual(['c', *before, 'c'][-len(uuids) :], uuids)

    def test_a_long_part_of_a_line(self) -> None:
        self.record('a')
        with self.path.open('ab') as file:
            file.write(make_change('b', why='x' * 200_000).line[:-1])
        self.record('c')
        self.assertEqual([('a', Fate.MADE), ('c', Fate.MADE)], self.found())


class Unwritable(_Case):
    def assert_unwritable(self, said: str, path: Any = None) -> None:
        make = mock.Mock(return_value={})
        journal = Journal(path or self.path)
        for call in (journal.check, lambda: journal.record([make_change('a')], make)):
            error = self.assertRaises(exception.JournalUnwritable, call)
            self.assertIn(said, str(error))
            self.assertIn('--journal FILE', str(error))
        make.assert_not_called()

    def test_no_place(self) -> None:
        self.assert_unwritable('No such file', self.folder / 'nosuch' / 'journal')
        self.assert_unwritable('directory', self.folder)
        self.assert_unwritable('null', f'{self.path}\0')

    def test_a_link(self) -> None:
        victim = self.folder / 'victim'
        victim.touch()
        self.path.symlink_to(victim)
        self.assert_unwritable('symbolic link')
        self.assertEqual(b'', victim.read_bytes())

    def test_what_is_no_file(self) -> None:
        self.assert_unwritable('no regular file', '/dev/null')
        os.mkfifo(self.path)
        self.assert_unwritable('no regular file')

    def test_a_file_of_something_else(self) -> None:
        for text in ('precious\nand more', '{"precious": 1}\n'):
            self.path.write_text(text)
            self.assert_unwritable('something else')
            self.assertEqual(text, self.path.read_text())

    def test_a_disk_that_is_full(self) -> None:
        self.record('a')
        before = self.path.read_bytes()
        journal, make = Journal(self.path), mock.Mock(return_value={})
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with mock.patch('os.fsync', side_effect=full):
            call = journal.record
            self.assertRaises(exception.JournalUnwritable, call, [make_change('b')], make)
        make.assert_not_called()
        self.assertEqual(before, self.path.read_bytes())

    def test_a_disk_that_is_full_in_the_midst_of_a_line(self) -> None:
        self.record('a')
        before = self.path.read_bytes()
        journal, make = Journal(self.path), mock.Mock(return_value={})

        def write_part(file: Any, data: bytes) -> None:
            file.write(data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        self.patch(journals, '_write', write_part)
        call = journal.record
        self.assertRaises(exception.JournalUnwritable, call, [make_change('b')], make)
        self.assertEqual(before, self.path.read_bytes())


class Files(_Case):
    def test_a_name_that_is_too_long(self) -> None:
        path = self.folder / ('x' * 300)
        self.assertEqual([path], journals.files(path))

    def test_a_run_that_was_killed_before_it_had_begun_another(self) -> None:
        self.record('a')
        before = self.path.rename(f'{self.path}.1')
        self.assertEqual([before], journals.files(self.path))
        self.assertEqual([('a', Fate.MADE)], self.found())


class Rotation(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.patch(journals, '_MOST_BYTES', 1000)
        self.patch(journals, '_KEPT', 3)

    def test_so_many_are_kept(self) -> None:
        for number in range(60):
            self.record(f'{number:03}')
        names = ['journal', 'journal.1', 'journal.2', 'journal.3']
        self.assertEqual(names, sorted(each.name for each in self.folder.iterdir()))
        for each in self.folder.iterdir():
            self.assertLess(each.stat().st_size, 1500)
        uuids = [uuid for uuid, _ in self.found()]
        self.assertEqual([f'{number:03}' for number in range(60)][-len(uuids) :], uuids)

    def test_a_part_of_a_line_does_not_stay_in_one_before(self) -> None:
        self.record('a')
        with self.path.open('ab') as file:
            file.write(make_change('b', why='x' * 2000).line[:-1])
            file.write(b'\n' + make_change('c').line[:-1])
        self.record('d')
        self.assertEqual(2, len(journals.files(self.path)))
        for path in journals.files(self.path):
            with ChangeFiles([path]) as files:
                self.assertTrue(list(files.entries()))
        self.assertEqual(['a', 'b', 'd'], [uuid for uuid, _ in self.found()])

    def test_what_one_run_writes_stays_together(self) -> None:
        self.record('before')
        journal = Journal(self.path)
        for number in range(60):
            record(journal, [f'{number:03}'], {})
        self.assertEqual([self.path], list(self.folder.iterdir()))
        self.record('after')
        self.assertEqual([('after', Fate.MADE)], self.found()[-1:])
        self.assertEqual(62, len(self.found()))

    def test_another_run_begins_another_file_meanwhile(self) -> None:
        journal = Journal(self.path)
        record(journal, [f'{number:03}' for number in range(20)], {})
        self.record('other')
        record(journal, ['last'], {})
        self.assertEqual(2, len(list(self.folder.iterdir())))
        self.assertEqual(['019', 'other', 'last'], [uuid for uuid, _ in self.found()][-3:])


def _write_many(path: str, name: str) -> None:
    journal = Journal(path)
    for number in range(30):
        uuids = [f'{name}{number}-{each}' for each in range(5)]
        record(journal, uuids, {uuids[0]: 'gone'})


class TwoAtOnce(_Case):
    def test_the_outcome_of_each_is_behind_its_changes(self) -> None:
        self.patch(journals, '_MOST_BYTES', 10_000)
        context = multiprocessing.get_context('fork')
        writers = [
            context.Process(target=_write_many, args=(str(self.path), name)) for name in 'abc'
        ]
        for each in writers:
            each.start()
        for each in writers:
            each.join(60)
            self.assertEqual(0, each.exitcode)
        found = self.found()
        self.assertEqual(3 * 30 * 5, len(found))
        for uuid, fate in found:
            self.assertEqual(Fate.NOT_MADE if uuid.endswith('-0') else Fate.MADE, fate)
