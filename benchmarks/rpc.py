# SPDX-License-Identifier: Apache-2.0
"""What a remote call costs, and how much of a list is on the wire.

Ten thousand mappings are serialized by us and by Nova. Then calls through the conductor are
timed beside bare calls of oslo.messaging: the same messages, byte for byte, to a server that
has the answers ready. What a call takes above a bare one is ours: objects, queries, the
database's own time.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
import contextlib
import dataclasses
import datetime
import functools
import itertools
import json
import subprocess
import sys
import time
from typing import Any
import uuid

import oslo_messaging
from oslo_serialization import jsonutils

from benchmarks import common
from benchmarks import remote
import nova_cellmap
from nova_cellmap.conductor import rpc
from nova_cellmap.conductor import rpcapi
from nova_cellmap.context import RequestContext
from nova_cellmap.objects import CellMapping
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.objects import InstanceMappingList
from nova_cellmap.objects.base import CellMapObject
from nova_cellmap.objects.base import CellMapObjectSerializer
from nova_cellmap.tests import fixtures

# Of Nova's bytes.
GOAL = 1 / 5
_MAPPINGS = 10_000
_PAGE = 1000
_DATABASES = {'sqlite': 'SQLite', 'mariadb': 'MariaDB'}
_BARE = 'bare oslo.messaging'
_LOOKUP, _LIST = 'get_by_instance_uuid', f'page of {_PAGE}'
_TIME = datetime.datetime(2025, 3, 14, 15, 9, 26)

Samples = dict[str, list[common.Sample]]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--rounds', type=int, default=9, metavar='N', help='%(default)s')
    parser.add_argument(
        '--calls', type=int, default=300, metavar='N', help='lookups in a round; %(default)s'
    )
    parser.add_argument(
        '--pages', type=int, default=40, metavar='N', help='pages in a round; %(default)s'
    )


def servers(options: argparse.Namespace) -> list[str]:
    return ['rabbitmq', 'mariadb']


def run(options: argparse.Namespace) -> dict[str, Any]:
    nova = common.nova_environment(options.nova_env)
    sizes = measure_sizes(nova)
    print_sizes(sizes)
    with contextlib.ExitStack() as stack:
        sides = [stack.enter_context(side(kind)) for kind in _DATABASES]
        bare = stack.enter_context(bare_calls(sides[0]))
        samples = common.interleaved(options.rounds, _measures(options, sides, bare))
    print_calls(samples, bare)
    return {
        'benchmark': 'rpc',
        'goal': GOAL,
        'versions': {each.name: dict(each.versions) for each in (nova, common.our_environment())},
        'bytes': sizes,
        'message_bytes': bare.sizes,
        'samples': {name: common.as_values(taken) for name, taken in samples.items()},
    }


# On the wire.


def measure_sizes(nova: common.Environment) -> dict[str, dict[str, int]]:
    """The bytes of a list as JSON, by what is in the list and by who wrote it."""
    cells = [_cell(number, name) for number, name in enumerate(remote.CELLS, start=1)]
    lists = {
        '100 projects of 3 users': _mappings(cells, projects=100, users=3),
        'each of its own project and user': _mappings(cells, projects=_MAPPINGS, users=1),
    }
    task = {'cells': list(map(_as_text, cells)), 'lists': [*map(_all_as_text, lists.values())]}
    theirs = common.run_worker(nova, 'nova_wire_worker.py', task)['sizes']
    return {
        name: {'nova': size, 'whole': _size_of(cells, rows), 'pages': _size_in_pages(cells, rows)}
        for (name, rows), size in zip(lists.items(), theirs, strict=True)
    }


def _cell(number: int, name: str) -> dict[str, Any]:
    return {
        'id': number,
        'uuid': str(uuid.uuid4()),
        'name': name,
        'disabled': False,
        'created_at': _TIME,
        'updated_at': None,
        **remote.urls(name),
    }


def _mappings(cells: list[dict[str, Any]], projects: int, users: int) -> list[dict[str, Any]]:
    """Rows that are spread over the cells; one in ten has been changed since it was made."""
    owners = [
        (project, uuid.uuid4().hex)
        for project in (uuid.uuid4().hex for _ in range(projects))
        for _ in range(users)
    ]
    return [
        {
            'id': number,
            'instance_uuid': str(uuid.uuid4()),
            'cell_uuid': cells[number % len(cells)]['uuid'],
            'project_id': project,
            'user_id': user,
            'queued_for_delete': False,
            'created_at': _TIME + datetime.timedelta(seconds=7 * number),
            'updated_at': None if number % 10 else _TIME + datetime.timedelta(days=number),
        }
        for number, (project, user) in enumerate(
            itertools.islice(itertools.cycle(owners), _MAPPINGS), start=1
        )
    ]


def _all_as_text(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list(map(_as_text, rows))


def _as_text(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose times JSON can have."""
    return {
        name: value.isoformat() if isinstance(value, datetime.datetime) else value
        for name, value in row.items()
    }


