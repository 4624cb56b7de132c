# SPDX-License-Identifier: Apache-2.0
"""Processes that change mappings and processes that look them up, at the same time.

Each of two writers has a column of its own, in which it counts up: what a lookup finds there
must be no less than what had been saved when the lookup began, and no more than what was to be.
"""

from collections.abc import Callable, Collection, Sequence
import contextlib
import ctypes
import dataclasses
import functools
import multiprocessing
from multiprocessing import sharedctypes
import random
import time
from typing import Any
from unittest import mock

from oslo_config import cfg

from nova_cellmap import exception
from nova_cellmap.context import RequestContext
from nova_cellmap.context import get_admin_context
from nova_cellmap.db import api
from nova_cellmap.db import instance_mapping
from nova_cellmap.db.caching import cache
from nova_cellmap.db.connected import Connected
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.tests import fixtures

COLUMNS = ('project_id', 'user_id')
_READERS = 3
# What a transaction writes that is rolled back.
_NEVER = 1_000_000_000
# In seconds, between one death and the next.
_PEACE = 0.4


@dataclasses.dataclass
class Report:
    """What came of it: rows that were looked up, and those of them that the database gave."""

    answers: int = 0
    read: int = 0
    saved: int = 0
    deaths: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)


class Race:
    """The processes. The mappings are there, with 0 in both columns."""

    def __init__(
        self, conf: cfg.ConfigOpts, memcached: Sequence[fixtures.Memcached], uuids: Sequence[str]
    ) -> None:
        self._conf = conf
        self._memcached = memcached
        self._uuids = uuids
        self._fork = multiprocessing.get_context('fork')
        # No Event: it has a lock, which one who is killed would keep.
        self._has_ended = sharedctypes.RawValue(ctypes.c_bool, False)
        self._reports = self._fork.SimpleQueue()
        # By column and place: what is about to be saved, and what is.
        self._begun = [self._numbers(len(uuids)) for _ in COLUMNS]
        self._made = [self._numbers(len(uuids)) for _ in COLUMNS]

    def run(self, seconds: float) -> Report:
        readers = [self._start(self._read) for _ in range(_READERS)]
        writers = [self._start(self._write, column) for column in range(len(COLUMNS))]
        end = time.monotonic() + seconds
        total = Report()
        while time.monotonic() < end:
            time.sleep(_PEACE)
            total.deaths += 1
            self._kill_one(writers)
        self._has_ended.value = True
        for _ in readers:
            report = self._reports.get()
            total.answers += report.answers
            total.read += report.read
            total.wrong += report.wrong
        for process in (*readers, *writers):
            process.join(60)
        total.saved = sum(sum(made) for made in self._made)
        return total

    def _kill_one(self, writers: list[Any]) -> None:
        victim = random.randrange(len(self._memcached) + len(writers))
        if victim < len(self._memcached):
            self._memcached[victim].kill()
            time.sleep(random.choice([0, 0.05]))
            self._memcached[victim].start()
        else:
            column = victim - len(self._memcached)
            writers[column].kill()
            writers[column].join()
            writers[column] = self._start(self._write, column)

    def _start(self, run: Callable[..., None], *args: Any) -> Any:
        process = self._fork.Process(target=run, args=args, daemon=True)
        process.start()
        return process

    @staticmethod
    def _numbers(count: int) -> Any:
        return sharedctypes.RawArray(ctypes.c_int64, count)

    # In the processes.

    def _read(self) -> None:
        context = get_admin_context()
        report = Report()
        _count_reads(report)
        try:
            while not self._has_ended.value:
                self._check(context, report)
        except BaseException as error:
            report.wrong.append(repr(error))
            raise
        finally:
            self._reports.put(report)

    def _check(self, context: RequestContext, report: Report) -> None:
        one = random.random() < 0.9
        places = random.sample(range(len(self._uuids)), 1 if one else 8)
        least = [[made[place] for place in places] for made in self._made]
        if one:
            rows = [
                api.instance_mapping_get_by_instance_uuid(context, self._uuids[place])
                for place in places
            ]
        else:
            uuids = [self._uuids[place] for place in places]
            found = api.instance_mapping_get_by_instance_uuids(context, uuids)
            by_uuid = {row['instance_uuid']: row for row in found}
            rows = [by_uuid[uuid] for uuid in uuids]
        report.answers += len(rows)
        for number, column in enumerate(COLUMNS):
            for place, low, row in zip(places, least[number], rows, strict=True):
                value, high = int(row[column]), self._begun[number][place]
                if not low <= value <= high:
                    report.wrong.append(f'{column} {place}: {low} <= {value} <= {high}')

    def _write(self, column: int) -> None:
        mock.patch.object(cache.Cache, 'show', _after_dawdling(cache.Cache.show)).start()
        context = get_admin_context()
        ways = (self._save, self._save, self._save, self._at_once, self._bulk, self._never)
        while not self._has_ended.value:
            with contextlib.suppress(exception.DatabaseBusy):
                random.choice(ways)(context, column)

    def _save(self, context: RequestContext, column: int) -> None:
        place = random.randrange(len(self._uuids))
        mapping = InstanceMapping.get_by_instance_uuid(context, self._uuids[place])
        setattr(mapping, COLUMNS[column], self._next(column, place))
        mapping.save()
        self._made[column][place] = self._begun[column][place]

    def _at_once(self, context: RequestContext, column: int) -> None:
        places = self._some()
        with api.writer(context):
            for place in places:
                self._update(context, column, place, self._next(column, place))
        self._all_made(column, places)

    def _bulk(self, context: RequestContext, column: int) -> None:
        places = self._some()
        uuids = [self._uuids[place] for place in places]
        rows = api.instance_mapping_get_by_instance_uuids(context, uuids)
        by_uuid = {row['instance_uuid']: row for row in rows}
        changes = [
            (by_uuid[self._uuids[place]], {COLUMNS[column]: self._next(column, place)})
            for place in places
        ]
        # Where the other writer was in between, fewer.
        if len(api.instance_mapping_update_bulk(context, changes)) == len(places):
            self._all_made(column, places)

    def _never(self, context: RequestContext, column: int) -> None:
        with contextlib.suppress(ZeroDivisionError), api.writer(context):
            for place in self._some():
                self._update(context, column, place, str(_NEVER))
            raise ZeroDivisionError

    def _update(self, context: RequestContext, column: int, place: int, value: str) -> None:
        api.instance_mapping_update(context, self._uuids[place], {COLUMNS[column]: value})

    def _some(self) -> list[int]:
        return sorted(random.sample(range(len(self._uuids)), 3))

    def _next(self, column: int, place: int) -> str:
        self._begun[column][place] += 1
        return str(self._begun[column][place])

    def _all_made(self, column: int, places: list[int]) -> None:
        for place in places:
            self._made[column][place] = self._begun[column][place]


def _count_reads(report: Report) -> None:
    """Have the process count the rows that the database gives it, and take its time."""
    read_mapping, get_mappings = instance_mapping.read, instance_mapping.get_many

    def count_one(context: RequestContext, uuid: str) -> api.Row:
        report.read += 1
        row = read_mapping(context, uuid)
        _dawdle()
        return row

    def count_many(context: Connected, uuids: Collection[str]) -> list[Sequence[Any]]:
        rows = get_mappings(context, uuids)
        report.read += len(rows)
        _dawdle()
        return rows

    mock.patch.object(instance_mapping, 'read', count_one).start()
    mock.patch.object(instance_mapping, 'get_many', count_many).start()


def _after_dawdling(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        _dawdle()
        return function(*args, **kwargs)

    return call


def _dawdle() -> None:
    """Let others be quicker, now and then."""
    time.sleep(random.choice([0, 0, 0.01]))
