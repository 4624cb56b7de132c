# SPDX-License-Identifier: Apache-2.0
"""Print what failed, and how many tests passed on each database, in the last runs of stestr.

    python tools/count_tests.py REPOSITORY ...

with the Python of an environment that has stestr, and the folders given to stestr's --repo-url.
The last line reads 'N passed, M failed, K skipped'.
"""

from collections import Counter
import io
from pathlib import Path
import re
import subprocess
import sys
from typing import Any

import subunit
import testtools

# A class is named after the database that its tests use: InstanceMappingMariadb.
DATABASE = re.compile(r'(Sqlite|Mariadb|Postgresql|Pgbouncer)(?=[.)])')
NO_DATABASE = 'no database'
PASSED = {'success', 'xfail'}
COLUMNS = ('passed', 'failed', 'skipped')

Counts = Counter[tuple[str, str]]


def main(repositories: list[str]) -> int:
    counts: Counts = Counter()
    failures: list[str] = []
    for repository in repositories:
        tests = read_tests(last_run(repository))
        counts += count(repository, tests)
        failures += failed(tests)
    for line in [*failures, *table(counts)]:
        print(line)
    total = Counter(outcome for _, outcome in counts.elements())
    print(', '.join(f'{total[column]} {column}' for column in COLUMNS))
    return 1 if total['failed'] else 0


def count(repository: str, tests: list[dict[str, Any]]) -> Counts:
    """The outcomes of the last run; a run that never came about is a failure."""
    counts = Counter((database(test['id']), outcome(test['status'])) for test in tests)
    if not counts:
        print(f'{repository}: no test ran', file=sys.stderr)
        counts[NO_DATABASE, 'failed'] += 1
    return counts


def last_run(repository: str) -> bytes:
    program = str(Path(sys.executable).with_name('stestr'))
    command = [program, '--repo-url', repository, 'last', '--subunit']
    run = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    # Otherwise it has written why there is none.
    return run.stdout if run.returncode == 0 else b''


def read_tests(stream: bytes) -> list[dict[str, Any]]:
    tests: list[Any] = []
    result = testtools.StreamToDict(tests.append)
    result.startTestRun()
    subunit.ByteStreamToStreamResult(io.BytesIO(stream)).run(result)
    result.stopTestRun()
    return tests


def database(test_id: str) -> str:
    found = DATABASE.search(test_id)
    return found[1] if found else NO_DATABASE


def outcome(status: str) -> str:
    """A test that never ended has failed as well."""
    if status == 'skip':
        return 'skipped'
    return 'passed' if status in PASSED else 'failed'


def failed(tests: list[dict[str, Any]]) -> list[str]:
    """The tests that failed, a line each: of a long log often only the end is kept."""
    names = sorted(test['id'] for test in tests if outcome(test['status']) == 'failed')
    return [f'failed: {name}' for name in names]


def table(counts: Counts) -> list[str]:
    names = sorted({name for name, _ in counts}, key=lambda name: (name == NO_DATABASE, name))
    rows = [(name, *(str(counts[name, column]) for column in COLUMNS)) for name in names]
    return ['{:12}{:>9}{:>9}{:>9}'.format(*row) for row in (('database', *COLUMNS), *rows)]


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