def _size_of(cells: list[dict[str, Any]], rows: list[dict[str, Any]]) -> int:
    context = RequestContext(overwrite=False)
    objects = {each['uuid']: CellMapping(context, **each) for each in cells}
    for cell in objects.values():
        cell.obj_reset_changes()
    whole = InstanceMappingList(
        context,
        objects=[
            InstanceMapping.from_row(context, row, objects[row['cell_uuid']]) for row in rows
        ],
    )
    whole.obj_reset_changes()
    return _size(CellMapObjectSerializer().serialize_entity(context, whole))


def _size_in_pages(cells: list[dict[str, Any]], rows: list[dict[str, Any]]) -> int:
    """As the conductor answers: each page has its cells and owners again."""
    starts = range(0, len(rows), _PAGE)
    return sum(_size_of(cells, rows[start : start + _PAGE]) for start in starts)


def _size(primitive: Any) -> int:
    return len(jsonutils.dumps(primitive).encode())


def print_sizes(sizes: Mapping[str, Mapping[str, int]]) -> None:
    rows = []
    for name, taken in sizes.items():
        rows.append(_size_row(name, common.NOVA, taken['nova'], taken['nova']))
        rows.append(_size_row('', f'{common.OURS}, one list', taken['whole'], taken['nova']))
        rows.append(_size_row('', f'in pages of {_PAGE}', taken['pages'], taken['nova']))
    worst = max(max(each['whole'], each['pages']) / each['nova'] for each in sizes.values())
    common.print_table(
        f'{_MAPPINGS:,} mappings in {len(remote.CELLS)} cells, as JSON',
        ('', '', '>bytes', '>a mapping', ">of Nova's"),
        rows,
        (
            f"at most {worst:.3f} of Nova's; the goal of {GOAL} is "
            f'{"reached" if worst <= GOAL else "missed"}',
        ),
    )


def _size_row(name: str, side: str, size: int, theirs: int) -> tuple[str, ...]:
    ratio = '' if size == theirs else f'{size / theirs:.3f}'
    return name, side, f'{size:,}', f'{size / _MAPPINGS:,.0f}', ratio


# What a call takes.


@dataclasses.dataclass(frozen=True)
class Side:
    """A conductor on a database that has mappings."""

    name: str
    conductor: fixtures.Conductor
    context: RequestContext
    instances: list[str]

    def look_up(self) -> None:
        """Looks up each of the instances in turn, however often it is called."""
        InstanceMapping.get_by_instance_uuid(self.context, next(self._turns))

    def read_page(self) -> None:
        page = InstanceMappingList.get_all(self.context, limit=_PAGE)
        if len(page) != _PAGE:
            raise common.Failure(f'{self.name} answered {len(page)} mappings, not {_PAGE}')

    @functools.cached_property
    def _turns(self) -> Iterator[str]:
        return itertools.cycle(self.instances)


@contextlib.contextmanager
def side(kind: str) -> Iterator[Side]:
    with remote.conductor(kind, {'conductor': {'workers': 1}}) as (conductor, cells):
        context = RequestContext(user_id='user', project_id='project', overwrite=False)
        rows = _mappings([{'uuid': each} for each in cells.values()], projects=100, users=3)
        names = ('instance_uuid', 'cell_uuid', 'project_id', 'user_id')
        InstanceMappingList.create_bulk(
            context,
            [InstanceMapping(context, **{name: row[name] for name in names}) for row in rows],
        )
        instances = [row['instance_uuid'] for row in rows]
        yield Side(_DATABASES[kind], conductor, context, instances)


@dataclasses.dataclass(frozen=True)
class Bare:
    """Calls without us of a server that does nothing; ``sizes`` are those of the messages."""

    look_up: Callable[[], Any]
    read_page: Callable[[], Any]
    sizes: Mapping[str, Mapping[str, int]]


