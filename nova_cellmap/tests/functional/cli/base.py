# SPDX-License-Identifier: Apache-2.0
"""Tests that call the programs, in this process or as processes of their own."""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import io
import json
import logging
import pathlib
import subprocess
import sys
from typing import Any, NamedTuple
import warnings

import fixtures
import sqlalchemy as sa

from nova_cellmap.cli import manage
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests import fixtures as test_fixtures
from nova_cellmap.tests import nova_schema
from nova_cellmap.tests.functional.cells import base as cells_base

# The password in every URL of these tests; no program ever prints it.
SECRET = 'sekret'


class Outcome(NamedTuple):
    """How a program ended, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def call(main: Callable[[list[str]], int], argv: list[str]) -> Outcome:
    """Call a program's main function, with streams that encode as a terminal's do."""
    out, err = _stream('strict'), _stream('backslashreplace')
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
        _loggers_restored(),
    ):
        status = main(argv)
    return Outcome(status, _text(out), _text(err))


def process(argv: list[str], program: str = 'manage') -> list[str]:
    """The command line of a program."""
    return [sys.executable, '-W', 'ignore', '-m', f'nova_cellmap.cli.{program}', *argv]


class CommandTestCase(tests_base.TestCase):
    """A test of the programs; ``config_file`` is what they read."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.config_file = self.folder / 'nova-cellmap.conf'

    def configure(self, **groups: Mapping[str, Any]) -> None:
        """Write the configuration: options by group."""
        lines: list[str] = []
        for group, options in groups.items():
            lines.append(f'[{group}]')
            lines += [f'{name} = {value}' for name, value in options.items()]
        self.config_file.write_text('\n'.join(lines))

    def call(self, *argv: str, main: Callable[[list[str]], int] = manage.main) -> Outcome:
        return call(main, ['--config-file', str(self.config_file), *argv])

    def start(self, *argv: str) -> 'subprocess.Popen[str]':
        """Start a process of its own, which is gone with the test."""
        process_ = subprocess.Popen(
            process(['--config-file', str(self.config_file), *argv]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process_.communicate)
        self.addCleanup(process_.kill)
        return process_

    def wait(self, process_: 'subprocess.Popen[str]') -> Outcome:
        out, err = process_.communicate(timeout=120)
        return Outcome(process_.returncode, out, err)

    def assert_ends(self, status: int, outcome: Outcome) -> Outcome:
        """It ended so, with no traceback and no password."""
        self.assertEqual(status, outcome.status, str(outcome))
        printed = outcome.out + outcome.err
        for text in ('Traceback', 'Unforeseen', SECRET):
            self.assertNotIn(text, printed)
        return outcome

    def assert_succeeds(self, *argv: str) -> Outcome:
        return self.assert_ends(0, self.call(*argv))

    def assert_fails(self, status: int, *argv: str) -> str:
        """It ended so, and told why on standard error alone; what it told."""
        outcome = self.assert_ends(status, self.call(*argv))
        self.assertEqual('', outcome.out)
        self.assertIn('nova-cellmap-manage: ', outcome.err)
        return outcome.err


class TestCase(CommandTestCase, cells_base.TestCase):
    """A test of the programs with a mapping database and a cell."""

    def setUp(self) -> None:
        super().setUp()
        self.configure()

    def configure(self, **groups: Mapping[str, Any]) -> None:
        # The journal goes there.
        path = self.database.state_path or self.folder
        ours: dict[str, Mapping[str, Any]] = {
            'DEFAULT': {'state_path': path},
            'api_database': {'connection': self.database.url},
            'cells': {'more_url_parameters': ','.join(test_fixtures.MORE_URL_PARAMETERS)},
        }
        shared = {
            group: {**ours[group], **groups.get(group, {})} for group in ('DEFAULT', 'cells')
        }
        super().configure(**{**ours, **groups, **shared})

    def call(self, *argv: str, main: Callable[[list[str]], int] = manage.main) -> Outcome:
        """Call a program. Of Nova's database it may change the two tables, and nothing else."""
        # Servers take longer for it: there a test of its own looks.
        if self.schema != 'nova' or self.kind != 'sqlite':
            return super().call(*argv, main=main)
        before = self.nova_besides()
        outcome = super().call(*argv, main=main)
        self.assertEqual(before, self.nova_besides())
        return outcome

    def nova_besides(self) -> nova_schema.Besides:
        engine = test_fixtures.engine(self.database.url, poolclass=sa.NullPool)
        return nova_schema.besides(engine)


def _stream(errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding='utf-8', errors=errors, write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


@contextlib.contextmanager
def _loggers_restored() -> Iterator[None]:
    """Undo what a program does to logging, which is for the whole process."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    names = ('', 'nova_cellmap', 'oslo_db', 'sqlalchemy', 'stevedore')
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        yield
    finally:
        for handler in set(root.handlers) - set(handlers):
            root.removeHandler(handler)
            handler.close()
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
