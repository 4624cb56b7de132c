# SPDX-License-Identifier: Apache-2.0
"""A conductor that is sent what :mod:`.hostile` makes, beside a client that means well."""

import collections
import pathlib
import random
import statistics
import threading
import time
from typing import Any
import uuid

from nova_cellmap import objects
from nova_cellmap.conductor import caller as conductor_caller
from nova_cellmap.conductor import rpcapi
from nova_cellmap.context import get_admin_context
from nova_cellmap.objects import base
from nova_cellmap.tests import fixtures
from nova_cellmap.tests.functional.conductor import hostile

# The kinds that take a hundred times as long as others come a twentieth as often.
_HEAVY = frozenset({'many', 'compressed'})
# What may not be there.
WRONG = ('leaks', 'wrong rows', 'honest failures', 'unforeseen')
_AT_ONCE = 100
_HONEST_PAUSE = 0.02
_MAPPINGS = 200


class Honest(threading.Thread):
    """A client that looks instances up all the time.

    :ivar seconds: how long each call took
    :ivar failures: what they raised
    """

    def __init__(self, conf: Any, uuids: list[str]) -> None:
        super().__init__(daemon=True)
        self._api = rpcapi.ConductorAPI(conductor_caller.Caller(conf), 1000)
        self._uuids = uuids
        self._ended = threading.Event()
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def run(self) -> None:
        context = get_admin_context()
        versions = {name: cls[0].VERSION for name, cls in base.registered().items()}
        while not self._ended.wait(_HONEST_PAUSE):
            wanted = random.choice(self._uuids)
            before = time.monotonic()
            try:
                found = self._api.object_class_action_versions(
                    context,
                    'nova_cellmap.InstanceMapping',
                    'get_by_instance_uuid',
                    versions,
                    (wanted,),
                    {},
                )
                if found.instance_uuid != wanted:
                    self.failures.append(f'{wanted} became {found.instance_uuid}')
            except Exception as error:
                self.failures.append(repr(error))
            self.seconds.append(time.monotonic() - before)

    def end(self) -> None:
        self._ended.set()
        self.join()


def worker_of(conductor: fixtures.Conductor) -> int:
    pid = conductor.process.pid
    tasks = pathlib.Path(f'/proc/{pid}/task').iterdir()
    [worker] = [int(child) for task in tasks for child in (task / 'children').read_text().split()]
    return worker


def measured(pid: int) -> dict[str, int]:
    """The memory (kB), the most there was of it, and the threads of a process."""
    status = pathlib.Path(f'/proc/{pid}/status').read_text()
    lines = dict(line.split(':', 1) for line in status.splitlines() if ':' in line)
    return {name: int(lines[name].split()[0]) for name in ('VmRSS', 'VmHWM', 'Threads')}


def made_mappings() -> dict[str, dict[str, Any]]:
    context = get_admin_context()
    return {
        mapping.instance_uuid: mapping.obj_to_primitive()
        for mapping in objects.InstanceMappingList.get_all(context)
    }


def fuzz(conductor: fixtures.Conductor, count: int, seed: int, kinds: list[str]) -> dict[str, Any]:
    """Send *count* messages; answer what came of it."""
    context = get_admin_context()
    cell = objects.CellMapping(
        context, name='c', transport_url='none:///', database_connection='none:///'
    )
    cell.create()
    mappings = [
        objects.InstanceMapping(
            context,
            instance_uuid=str(uuid.uuid4()),
            project_id='honest',
            user_id='u',
            cell_mapping=cell,
        )
        for _ in range(_MAPPINGS)
    ]
    objects.InstanceMappingList.create_bulk(context, mappings)
    rows = made_mappings()
    honest = Honest(conductor.conf, list(rows))
    honest.start()
    pid = worker_of(conductor)
    before, log_before = measured(pid), conductor.log_file.stat().st_size
    sent: collections.Counter[str] = collections.Counter()
    chance = random.Random(seed)
    weights = [1 if kind in _HEAVY else 20 for kind in kinds]
    answered = 0
    started = time.monotonic()
    with hostile.Line.to(conductor.conf.transport_url, conductor.conf.conductor.topic) as line:
        sender = hostile.Sender(chance, line.reply_q)
        while sum(sent.values()) < count:
            for _ in range(min(_AT_ONCE, count - sum(sent.values()))):
                kind = chance.choices(kinds, weights)[0]
                line.send(sender.make(kind))
                sent[kind] += 1
            line.barrier(120)
            answered += len(line.answers)
            line.answers.clear()
        leaks = line.leaks
    seconds = time.monotonic() - started
    honest.end()
    after = measured(pid) if pid == worker_of(conductor) else {'died': 1}
    left = made_mappings()
    log = conductor.log_file.read_text()
    return {
        'seconds': round(seconds, 1),
        'sent': dict(sent),
        'answered': answered,
        'before': before,
        'after': after,
        'log bytes': conductor.log_file.stat().st_size - log_before,
        'tracebacks in the log': log.count('Traceback'),
        'honest calls': len(honest.seconds),
        'honest failures': honest.failures[:5],
        'honest p50 ms': round(1000 * statistics.median(honest.seconds), 1),
        'honest p99 ms': round(1000 * statistics.quantiles(honest.seconds, n=100)[98], 1),
        'honest max ms': round(1000 * max(honest.seconds), 1),
        'leaks': leaks[:5],
        'unforeseen': [line for line in log.splitlines() if 'failed unforeseen' in line][:5],
        'wrong rows': [each for each, row in rows.items() if left.get(each) != row],
        'new rows': len(left) - len(rows),
        'cells': len(objects.CellMappingList.get_all(context)),
    }