@contextlib.contextmanager
def bare_calls(like: Side) -> Iterator[Bare]:
    """Calls whose messages are those of a side's calls."""
    lookup, page = _recorded(like, like.look_up), _recorded(like, like.read_page)
    conf = like.conductor.conf
    topic = f'bare-{uuid.uuid4().hex}'
    task = {
        'transport_url': conf.transport_url,
        'topic': topic,
        'namespace': rpc.NAMESPACE,
        'version': rpc.VERSION,
        'replies': {each.arguments['objmethod']: each.reply for each in (lookup, page)},
    }
    transport = rpc.transport(conf)
    target = oslo_messaging.Target(
        topic=topic, namespace=task['namespace'], version=task['version']
    )
    client = oslo_messaging.get_rpc_client(transport, target)
    context = like.context.to_dict()
    with _server(task):
        yield Bare(
            functools.partial(client.call, context, lookup.method, **lookup.arguments),
            functools.partial(client.call, context, page.method, **page.arguments),
            {_LOOKUP: lookup.sizes, _LIST: page.sizes},
        )
    transport.cleanup()


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A call and its answer as they crossed."""

    method: str
    arguments: dict[str, Any]
    reply: Any

    @property
    def sizes(self) -> dict[str, int]:
        request = {'method': self.method, 'args': self.arguments}
        return {'request': _size(request), 'reply': _size(self.reply)}


def _recorded(side: Side, call: Callable[[], None]) -> Recorded:
    serializer = CellMapObjectSerializer()
    recorded: list[Recorded] = []

    def caller(context: RequestContext, name: str, **arguments: Any) -> Any:
        result = side.conductor.api.caller(context, name, **arguments)
        sent = {key: serializer.serialize_entity(context, each) for key, each in arguments.items()}
        recorded.append(Recorded(name, sent, serializer.serialize_entity(context, result)))
        return result

    with _through(rpcapi.ConductorAPI(caller, _PAGE)):
        call()
    return recorded[0]


@contextlib.contextmanager
def _server(task: Mapping[str, Any]) -> Iterator[None]:
    script = str(common.ROOT / 'benchmarks' / 'bare_server.py')
    command = [sys.executable, '-W', 'ignore', '-P', script]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise AssertionError
        process.stdin.write(json.dumps(task) + '\n')
        process.stdin.flush()
        if process.stdout.readline() != 'ready\n':
            raise common.Failure('The bare server did not start.')
        # Popen closes its standard input, and so ends it.
        yield


@contextlib.contextmanager
def _through(api: rpcapi.ConductorAPI | None) -> Iterator[None]:
    """Have remotable methods go there, or run here."""
    CellMapObject.indirection_api = api
    try:
        yield
    finally:
        CellMapObject.indirection_api = None


def _measures(options: argparse.Namespace, sides: list[Side], bare: Bare) -> common.Measures:
    measures: dict[str, Callable[[], common.Sample]] = {}
    for what, count, name in (
        (_LOOKUP, options.calls, 'look_up'),
        (_LIST, options.pages, 'read_page'),
    ):
        measures[_name(what, _BARE)] = functools.partial(_take, count, getattr(bare, name))
        for each in sides:
            call = getattr(each, name)
            measures[_name(what, each.name)] = functools.partial(_take_remote, each, count, call)
            measures[_name(what, _here(each.name))] = functools.partial(
                _take_here, each, count, call
            )
    return measures


def _name(what: str, side: str) -> str:
    return f'{what}: {side}'


def _here(name: str) -> str:
    return f'{name}, without the conductor'


def _take_remote(side: Side, count: int, call: Callable[[], Any]) -> common.Sample:
    with _through(side.conductor.api):
        return _take(count, call)


def _take_here(side: Side, count: int, call: Callable[[], Any]) -> common.Sample:
    nova_cellmap.configure(side.conductor.database.conf())
    with _through(None):
        return _take(count, call)


def _take(count: int, call: Callable[[], Any]) -> common.Sample:
    # Connects, where nobody has yet.
    call()
    start, cpu_start = time.perf_counter(), time.process_time()
    for _ in range(count):
        call()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return common.Sample(count, seconds, cpu_seconds)


# What is told of it.


def print_calls(samples: Samples, bare: Bare) -> None:
    for what in (_LOOKUP, _LIST):
        sizes = bare.sizes[what]
        taken = samples[_name(what, _BARE)]
        common.print_table(
            f'{what}: request {sizes["request"]:,} bytes, reply {sizes["reply"]:,} bytes',
            ('', '>microseconds a call', ">caller's CPU", '>above bare', '>times bare'),
            [_call_row(name, samples[_name(what, name)], taken) for name in _sides()],
            (
                f'{len(taken)} rounds of {taken[0].count} calls, interleaved; median '
                "(lowest - highest); above and times bare: of each round's own pair",
            ),
        )


def _sides() -> list[str]:
    return [_BARE, *(each for name in _DATABASES.values() for each in (name, _here(name)))]


def _call_row(
    name: str, samples: list[common.Sample], bare: list[common.Sample]
) -> tuple[str, ...]:
    cpu = common.Spread.of(map(_microseconds, common.by_cpu(samples)))
    pairs = [
        (_microseconds(ours), _microseconds(theirs))
        for ours, theirs in zip(samples, bare, strict=True)
    ]
    return (
        name,
        common.Spread.of(map(_microseconds, samples)).render(),
        f'{cpu.median:,.0f}',
        '' if name == _BARE else f'{common.Spread.of(a - b for a, b in pairs).median:,.0f}',
        '' if name == _BARE else common.Spread.of(a / b for a, b in pairs).render('.2f'),
    )


def _microseconds(sample: common.Sample) -> float:
    return sample.seconds / sample.count * 1_000_000
