# SPDX-License-Identifier: Apache-2.0
"""One client of the soak: a process that calls the conductor and remembers what it was told.

It owns the instances of one project. What it knows of them changes with each write that was
acknowledged; a write whose answer did not come is looked up, and made again where the look
shows that it was not made. Whatever is told against what it knows is a broken promise.
"""

from collections.abc import Callable, Sequence
import copy
import dataclasses
from multiprocessing import sharedctypes
import random
import time
from typing import Any, ClassVar, TypeVar
import uuid

import oslo_messaging

from nova_cellmap import conf
from nova_cellmap import exception
from nova_cellmap.conductor import rpcapi
from nova_cellmap.context import RequestContext
from nova_cellmap.objects import InstanceMapping
from nova_cellmap.objects import InstanceMappingList

ANSWERED, TIMED_OUT, FAILED = 'answered', 'timed out', 'failed'
# What may be broken.
LOST = 'lost writes'
TWICE = 'writes applied twice'
WRONG = 'wrong answers'
SILENCE = 'clients that gave up'
ERRORS = 'errors other than timeouts'
PROMISES = (LOST, TWICE, WRONG, ERRORS, SILENCE)
BULK = 20
PAGE = 50
# For so many seconds a look at what is so is repeated.
_PATIENCE = 180

_T = TypeVar('_T')
_counter: Any = None


@dataclasses.dataclass(frozen=True)
class State:
    """What is so of an instance that is mapped."""

    cell_uuid: str | None
    queued_for_delete: bool
    user_id: str

    @classmethod
    def of(cls, mapping: InstanceMapping) -> 'State':
        return cls(mapping.cell_uuid, mapping.queued_for_delete, mapping.user_id)


@dataclasses.dataclass(frozen=True)
class Task:
    """What a client is to do: go on until all clients together have made so many calls."""

    number: int
    calls: int
    config_file: str
    cells: Sequence[str]

    @property
    def project_id(self) -> str:
        return f'project-{self.number}'


@dataclasses.dataclass(frozen=True)
class Call:
    """A call that was made; ``began`` is the time of a clock that all processes share."""

    kind: str
    began: float
    seconds: float
    outcome: str

    @property
    def ended(self) -> float:
        return self.began + self.seconds


@dataclasses.dataclass
class Result:
    """What a client did and, at its end, knows."""

    project_id: str
    calls: list[Call] = dataclasses.field(default_factory=list)
    # The instances that are mapped, in the order of their creation, and those no longer.
    instances: dict[str, State] = dataclasses.field(default_factory=dict)
    gone: list[str] = dataclasses.field(default_factory=list)
    # By the promise, how it was broken.
    broken: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    writes_in_doubt: int = 0


class InDoubt(Exception):
    """No answer came: nobody knows what was done."""


def share(counter: 'sharedctypes.Synchronized[int]') -> None:
    """Take the number of calls that all clients have made; for a new process."""
    global _counter
    _counter = counter


def run(task: Task) -> Result:
    rpcapi.use_conductor(conf.new(config_files=[task.config_file]), wait=60)
    client = Client(task)
    try:
        while _counter.value < task.calls:
            client.act()
    except InDoubt as error:
        client.result.broken[SILENCE] = [str(error.__cause__)]
    rpcapi.use_database()
    return client.result


