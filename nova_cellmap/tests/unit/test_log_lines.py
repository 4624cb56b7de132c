# SPDX-License-Identifier: Apache-2.0
"""A log of one line each message."""

import io
import logging
import logging.handlers
import pathlib
import shutil

import fixtures

from nova_cellmap import log_lines
from nova_cellmap.tests import base


class Logs(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.stream = io.StringIO()
        handler = logging.StreamHandler(self.stream)
        root = logging.getLogger()
        root.addHandler(handler)
        self.addCleanup(root.removeHandler, handler)
        log_lines.escape()
        log_lines.escape()
        self.log = logging.getLogger('nova_cellmap.test')

    def test_a_message_is_one_line(self) -> None:
        self.log.warning('no cell %s', 'x\n2026-01-01 INFO forged \x1b[2J')
        self.assertEqual('no cell x\\x0a2026-01-01 INFO forged \\x1b[2J\n', self.stream.getvalue())

    def test_a_traceback_keeps_its_lines(self) -> None:
        try:
            raise ValueError('\x1b[2J')
        except ValueError:
            self.log.exception('failed')
        text = self.stream.getvalue()
        self.assertIn('Traceback (most recent call last):\n', text)
        self.assertIn('ValueError: \\x1b[2J', text)
        self.assertNotIn('\x1b', text)

    def test_a_call_that_is_wrong_is_left_to_the_handler(self) -> None:
        record = logging.LogRecord('x', logging.INFO, 'x', 1, '%d', ('x',), None)
        self.assertTrue(log_lines.Filter().filter(record))


class Guard(base.TestCase):
    def test_a_folder_that_is_gone_fails_nobody_and_may_come_back(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'log'
        folder.mkdir()
        told = self.useFixture(fixtures.StringStream('told')).stream
        self.useFixture(fixtures.MonkeyPatch('sys.stderr', told))
        handler = logging.handlers.WatchedFileHandler(folder / 'x.log')
        self.addCleanup(handler.close)
        root = logging.getLogger()
        root.addHandler(handler)
        self.addCleanup(root.removeHandler, handler)
        log_lines.guard()
        log = logging.getLogger('nova_cellmap.test')
        log.warning('first')
        shutil.rmtree(folder)
        for _ in range(2):
            log.warning('second')
        folder.mkdir()
        log.warning('third')
        self.assertEqual('third\n', (folder / 'x.log').read_text())
