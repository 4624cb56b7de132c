# SPDX-License-Identifier: Apache-2.0
"""Many clients of one conductor, while it is killed and the message queue restarts.

Each client knows what it was told and finds any answer that is against it; at the end the
database is read and must hold what was acknowledged, and nothing else. A call may end in
MessagingTimeout, and in no other error. `--calls 2000` is the quick form.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
import contextlib
import dataclasses
import multiprocessing
import os
from pathlib import Path
import shlex
import shutil
import signal
import statistics
import subprocess
import threading
import time
from typing import Any

import oslo_messaging
import sqlalchemy as sa

from benchmarks import common
from benchmarks import remote
from benchmarks import soak_client
from nova_cellmap.conductor import caller as conductor_caller
from nova_cellmap.context import get_admin_context
from nova_cellmap.db import engine as db_engine
from nova_cellmap.db.schemas import own
from nova_cellmap.tests import fixtures

_WORKERS = 2
_CONTROL = 'NOVA_CELLMAP_TEST_RABBITMQCTL'
_QUIET = 'undisturbed'
# How long a conductor may take to answer again, and orphaned workers to end.
_RECOVERY = 120
# The memory is flat where its last quarter is within this of the one before.
_FLAT = 0.03
# In so many seconds, or nobody can tell.
_LONG_ENOUGH = 100
_BARS = ' ▁▂▃▄▅▆▇█'


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--calls', type=int, default=50_000, metavar='N', help='%(default)s')
    parser.add_argument('--clients', type=int, default=8, metavar='N', help='%(default)s')
    parser.add_argument(
        '--database',
        choices=('sqlite', 'mariadb', 'postgresql'),
        default='mariadb',
        help="what the conductor's is on; %(default)s",
    )
    parser.add_argument(
        '--timeout',
        type=int,
        default=10,
        metavar='SECONDS',
        help='rpc_response_timeout of the clients; %(default)s',
    )
    parser.add_argument('--log', type=Path, metavar='FILE', help="keep the conductor's log here")


def servers(options: argparse.Namespace) -> list[str]:
    return ['rabbitmq', *({options.database} - {'sqlite'})]


def run(options: argparse.Namespace) -> dict[str, Any]:
    if _CONTROL not in os.environ:
        raise common.Failure(f'{_CONTROL} is not set: the broker could not be restarted')
    settings = {
        'DEFAULT': {'rpc_response_timeout': options.timeout},
        'conductor': {'workers': _WORKERS},
    }
    with remote.conductor(options.database, settings) as (conductor, cells):
        soak = Soak(options, conductor, list(cells.values()))
        soak.run()
        check_database(soak.results)
        if options.log:
            shutil.copyfile(conductor.log_file, options.log)
    broken = find_broken(soak)
    print_report(soak, broken)
    return {
        'benchmark': 'soak',
        'database': options.database,
        'clients': options.clients,
        'versions': dict(common.our_environment().versions),
        **report(soak),
        'broken': broken,
    }


# What happens meanwhile.


@dataclasses.dataclass(frozen=True)
class Phase:
    """A time in which something was done to the conductor or the queue."""

    name: str
    began: float
    # When the conductor answered again.
    ended: float


class Soak:
    """The clients at work, and what is done to them."""

    def __init__(
        self, options: argparse.Namespace, conductor: fixtures.Conductor, cells: list[str]
    ) -> None:
        self._options = options
        self._conductor = conductor
        self._cells = cells
        self.phases: list[Phase] = []
        self.results: list[soak_client.Result] = []
        self.memory = Memory(conductor)
        # After how many of the calls what is done. Most of them come after the last.
        self._trouble: list[tuple[float, str, Callable[[], None]]] = [
            (0.1, 'conductor killed', self._kill_all),
            (0.2, 'queue restarted', self._restart_queue),
            (0.3, 'conductor killed, parent alone', self._kill_parent),
        ]

    @property
    def calls(self) -> list[soak_client.Call]:
        return [call for result in self.results for call in result.calls]

    def run(self) -> None:
        context = multiprocessing.get_context('spawn')
        counter = context.Value('l', 0)
        with (
            self.memory.sampled(),
            futures.ProcessPoolExecutor(
                self._options.clients, context, soak_client.share, (counter,)
            ) as pool,
        ):
            pending = [pool.submit(soak_client.run, task) for task in self._tasks()]
            try:
                self._watch(pending, counter)
            finally:
                # Whatever failed here, the clients end.
                counter.value = max(counter.value, self._options.calls)
            self.results = [each.result() for each in pending]
        if self._trouble:
            raise common.Failure('The clients were done before all was over: give more --calls')

    def _tasks(self) -> list[soak_client.Task]:
        file = str(self._conductor.config_file)
        return [
            soak_client.Task(number, self._options.calls, file, self._cells)
            for number in range(1, self._options.clients + 1)
        ]

    def _watch(self, pending: Iterable[futures.Future[Any]], counter: Any) -> None:
        told = time.monotonic()
        while not any(each.done() for each in pending):
            time.sleep(0.1)
            done = counter.value
            if self._trouble and done >= self._trouble[0][0] * self._options.calls:
                self._make(*self._trouble.pop(0)[1:])
            if time.monotonic() > told + 15:
                told = time.monotonic()
                common.say(f'{done:,} calls; the workers have {self.memory.now():,} KiB')

    def _make(self, name: str, trouble: Callable[[], None]) -> None:
        common.say(f'{name} ...')
        began = time.monotonic()
        trouble()
        over = time.monotonic()
        self._await_answer(over + _RECOVERY)
        self.phases.append(Phase(name, began, time.monotonic()))
        common.say(
            f'{name}: {over - began:.1f} s, and answers {time.monotonic() - over:.1f} s later'
        )

    def _await_answer(self, end: float) -> None:
        caller = conductor_caller.Caller(self._conductor.conf)
        while True:
            try:
                caller(get_admin_context(), 'ping', timeout=1)
                break
            except oslo_messaging.MessagingTimeout as error:
                if time.monotonic() > end:
                    raise common.Failure(f'The conductor does not answer again: {error}') from None
        caller.close()

    def _kill_all(self) -> None:
        """Kill it as a machine's loss does, and start it while callers still wait."""
        # All at once: a worker that sees its parent die answers what it has.
        for process in (self._conductor.process.pid, *self.memory.workers()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._conductor.process.wait()
        self._conductor.start()
        self.memory.restarted()

    def _kill_parent(self) -> None:
        """Kill the parent, whose workers must end, and start it once the callers gave up."""
        workers = self.memory.workers()
        began = time.monotonic()
        self._conductor.stop(signal.SIGKILL)
        while any(map(_resident, workers)):
            if time.monotonic() > began + _RECOVERY:
                raise common.Failure('The workers of a conductor that was killed do not end.')
            time.sleep(0.05)
        common.say(f'the workers ended {time.monotonic() - began:.1f} s after their parent')
        time.sleep(max(0.0, began + self._options.timeout + 2 - time.monotonic()))
        self._conductor.start()
        self.memory.restarted()

    def _restart_queue(self) -> None:
        for action in ('stop_app', 'start_app'):
            subprocess.run(
                [*shlex.split(os.environ[_CONTROL]), action], check=True, capture_output=True
            )


class Memory:
    """The resident memory of the conductor's workers, all together, each second."""

    def __init__(self, conductor: fixtures.Conductor) -> None:
        self._conductor = conductor
        self.started = time.monotonic()
        # When, and KiB.
        self.samples: list[tuple[float, int]] = []

    @contextlib.contextmanager
    def sampled(self) -> Iterator[None]:
        stopped = threading.Event()
        thread = threading.Thread(target=self._sample, args=(stopped,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def restarted(self) -> None:
        """Begin again: these are other processes."""
        self.started = time.monotonic()

    def workers(self) -> list[int]:
        parent = self._conductor.process.pid
        with contextlib.suppress(OSError):
            # Any of its threads may have made them.
            threads = Path(f'/proc/{parent}/task').glob('*/children')
            return [int(pid) for thread in threads for pid in thread.read_text().split()]
        return []

    def now(self) -> int:
        return sum(_resident(pid) for pid in self.workers())

    def quarters(self) -> list[float]:
        """The mean of each quarter of the time since the last start, in KiB."""
        taken = self._taken()
        bounds = [len(taken) * number // 4 for number in range(5)]
        return [
            statistics.fmean(taken[start:end]) if end > start else 0.0
            for start, end in zip(bounds, bounds[1:], strict=False)
        ]

    def growth(self) -> float:
        """By how much the last quarter is above the one before, as a part of that."""
        *_, third, last = self.quarters()
        return last / third - 1 if third else 0.0

    def is_flat(self) -> bool | None:
        """None where that cannot be told yet."""
        return self.growth() <= _FLAT if len(self._taken()) >= _LONG_ENOUGH else None

    def plot(self, columns: int = 60) -> str:
        taken = self._taken()
        step = max(1, len(taken) / columns)
        shown = [taken[int(number * step)] for number in range(int(len(taken) / step))]
        top = max(shown, default=1)
        return ''.join(_BARS[round(size / top * (len(_BARS) - 1))] for size in shown)

    def _taken(self) -> list[int]:
        return [size for when, size in self.samples if when > self.started]

    def _sample(self, stopped: threading.Event) -> None:
        while not stopped.wait(1):
            if len(self.workers()) == _WORKERS:
                self.samples.append((time.monotonic(), self.now()))


def _resident(pid: int) -> int:
    """KiB."""
    with contextlib.suppress(OSError):
        for line in Path(f'/proc/{pid}/status').read_text().splitlines():
            if line.startswith('VmRSS:'):
                return int(line.split()[1])
    return 0


# What became of it.


def check_database(results: Iterable[soak_client.Result]) -> None:
    """Compare what each client knows with what its project has, past all of the package."""
    table = own.instance_mapping
    with db_engine.of().writer.connect() as connection:
        rows = connection.execute(sa.select(table)).all()
    for result in results:
        found = {
            row.instance_uuid: soak_client.State(
                row.cell_uuid, bool(row.queued_for_delete), row.user_id
            )
            for row in rows
            if row.project_id == result.project_id
        }
        for instance in found.keys() | result.instances.keys():
            so, known = found.get(instance), result.instances.get(instance)
            if so != known:
                result.broken.setdefault(soak_client.LOST, []).append(
                    f'{instance}: at the end {so}, known {known}'
                )


def find_broken(soak: Soak) -> dict[str, list[str]]:
    """Which promises were not kept, and how."""
    broken: dict[str, list[str]] = {}
    for result in soak.results:
        for promise, cases in result.broken.items():
            broken.setdefault(promise, []).extend(cases)
    if soak.memory.is_flat() is False:
        broken['memory'] = [f'grew by {soak.memory.growth():.1%} in the last quarter']
    return broken


def phase_of(call: soak_client.Call, phases: Iterable[Phase]) -> str:
    """What was going on while a call was."""
    for phase in phases:
        if call.began < phase.ended and call.ended > phase.began:
            return phase.name
    return _QUIET


def report(soak: Soak) -> dict[str, Any]:
    began = min(call.began for call in soak.calls)
    return {
        'calls': len(soak.calls),
        'seconds': _seconds(soak),
        'outcomes': {
            outcome: sum(call.outcome == outcome for call in soak.calls)
            for outcome in (soak_client.ANSWERED, soak_client.TIMED_OUT, soak_client.FAILED)
        },
        'writes_in_doubt': sum(result.writes_in_doubt for result in soak.results),
        'phases': [
            {
                'name': phase.name,
                'began': phase.began - began,
                'ended': phase.ended - began,
                **_about(_in_phase(soak, phase.name)),
            }
            for phase in soak.phases
        ],
        'kinds': {kind: _about(calls) for kind, calls in _by_kind(soak).items()},
        'resident_kib': {
            'since_last_start': soak.memory.started - began,
            'quarters': soak.memory.quarters(),
            'growth_of_last_quarter': soak.memory.growth(),
            'samples': [(when - began, size) for when, size in soak.memory.samples],
        },
    }


def print_report(soak: Soak, broken: Mapping[str, list[str]]) -> None:
    calls = soak.calls
    clients = len(soak.results)
    common.print_table(
        f'{len(calls):,} calls of {clients} clients in {_seconds(soak):.0f} s, by what was called',
        ('', *_COLUMNS),
        [_row(kind, calls) for kind, calls in sorted(_by_kind(soak).items())],
    )
    names = [_QUIET, *(phase.name for phase in soak.phases)]
    common.print_table(
        'By what happened meanwhile',
        ('', *_COLUMNS),
        [_row(name, _in_phase(soak, name)) for name in names] + [_row('all', calls)],
        (
            'ms: of calls that were answered',
            *(
                f'{phase.name}: answered again after {phase.ended - phase.began:.1f} s'
                for phase in soak.phases
            ),
            f'{len(calls) / _seconds(soak):,.0f} calls/s in all; '
            f'{sum(result.writes_in_doubt for result in soak.results)} writes timed out '
            'and were looked up',
        ),
    )
    print_memory(soak.memory)
    print_promises(soak, broken)


def print_memory(memory: Memory) -> None:
    quarters = memory.quarters()
    verdict = {True: 'flat', False: 'not flat', None: 'too short a time to tell'}
    common.print_table(
        f'Resident memory of the {_WORKERS} workers since the last start',
        ('', *(f'>quarter {number}' for number in range(1, 5))),
        [('mean, KiB', *(f'{mean:,.0f}' for mean in quarters))],
        (
            f'|{memory.plot()}|',
            f'last quarter against the one before: {memory.growth():+.2%}: '
            f'{verdict[memory.is_flat()]} (within {_FLAT:.0%})',
        ),
    )


def print_promises(soak: Soak, broken: Mapping[str, list[str]]) -> None:
    mapped = sum(len(result.instances) for result in soak.results)
    gone = sum(len(result.gone) for result in soak.results)
    names = list(dict.fromkeys([*soak_client.PROMISES, *broken]))
    common.print_table(
        'Promises',
        ('', '>broken'),
        [(name, f'{len(broken.get(name, ())):,}') for name in names],
        (
            f'as acknowledged, {mapped:,} instances are mapped at the end and {gone:,} no longer',
            *(f'{name}: {case[:300]}' for name, cases in broken.items() for case in cases[:3]),
        ),
    )


_COLUMNS = ('>calls', '>answered', '>timed out', '>failed', '>median, ms', '>99th, ms', '>max, ms')


def _row(name: str, calls: list[soak_client.Call]) -> tuple[str, ...]:
    about = _about(calls)
    counts = ('calls', soak_client.ANSWERED, soak_client.TIMED_OUT, soak_client.FAILED)
    times = ('median_ms', '99th_ms', 'max_ms')
    return (
        name,
        *(f'{about[count]:,}' for count in counts),
        *(f'{about[value]:,.1f}' for value in times),
    )


def _about(calls: list[soak_client.Call]) -> dict[str, Any]:
    taken = sorted(call.seconds * 1000 for call in calls if call.outcome == soak_client.ANSWERED)
    return {
        'calls': len(calls),
        **{
            outcome: sum(call.outcome == outcome for call in calls)
            for outcome in (soak_client.ANSWERED, soak_client.TIMED_OUT, soak_client.FAILED)
        },
        'median_ms': statistics.median(taken) if taken else 0.0,
        '99th_ms': taken[len(taken) * 99 // 100] if taken else 0.0,
        'max_ms': taken[-1] if taken else 0.0,
    }


def _by_kind(soak: Soak) -> dict[str, list[soak_client.Call]]:
    kinds: dict[str, list[soak_client.Call]] = {}
    for call in soak.calls:
        kinds.setdefault(call.kind, []).append(call)
    return kinds


def _in_phase(soak: Soak, name: str) -> list[soak_client.Call]:
    return [call for call in soak.calls if phase_of(call, soak.phases) == name]


def _seconds(soak: Soak) -> float:
    return max(call.ended for call in soak.calls) - min(call.began for call in soak.calls)
