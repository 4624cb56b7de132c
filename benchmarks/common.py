# SPDX-License-Identifier: Apache-2.0
"""What every benchmark needs: environments, rounds, medians, tables."""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
import dataclasses
import datetime
import json
import os
from pathlib import Path
import platform
import statistics
import subprocess
import sys
import sysconfig
import time
from typing import Any, Protocol
import venv

from rich import console
from rich import table

ROOT = Path(__file__).resolve().parent.parent
NOVA_VERSION = '34.0.0'
NOVA = f'Nova {NOVA_VERSION}'
OURS = 'nova_cellmap'
# setuptools 82 dropped pkg_resources, which OpenStack's libraries may still import.
_NOVA_REQUIREMENTS = (f'nova=={NOVA_VERSION}', 'PyMySQL', 'psycopg2-binary', 'setuptools<82')
_VERSIONS_OF = (
    'nova',
    'nova-cellmap',
    'SQLAlchemy',
    'oslo.db',
    'oslo.messaging',
    'oslo.versionedobjects',
    'PyMySQL',
    'mysqlclient',
    'psycopg2-binary',
)
# The variables that name the servers; the keys are the names that tools/servers.py knows.
SERVER_URLS = {
    'mariadb': 'NOVA_CELLMAP_TEST_MARIADB_URL',
    'postgresql': 'NOVA_CELLMAP_TEST_POSTGRESQL_URL',
    'rabbitmq': 'NOVA_CELLMAP_TEST_RABBITMQ_URL',
    'memcached': 'NOVA_CELLMAP_TEST_MEMCACHED_URL',
}


class Failure(Exception):
    """The benchmark cannot go on, and says why."""


class Subject(Protocol):
    """What a module that measures something offers."""

    __doc__: str | None

    def add_options(self, parser: argparse.ArgumentParser) -> None: ...

    def servers(self, options: argparse.Namespace) -> list[str]:
        """The servers that it needs."""

    def run(self, options: argparse.Namespace) -> dict[str, Any]:
        """Measure, print tables, and answer every number for the JSON file.

        ``broken`` among them names promises that were not kept.
        """


# Environments: ours is the one that runs this, Nova has one of its own.


@dataclasses.dataclass(frozen=True)
class Environment:
    """Where a side's programs are."""

    name: str
    scripts: Path
    versions: Mapping[str, str]

    @property
    def python(self) -> Path:
        return self.scripts / 'python'


def our_environment() -> Environment:
    return _environment(OURS, Path(sysconfig.get_path('scripts')), needs='nova-cellmap')


def nova_environment(folder: Path | None = None) -> Environment:
    """Nova's environment: that in *folder*, or one that is made on first use."""
    environment = _environment(NOVA, (folder or _nova_folder()).absolute() / 'bin', needs='nova')
    if environment.versions['nova'] != NOVA_VERSION:
        raise Failure(f'{folder} has Nova {environment.versions["nova"]}, not {NOVA_VERSION}')
    return environment


def _nova_folder() -> Path:
    folder = ROOT / '.tox' / f'benchmarks-nova-{NOVA_VERSION}'
    complete = folder / 'complete'
    if not complete.exists():
        say(f'Installing {NOVA} into {folder.relative_to(ROOT)}, once')
        venv.create(folder, clear=True, with_pip=True)
        pip: list[str | Path] = [folder / 'bin' / 'pip', 'install', '--quiet']
        run([*pip, *_NOVA_REQUIREMENTS])
        # It is compiled, with headers that not every machine has; then it is left out.
        run([*pip, 'mysqlclient'], expected=(0, 1))
        complete.touch()
    return folder


def _environment(name: str, scripts: Path, needs: str) -> Environment:
    code = (
        'import importlib.metadata, json; print(json.dumps({each.name: each.version '
        'for each in importlib.metadata.distributions()}))'
    )
    try:
        installed = json.loads(run([scripts / 'python', '-c', code]).stdout)
    except OSError as error:
        raise Failure(f'{name}: {error}') from error
    if needs not in installed:
        raise Failure(f'{name}: {needs} is not installed beside {scripts / "python"}')
    return Environment(
        name, scripts, {each: installed[each] for each in _VERSIONS_OF if each in installed}
    )


