# SPDX-License-Identifier: Apache-2.0
"""A change of one mapping, and the line of a plan or a journal that tells of it."""

from collections.abc import Mapping
import dataclasses
import datetime
import json
from typing import Any, Self

from nova_cellmap.cells import rows
from nova_cellmap.db import api as db_api

# What a change tells of a mapping.
VALUES = ('cell_uuid', 'project_id', 'user_id', 'queued_for_delete')
_NAMES = ('instance_uuid', 'problems', 'before', 'after', 'when', 'why')
# In place of a kind of problem, where a change takes another one back.
TAKEN_BACK = 'taken_back'
# The longest line that is read: a batch of what was not made is in one.
MOST_BYTES = 1 << 24


@dataclasses.dataclass(frozen=True)
class Change:
    """One mapping that is changed, made or removed.

    :ivar problems: the kinds of what was wrong
    :ivar before: what the mapping says, :data:`VALUES`; None where there is none
    :ivar after: what it is to say; None where it is to be removed
    :ivar when: when this was found, by the clock of the machine: UTC, in whole seconds
    :ivar why: what was wrong, for a person
    """

    instance_uuid: str
    problems: tuple[str, ...]
    before: db_api.Row | None
    after: db_api.Row | None
    when: datetime.datetime
    why: str

    @property
    def opposite(self) -> Self:
        """The change that takes it back."""
        return dataclasses.replace(
            self, problems=(TAKEN_BACK,), before=self.after, after=self.before, when=now()
        )

    @property
    def is_taken_back(self) -> bool:
        """Whether it takes another one back."""
        return self.problems == (TAKEN_BACK,)

    @property
    def line(self) -> bytes:
        told = {name: getattr(self, name) for name in _NAMES}
        told['when'] = f'{self.when.isoformat(timespec="seconds")}Z'
        return _line(told)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of the changes that a journal tells of right before it.

    :ivar changes: how many these are
    :ivar not_made: by instance, why those that were not made were not
    """

    changes: int
    not_made: Mapping[str, str]

    @property
    def line(self) -> bytes:
        told = {'changes': self.changes, 'not_made': {**self.not_made}}
        return _line({'outcome': told})


def now() -> datetime.datetime:
    """The time, as a change has it."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None, microsecond=0)


def values_of(row: Mapping[str, Any]) -> db_api.Row:
    """What a change tells of a mapping; its row may be as it is stored."""
    queued = row['queued_for_delete']
    return {
        # SQLite keeps bytes in a column of text too.
        **{name: rows.text_of(row[name]) for name in VALUES},
        'queued_for_delete': None if queued is None else bool(queued),
    }


def read(line: bytes) -> Change | Outcome:
    """What a line tells.

    :raises: ``ValueError``, whose text says what is wrong with the line
    """
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError('it is no JSON') from None
    _check(isinstance(told, dict), 'it is no JSON object')
    return _outcome(told) if 'outcome' in told else _change(told)


def _change(told: Mapping[str, Any]) -> Change:
    _check_names(told, _NAMES)
    uuid, problems, why = told['instance_uuid'], told['problems'], told['why']
    _check(isinstance(uuid, str), 'instance_uuid is no text')
    _check(
        isinstance(problems, list) and all(isinstance(each, str) for each in problems),
        'problems is no list of texts',
    )
    _check(isinstance(why, str), 'why is no text')
    before, after = _values(told, 'before'), _values(told, 'after')
    _check(before != after, 'before and after are the same')
    return Change(uuid, tuple(problems), before, after, _time(told['when']), why)


def _values(told: Mapping[str, Any], name: str) -> db_api.Row | None:
    values = told[name]
    if values is None:
        return None
    if not isinstance(values, dict):
        raise ValueError(f'{name} is neither a mapping nor null')
    _check_names(values, VALUES, name)
    for key, value in values.items():
        kind = bool if key == 'queued_for_delete' else str
        if value is not None and type(value) is not kind:
            raise ValueError(f'{name} has a wrong {key}')
    return {key: values[key] for key in VALUES}


def _time(text: Any) -> datetime.datetime:
    try:
        time = datetime.datetime.fromisoformat(text)
        # Without a zone it is UTC.
        if time.tzinfo not in (None, datetime.UTC):
            time = time.astimezone(datetime.UTC)
        return time.replace(tzinfo=None)
    except (TypeError, ValueError, OverflowError):
        raise ValueError('when is no time') from None


def _outcome(told: Mapping[str, Any]) -> Outcome:
    _check_names(told, ('outcome',))
    outcome = told['outcome']
    _check(isinstance(outcome, dict), 'outcome is none')
    _check_names(outcome, ('changes', 'not_made'), 'outcome')
    number, not_made = outcome['changes'], outcome['not_made']
    _check(type(number) is int and number > 0, 'outcome has a wrong number of changes')
    _check(
        isinstance(not_made, dict) and all(isinstance(why, str) for why in not_made.values()),
        'outcome has a wrong not_made',
    )
    return Outcome(number, not_made)


def _check_names(told: Mapping[str, Any], names: tuple[str, ...], of: str = '') -> None:
    # A file has many lines.
    if len(told) == len(names) and all(map(told.__contains__, names)):
        return
    missing = [name for name in names if name not in told]
    unknown = sorted(told.keys() - {*names})
    what = f'{of} ' if of else ''
    _check(not missing, f'{what}lacks {", ".join(missing)}')
    _check(not unknown, f'{what}has what is unknown here: {ascii(unknown)[1:-1][:100]}')


def _check(is_so: bool, reason: str) -> None:
    if not is_so:
        raise ValueError(reason)


def _line(told: Mapping[str, Any]) -> bytes:
    return f'{json.dumps(told)}\n'.encode()
