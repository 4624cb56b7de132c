# SPDX-License-Identifier: Apache-2.0
"""Files that nobody else reads, and that nobody leads elsewhere."""

import os
import pathlib
import stat
from unittest import mock

import fixtures

from nova_cellmap import private_files
from nova_cellmap.tests import base


class _Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = self.folder / 'file'
        self.victim = self.folder / 'victim'
        self.victim.write_text('precious')
        self.addCleanup(os.umask, os.umask(0))

    def assert_private(self) -> None:
        self.assertEqual(0o600, stat.S_IMODE(self.path.stat().st_mode))

    def assert_victim_unharmed(self) -> None:
        self.assertEqual('precious', self.victim.read_text())


class Replace(_Case):
    def test_it_is_written_as_a_whole_and_nobody_else_reads_it(self) -> None:
        for data in (b'one', b'two'):
            private_files.replace(self.path, data)
            self.assertEqual(data, self.path.read_bytes())
            self.assert_private()
        self.assertEqual({self.path, self.victim}, set(self.folder.iterdir()))

    def test_one_that_others_are_to_read(self) -> None:
        os.umask(0o077)
        for mode in (0o644, 0o600):
            private_files.replace(self.path, b'x', mode)
            self.assertEqual(mode, stat.S_IMODE(self.path.stat().st_mode))

    def test_a_link_is_replaced_and_not_followed(self) -> None:
        for target in (self.victim, self.folder / 'nosuch'):
            self.path.symlink_to(target)
            private_files.replace(self.path, b'new')
            self.assertFalse(self.path.is_symlink())
            self.path.unlink()
        self.assert_victim_unharmed()
        self.assertFalse((self.folder / 'nosuch').exists())

    def test_a_link_with_the_name_of_a_temporary_file_is_not_followed(self) -> None:
        for name in ('file.new', '.file.new', '.file.tmp'):
            (self.folder / name).symlink_to(self.victim)
        private_files.replace(self.path, b'new')
        self.assert_victim_unharmed()

    def test_a_disk_that_is_full_leaves_the_previous_one(self) -> None:
        private_files.replace(self.path, b'previous')
        with mock.patch('os.fsync', side_effect=OSError(28, 'No space left on device')):
            self.assertRaises(OSError, private_files.replace, self.path, b'new')
        self.assertEqual(b'previous', self.path.read_bytes())
        self.assertEqual({self.path, self.victim}, set(self.folder.iterdir()))

    def test_whether_there_is_a_place(self) -> None:
        private_files.check_place(self.path)
        for path in (self.folder, self.folder / 'no' / 'x', self.victim / 'x'):
            self.assertRaises(OSError, private_files.check_place, path)
        self.assertEqual([self.victim], list(self.folder.iterdir()))


class Make(_Case):
    def test_it_is_made_once(self) -> None:
        private_files.make(self.path)
        self.assert_private()
        self.path.write_text('kept')
        private_files.make(self.path)
        self.assertEqual('kept', self.path.read_text())


class CheckLog(_Case):
    def test_a_folder_that_is_missing_and_a_pipe_that_nobody_reads(self) -> None:
        os.mkfifo(self.path)
        for path in (self.path, self.folder / 'no' / 'x', self.folder):
            self.assertRaises(OSError, private_files.check_log, str(path))

    def test_somebody_elses_link_in_a_shared_folder(self) -> None:
        self.path.symlink_to(self.victim)
        private_files.check_log(str(self.path))
        self.folder.chmod(0o1777)
        private_files.check_log(str(self.path))
        if os.geteuid() == 0:
            os.chown(self.path, 12345, -1, follow_symlinks=False)
            self.assertRaises(OSError, private_files.check_log, str(self.path))


class Replaced(_Case):
    def test_in_parts(self) -> None:
        self.path.write_bytes(b'previous')
        with private_files.replaced(self.path) as file:
            file.write(b'one')
            self.assertEqual(b'previous', self.path.read_bytes())
            file.write(b'two')
        self.assertEqual(b'onetwo', self.path.read_bytes())
        self.assert_private()

    def test_what_fails_leaves_the_previous_one(self) -> None:
        self.path.write_bytes(b'previous')

        def fail() -> None:
            with private_files.replaced(self.path) as file:
                file.write(b'new')
                raise KeyboardInterrupt

        self.assertRaises(KeyboardInterrupt, fail)
        self.assertEqual(b'previous', self.path.read_bytes())
        self.assertEqual({self.path, self.victim}, set(self.folder.iterdir()))


class OpenToAppend(_Case):
    def test_it_is_made_and_read_and_appended_to(self) -> None:
        for data in (b'one', b'two'):
            with private_files.open_to_append(self.path) as file:
                file.seek(0)
                file.write(data)
                file.seek(0)
                self.assertTrue(file.read().endswith(data))
        self.assertEqual(b'onetwo', self.path.read_bytes())
        self.assert_private()

    def test_no_link_is_followed(self) -> None:
        self.path.symlink_to(self.victim)
        self.assertRaises(OSError, private_files.open_to_append, self.path)
        self.assert_victim_unharmed()

    def test_what_is_no_file(self) -> None:
        os.mkfifo(self.path)
        for path in (self.path, self.folder, '/dev/null'):
            self.assertRaises(OSError, private_files.open_to_append, path)


class SyncFolder(_Case):
    def test_a_folder(self) -> None:
        with mock.patch('os.fsync') as sync:
            private_files.sync_folder(self.folder)
        sync.assert_called_once()
        self.assertRaises(OSError, private_files.sync_folder, self.victim)