# Running what is measured.


@dataclasses.dataclass(frozen=True)
class Sample:
    """So many things were done in so much time.

    ``cpu_seconds`` is the process's own, where it is known: beside other work on the same
    machine it varies less.
    """

    count: int
    seconds: float
    cpu_seconds: float | None = None

    @property
    def rate(self) -> float:
        return self.count / self.seconds


def run(
    command: Sequence[str | Path], *, expected: Iterable[int] = (0,), text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; *text* is its standard input."""
    words = [str(word) for word in command]
    done = subprocess.run(words, input=text or '', capture_output=True, text=True, check=False)
    if done.returncode not in expected:
        output = done.stdout + done.stderr
        raise Failure(f'{" ".join(words)}\nended with status {done.returncode}:\n{output}')
    return done


def timed(commands: Iterable[Sequence[str | Path]], expected: Iterable[int]) -> float:
    """The wall clock's seconds that the commands take, one after the other."""
    start = time.perf_counter()
    for command in commands:
        run(command, expected=expected)
    return time.perf_counter() - start


def run_worker(environment: Environment, script: str, task: Mapping[str, Any]) -> dict[str, Any]:
    """Have one of our scripts do a task in another environment's Python.

    The task and the answer are JSON on standard input and output.
    """
    # -P, or our folder would come first on the script's path.
    command: list[str | Path] = [environment.python, '-P', ROOT / 'benchmarks' / script]
    done = run(command, text=json.dumps(task))
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


Measures = Mapping[str, Callable[[], Sample]]


def interleaved(rounds: int, measures: Measures) -> dict[str, list[Sample]]:
    """Take each measure once a round, so that what else the machine does meets them all."""
    samples: dict[str, list[Sample]] = {name: [] for name in measures}
    for number in range(1, rounds + 1):
        for name, measure in measures.items():
            sample = measure()
            samples[name].append(sample)
            say(
                f'round {number} of {rounds}: {name}: {sample.count:,} in '
                f'{sample.seconds:.2f} s, {sample.rate:,.0f}/s'
            )
    return samples


# Medians and tables.


@dataclasses.dataclass(frozen=True)
class Spread:
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> 'Spread':
        values = list(values)
        return cls(statistics.median(values), min(values), max(values))

    def render(self, form: str = ',.0f') -> str:
        return f'{self.median:{form}} ({self.low:{form}} - {self.high:{form}})'


def rates(samples: Iterable[Sample]) -> Spread:
    return Spread.of(sample.rate for sample in samples)


def seconds(samples: Iterable[Sample]) -> Spread:
    return Spread.of(sample.seconds for sample in samples)


def by_cpu(samples: Iterable[Sample]) -> list[Sample]:
    """The same with the process's own time for the clock's, of those where it is known."""
    return [
        dataclasses.replace(sample, seconds=sample.cpu_seconds)
        for sample in samples
        if sample.cpu_seconds is not None
    ]


def times_as_fast(ours: Iterable[Sample], theirs: Iterable[Sample]) -> Spread:
    """How many times the other's rate ours is, from each round's own pair."""
    return Spread.of(our.rate / their.rate for our, their in zip(ours, theirs, strict=True))


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()
) -> None:
    """Print a table; columns whose heading begins with '>' are numbers."""
    # Where nobody looks rich would take 80 columns, and break the numbers.
    out = console.Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    shown = table.Table(title=title, title_justify='left')
    for column in columns:
        shown.add_column(column.lstrip('>'), justify='right' if column.startswith('>') else 'left')
    for row in rows:
        shown.add_row(*row)
    out.print(shown)
    for note in notes:
        out.print(f'  {note}')
    out.print()


# Reports.


def about_the_run() -> dict[str, Any]:
    return {
        'time': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
        'python': platform.python_version(),
        'platform': platform.platform(),
        'cpus': os.cpu_count(),
        'load_before': os.getloadavg(),
    }


def as_values(samples: Iterable[Sample]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(sample) | {'rate': sample.rate} for sample in samples]


def write_json(file: Path, report: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(report, indent=1) + '\n')


def say(line: str) -> None:
    """Tell a person how it goes; standard output is for the tables."""
    print(line, file=sys.stderr, flush=True)
