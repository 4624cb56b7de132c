# SPDX-License-Identifier: Apache-2.0
"""Run a benchmark.

    python -m benchmarks NAME [options]

from the root of the checkout; 'suite' runs those that the documentation speaks of. A benchmark
that needs a server takes the one that NOVA_CELLMAP_TEST_MARIADB_URL, ..._POSTGRESQL_URL or
..._RABBITMQ_URL names; where that is not set, tools/servers.py runs one meanwhile. The exit
status is 1 where a promise was broken.
"""

import argparse
import os
from pathlib import Path
import sys

from benchmarks import audit
from benchmarks import cache
from benchmarks import common
from benchmarks import growth
from benchmarks import map_instances
from benchmarks import objects
from benchmarks import paths
from benchmarks import rpc
from benchmarks import scatter
from benchmarks import soak
from benchmarks import startup
from benchmarks import suite

SUBJECTS: dict[str, common.Subject] = {
    'audit': audit,
    'cache': cache,
    'growth': growth,
    'map_instances': map_instances,
    'objects': objects,
    'paths': paths,
    'rpc': rpc,
    'scatter': scatter,
    'soak': soak,
    'startup': startup,
    'suite': suite,
}


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    subject = SUBJECTS[options.subject]
    missing = [
        name for name in subject.servers(options) if common.SERVER_URLS[name] not in os.environ
    ]
    if missing:
        run_beside(missing, arguments)
    try:
        report = common.about_the_run() | subject.run(options)
    except common.Failure as failure:
        common.say(str(failure))
        return 1
    if options.json:
        common.write_json(options.json, report | {'load_after': os.getloadavg()})
    return 1 if report.get('broken') else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks', description=(__doc__ or '').split('\n', maxsplit=1)[0]
    )
    names = parser.add_subparsers(dest='subject', metavar='NAME', required=True)
    for name, subject in SUBJECTS.items():
        summary = (subject.__doc__ or '').split('\n', maxsplit=1)[0]
        options = names.add_parser(name, help=summary, description=summary)
        options.add_argument('--json', type=Path, metavar='FILE', help='write every number here')
        options.add_argument(
            '--nova-env',
            type=Path,
            metavar='DIR',
            help='a virtual environment with Nova in it; made under .tox by default',
        )
        subject.add_options(options)
    return parser.parse_args(arguments)


def run_beside(servers: list[str], arguments: list[str]) -> None:
    """Begin again, as the command of tools/servers.py."""
    only = [word for name in servers for word in ('--only', name)]
    program = [
        sys.executable,
        str(common.ROOT / 'tools' / 'servers.py'),
        'run',
        '--usual-defaults',
        *only,
    ]
    os.execv(sys.executable, [*program, '--', sys.executable, '-m', 'benchmarks', *arguments])


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
