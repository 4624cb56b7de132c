# SPDX-License-Identifier: Apache-2.0
"""Servers of a whole Nova, and our audit beside them: a program of its own.

    NOVA_CELLMAP_TEST_SERVERS=200 OS_NOVA_DISABLE_EVENTLET_PATCHING=1 \
        python -W ignore -m testtools.run \
        nova_cellmap.tests.beside_nova.workload.Workload.test_beside_audits

It prints what the audits found.
"""

from nova_cellmap.tests.beside_nova import cloud

# isort: split
import collections
from collections.abc import Callable, Generator, Iterator
import contextlib
import io
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from typing import Any, Self

from nova.cmd import manage

# How many there are, how many of them Nova works on at a time, and how many come to their end
# between two runs of the archive.
SERVERS = int(os.environ.get('NOVA_CELLMAP_TEST_SERVERS', '48'))
AT_A_TIME = 10
ARCHIVED_EACH = 16

# The server and the status that is waited for before the next step; None is of one that is gone.
Step = tuple[str, str | None]
Story = Iterator[Step]

# What the conductor logs where somebody else has mapped its instance, or removed its mapping.
DISTURBED = ('is already mapped to', 'bigger problems', 'no instance mapping was found')


class Workload(cloud.Cloud):
    """Nova does as it does without us, and at the end everything is as it should be."""

    def test_beside_audits(self) -> None:
        with Audits(str(self.config_file)) as audits:
            self.tell_stories()
        print(f'{len(self.last)} servers, {len(audits.runs)} audits: {audits.found()}')
        self.assertEqual([], audits.failures())
        self.assertEqual([], self.disturbances())
        # What the last of them began too early to see: Nova leaves a mapping as not queued whose
        # server was deleted while its conductor was building it.
        self.assertEqual(0, audit(str(self.config_file), '--repair')[0])
        self.check_verdicts()
        self.assertEqual((0, []), audit(str(self.config_file)))

    def test_alone(self) -> None:
        start = time.monotonic()
        self.tell_stories()
        print(f'{len(self.last)} servers in {time.monotonic() - start:.0f} s')
        self.assertEqual([], self.disturbances())

    def tell_stories(self) -> None:
        """Have Nova work on several servers at a time, until each is at its story's end."""
        # The status that each server was last to have.
        self.last: dict[str, str | None] = {}
        stories = itertools.islice(itertools.cycle(self.stories()), SERVERS)
        running = collections.deque(story() for story in itertools.islice(stories, AT_A_TIME))
        awaited: dict[Story, Step] = {}
        ended = 0
        while running:
            story = running.popleft()
            if story in awaited:
                self.wait(*awaited.pop(story))
            if step := next(story, None):
                awaited[story] = step
                self.last.update([step])
                running.append(story)
                continue
            running.extend(story() for story in itertools.islice(stories, 1))
            ended += 1
            if ended % ARCHIVED_EACH == 0:
                self.archive()

    def archive(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            status = manage.DbCommands().archive_deleted_rows(all_cells=True, until_complete=True)
            # SQLite gives the ids of what is gone to new rows, which the archive would have twice.
            purged = manage.DbCommands().purge(purge_all=True, all_cells=True)
        self.assertIn(status, (0, 1), said.getvalue())
        self.assertIn(purged, (0, 3), said.getvalue())

    # What a server goes through.

    def stories(self) -> list[Callable[[], Story]]:
        return [
            self.confirmed,
            self.deleted,
            self.restored,
            self.nowhere,
            self.reverted,
            self.deleted_at_once,
            self.restored_and_deleted,
            self.soft_deleted,
        ]

    def active(self) -> Generator[Step, None, str]:
        uuid = self.boot()
        yield uuid, 'ACTIVE'
        return uuid

    def resized(self) -> Generator[Step, None, str]:
        uuid = yield from self.active()
        self.act(uuid, 'resize', flavorRef=self.large)
        yield uuid, 'VERIFY_RESIZE'
        return uuid

    def confirmed(self) -> Story:
        uuid = yield from self.resized()
        self.act(uuid, 'confirmResize')
        yield uuid, 'ACTIVE'

    def reverted(self) -> Story:
        uuid = yield from self.resized()
        self.act(uuid, 'revertResize')
        yield uuid, 'ACTIVE'
        self.act(uuid, 'forceDelete')
        yield uuid, None

    def soft_deleted(self) -> Generator[Step, None, str]:
        uuid = yield from self.active()
        self.api.delete_server(uuid)
        yield uuid, 'SOFT_DELETED'
        return uuid

    def restored(self) -> Generator[Step, None, str]:
        uuid = yield from self.soft_deleted()
        self.act(uuid, 'restore')
        yield uuid, 'ACTIVE'
        return uuid

    def restored_and_deleted(self) -> Story:
        uuid = yield from self.restored()
        self.act(uuid, 'forceDelete')
        yield uuid, None

    def deleted(self) -> Story:
        uuid = yield from self.active()
        self.act(uuid, 'forceDelete')
        yield uuid, None

    def deleted_at_once(self) -> Story:
        uuid = self.boot()
        self.api.delete_server(uuid)
        yield uuid, None

    def nowhere(self) -> Story:
        uuid = self.boot(self.too_large)
        yield uuid, 'ERROR'
        self.api.delete_server(uuid)
        yield uuid, None

    # What has come of it.

    def disturbances(self) -> list[str]:
        lines = self.stdlog.logger.output.splitlines()
        return [line for line in lines if any(text in line for text in DISTURBED)]

    def check_verdicts(self) -> None:
        nova = {
            uuid: manage.CellV2Commands().verify_instance(uuid, quiet=True) for uuid in self.last
        }
        self.assertEqual(nova, verdicts(str(self.config_file), list(self.last)))
        for uuid, status in self.last.items():
            # Deleted ones are archived, with their mapping, or not yet.
            self.assertIn(nova[uuid], (1, 3) if status is None else (0,), f'{uuid} {status}')


class Audits:
    """Audits that repair, one after the other, until the block ends."""

    def __init__(self, config_file: str) -> None:
        self.runs: list[tuple[int, list[dict[str, Any]]]] = []
        self._config_file = config_file
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.is_set():
            self.runs.append(audit(self._config_file, '--repair'))

    def failures(self) -> list[tuple[int, list[dict[str, Any]]]]:
        """The runs that did not come to their end; they may leave what Nova is at."""
        return [run for run in self.runs if run[0] not in (0, 1)]

    def found(self) -> dict[str, int]:
        return collections.Counter(row['problem'] for _, rows in self.runs for row in rows)


def audit(config_file: str, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """Run our audit; answer its exit status and the problems that it found."""
    # What Nova is writing at the moment is what it is about.
    options = ('-f', 'json', '--min-age', '0', *options)
    arguments = ('--config-file', config_file, 'cell_v2', 'audit', *options)
    done = _run_python('-m', 'nova_cellmap.cli.manage', *arguments)
    rows = json.loads(done.stdout) if done.stdout else [{'problem': done.stderr}]
    return done.returncode, rows


# One process for all of them: it takes longer to start than to answer.
_VERIFY = """
import json, sys
from nova_cellmap.cli import manage

def verify(uuid):
    command = ['cell_v2', 'verify_instance', '--quiet', '--uuid', uuid]
    return manage.main(['--config-file', sys.argv[1], *command])

print(json.dumps({uuid: verify(uuid) for uuid in sys.argv[2:]}))
"""


def verdicts(config_file: str, uuids: list[str]) -> dict[str, int]:
    """The exit status of our verify_instance, for each."""
    done = _run_python('-c', _VERIFY, config_file, *uuids)
    if done.returncode:
        raise AssertionError(done.stderr)
    answer: dict[str, int] = json.loads(done.stdout)
    return answer


def _run_python(*arguments: str) -> 'subprocess.CompletedProcess[str]':
    command = [sys.executable, '-W', 'ignore', *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)