class Client:
    def __init__(self, task: Task) -> None:
        self.result = Result(task.project_id)
        self._random = random.Random(task.number)
        self._users = [f'user-{task.number}-{number}' for number in range(3)]
        self._cells: list[str | None] = [*task.cells, None]
        self._context = RequestContext(
            user_id=self._users[0], project_id=task.project_id, overwrite=False
        )

    def act(self) -> None:
        actions = self._ACTIONS if self._instances else {Client.create_bulk: 1.0}
        (action,) = self._random.choices(list(actions), list(actions.values()))
        action(self)

    # What it does.

    def look_up(self) -> None:
        self._checked(self._any())

    def look_up_gone(self) -> None:
        if self.result.gone:
            self._checked(self._random.choice(self.result.gone))

    def create(self) -> None:
        instance, state = str(uuid.uuid4()), self._new_state()

        def write() -> None:
            mapping = self._unsaved(instance, state)
            self._call('create', mapping.create, expected=exception.InstanceMappingExists)
            self._check(instance, mapping, known=state)

        self._write(
            f'create {instance}',
            write,
            is_made=lambda: self._look(instance) is not None,
            repeated=exception.InstanceMappingExists,
        )
        self._instances[instance] = state

    def move(self) -> None:
        instance = self._any()
        cell = self._other_cell(self._instances[instance])
        self._save(instance, 'save: move', cell_uuid=cell)

    def move_stale(self) -> None:
        """Move with an object that was loaded before another move: that must be refused."""
        instance = self._any()
        stale = self._checked(instance)
        if stale is None:
            return
        stale = copy.deepcopy(stale)
        cell = self._other_cell(self._instances[instance])
        self._save(instance, 'save: move', cell_uuid=cell)
        if instance not in self._instances:
            return
        stale.cell_uuid = self._other_cell(self._instances[instance], stale.cell_uuid)
        try:
            self._call('save: stale', stale.save, expected=exception.InstanceMappingConflict)
        except exception.InstanceMappingConflict:
            return
        except InDoubt:
            self._checked(instance)
            return
        self._break(WRONG, f'{instance}: a stale object was saved')
        self._instances[instance] = State.of(stale)

    def flip(self) -> None:
        instance = self._any()
        queued = not self._instances[instance].queued_for_delete
        self._save(instance, 'save: queued_for_delete', queued_for_delete=queued)

    def destroy(self) -> None:
        instance = self._any()
        mapping = InstanceMapping(self._context, instance_uuid=instance)
        self._write(
            f'destroy {instance}',
            lambda: self._call(
                'destroy', mapping.destroy, expected=exception.InstanceMappingNotFound
            ),
            is_made=lambda: self._look(instance) is None,
            repeated=exception.InstanceMappingNotFound,
        )
        del self._instances[instance]
        self.result.gone.append(instance)

    def create_bulk(self) -> None:
        states = {str(uuid.uuid4()): self._new_state() for _ in range(BULK)}

        def write() -> None:
            answer = self._call(
                f'create_bulk of {BULK}',
                InstanceMappingList.create_bulk,
                self._context,
                [self._unsaved(instance, state) for instance, state in states.items()],
            )
            if answer != {'created': BULK, 'existing': 0, 'conflicts': {}}:
                raise _Repeated(str(answer))

        self._write(
            f'create_bulk of {", ".join(states)}',
            write,
            is_made=lambda: self._look_at_bulk(list(states)),
            repeated=_Repeated,
        )
        self._instances.update(states)

    def page(self) -> None:
        order = list(self._instances)
        start = self._random.randrange(len(order))
        marker = order[start - 1] if start else None
        expected = {each: self._instances[each] for each in order[start : start + PAGE]}
        try:
            page = self._call(
                f'get_by_project_id, {PAGE}',
                InstanceMappingList.get_by_project_id,
                self._context,
                self.result.project_id,
                limit=PAGE,
                marker=marker,
            )
        except InDoubt:
            return
        found = {each.instance_uuid: State.of(each) for each in page}
        if list(found.items()) != list(expected.items()):
            self._break(WRONG, f'page after {marker}: {found}, not {expected}')

    def counts(self) -> None:
        user = self._random.choice(self._users)
        live = [each for each in self._instances.values() if not each.queued_for_delete]
        theirs = sum(each.user_id == user for each in live)
        expected = {'project': {'instances': len(live)}, 'user': {'instances': theirs}}
        try:
            counts = self._call(
                'get_counts',
                InstanceMappingList.get_counts,
                self._context,
                self.result.project_id,
                user_id=user,
            )
        except InDoubt:
            return
        if counts != expected:
            self._break(WRONG, f'counts: {counts}, not {expected}')

    def count_by_uuids(self) -> None:
        user = self._random.choice(self._users)
        some = self._random.sample(list(self._instances), min(PAGE, len(self._instances)))
        states = [self._instances[each] for each in some]
        expected = sum(each.user_id == user and not each.queued_for_delete for each in states)
        try:
            count = self._call(
                'get_count_by_uuids_and_user',
                InstanceMappingList.get_count_by_uuids_and_user,
                self._context,
                some,
                user,
            )
        except InDoubt:
            return
        if count != expected:
            self._break(WRONG, f'count by uuids: {count}, not {expected}')

    # In every hundred or so. Those that save look up first, and so are two calls.
    _ACTIONS: ClassVar[dict[Callable[['Client'], None], float]] = {
        look_up: 36,
        look_up_gone: 2,
        create: 11,
        move: 9,
        move_stale: 2,
        flip: 8,
        destroy: 12,
        create_bulk: 2,
        page: 10,
        counts: 4,
        count_by_uuids: 4,
    }

    # How it does that.

    @property
    def _instances(self) -> dict[str, State]:
        return self.result.instances

    def _any(self) -> str:
        return self._random.choice(list(self._instances))

    def _new_state(self) -> State:
        return State(
            self._random.choice(self._cells),
            self._random.random() < 0.1,
            self._random.choice(self._users),
        )

    def _other_cell(self, state: State, *others: str | None) -> str | None:
        return self._random.choice(
            [each for each in self._cells if each not in (state.cell_uuid, *others)]
        )

    def _unsaved(self, instance: str, state: State) -> InstanceMapping:
        return InstanceMapping(
            self._context,
            instance_uuid=instance,
            project_id=self.result.project_id,
            **dataclasses.asdict(state),
        )

    def _save(self, instance: str, kind: str, **changes: Any) -> None:
        """Load an instance, change it and save it."""
        loaded = self._checked(instance)
        if loaded is None:
            return
        mapping = loaded
        state = dataclasses.replace(self._instances[instance], **changes)

        def write() -> None:
            for name, value in changes.items():
                setattr(mapping, name, value)
            self._call(kind, mapping.save, expected=exception.InstanceMappingConflict)
            self._check(instance, mapping, known=state)

        def is_made() -> bool:
            nonlocal mapping
            found = self._look(instance)
            if found is None:
                self._check(instance, None)
                return True
            mapping = found
            return State.of(mapping) == state

        self._write(
            f'{kind} {instance} {changes}',
            write,
            is_made=is_made,
            repeated=exception.InstanceMappingConflict,
        )
        if instance in self._instances:
            self._instances[instance] = state

    def _write(
        self,
        what: str,
        write: Callable[[], None],
        *,
        is_made: Callable[[], bool],
        repeated: type[Exception],
    ) -> None:
        """Write until that is acknowledged, or a look shows that it was made.

        :param repeated: what a write raises that was made already
        """
        in_doubt = False
        while True:
            try:
                return write()
            except repeated as error:
                if not in_doubt:
                    self._break(TWICE, f'{what}: {error}')
                return None
            except InDoubt:
                self.result.writes_in_doubt += not in_doubt
                in_doubt = True
                if is_made():
                    return None

    def _look_at_bulk(self, instances: list[str]) -> bool:
        found = self._patiently(
            'get_by_instance_uuids',
            InstanceMappingList.get_by_instance_uuids,
            self._context,
            instances,
        )
        if len(found) not in (0, len(instances)):
            self._break(WRONG, f'create_bulk: {len(found)} of {instances} were created')
        return len(found) == len(instances)

    def _look(self, instance: str) -> InstanceMapping | None:
        """What is so of an instance."""
        try:
            return self._patiently(
                'get_by_instance_uuid',
                InstanceMapping.get_by_instance_uuid,
                self._context,
                instance,
                expected=exception.InstanceMappingNotFound,
            )
        except exception.InstanceMappingNotFound:
            return None

    def _checked(self, instance: str) -> InstanceMapping | None:
        mapping = self._look(instance)
        self._check(instance, mapping)
        return mapping

    def _check(
        self, instance: str, mapping: InstanceMapping | None, known: State | None = None
    ) -> None:
        """Compare what was told of an instance with what is known of it."""
        known = known or self._instances.get(instance)
        told = None if mapping is None else State.of(mapping)
        if told == known and (mapping is None or self._is_whole(instance, mapping)):
            return
        again = self._look(instance)
        is_so = None if again is None else State.of(again)
        self._break(
            WRONG if is_so == known else LOST,
            f'{instance}: told {told}, then {is_so}, known {known}',
        )
        # Once is enough.
        self._instances.pop(instance, None)
        if is_so is not None:
            self._instances[instance] = is_so

    def _is_whole(self, instance: str, mapping: InstanceMapping) -> bool:
        """Whether all else of a mapping is right too."""
        cell = mapping.cell_mapping
        return (
            mapping.instance_uuid == instance
            and mapping.project_id == self.result.project_id
            and (None if cell is None else cell.uuid) == mapping.cell_uuid
            and not mapping.obj_what_changed()
        )

    def _break(self, promise: str, what: str) -> None:
        self.result.broken.setdefault(promise, []).append(what)

    def _patiently(self, kind: str, method: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
        """Call until an answer comes."""
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                return self._call(kind, method, *args, **kwargs)
            except InDoubt:
                if time.monotonic() > end:
                    raise

    def _call(
        self,
        kind: str,
        method: Callable[..., _T],
        *args: Any,
        expected: type[Exception] | None = None,
        **kwargs: Any,
    ) -> _T:
        """Call the conductor, and note how that ended.

        :param expected: an exception that is an answer too
        :raises: InDoubt where there was no answer
        """
        began, outcome = time.monotonic(), ANSWERED
        try:
            return method(*args, **kwargs)
        except oslo_messaging.MessagingTimeout as error:
            outcome = TIMED_OUT
            raise InDoubt from error
        except Exception as error:
            if expected is not None and isinstance(error, expected):
                raise
            outcome = FAILED
            self._break(ERRORS, f'{kind}: {type(error).__qualname__}: {error}')
            raise InDoubt from error
        finally:
            self.result.calls.append(Call(kind, began, time.monotonic() - began, outcome))
            with _counter.get_lock():
                _counter.value += 1


class _Repeated(Exception):
    """A bulk found instances that stood already."""
