# SPDX-License-Identifier: Apache-2.0
"""What a row of a cell's ``instances`` says, checked: nothing keeps Nova's tables clean."""

from collections.abc import Sequence
import datetime
import decimal
from typing import Any, NamedTuple

from nova_cellmap import text
from nova_cellmap import uuids
from nova_cellmap.objects import fields

# nova.compute.vm_states.SOFT_DELETED: deleted for its user, restorable for a while.
SOFT_DELETED = 'soft-delete'
# nova.compute.task_states: Nova is at work on what the mapping calls queued for delete, and on
# its cell.
_DELETING_OR_RESTORING = ('deleting', 'soft-deleting', 'restoring')
_SCHEDULING = 'scheduling'

# Rows that are no instances: the project of where Nova's map_instances was stopped, and the
# uuid and project of what a migration of Nova's left in each cell.
NO_UUID = '00000000-0000-0000-0000-000000000000'
MARKERS = ('INSTANCE_MIGRATION_MARKER', NO_UUID)

# Longer values are cut where a person reads them.
_MOST_SHOWN = 80


class Instance(NamedTuple):
    """A row of ``instances``, as far as the mapping is concerned.

    ``id`` is the row's number in its cell. ``deleted`` says that it is gone for good,
    ``queued_for_delete`` that it is deleted or soft-deleted, ``hidden`` that it is the
    other half of a move: the instance is in another cell. Of a hidden one the project and
    the user may be odd; where it has no project it is empty. ``task_state`` is what Nova is doing
    with one that is not deleted, and ``changed_at`` when the row was written last, in UTC: as far
    as they were asked for and are known.
    """

    id: int
    uuid: str
    project_id: str
    user_id: str | None
    deleted: bool
    queued_for_delete: bool
    hidden: bool
    task_state: str | None = None
    changed_at: datetime.datetime | None = None

    @property
    def is_changing(self) -> bool:
        """Whether Nova is deleting or restoring it."""
        return self.task_state in _DELETING_OR_RESTORING

    @property
    def is_scheduling(self) -> bool:
        """Whether Nova is about to say which cell it is in."""
        return self.task_state == _SCHEDULING


class InvalidRow(NamedTuple):
    """A row that no mapping can be made of.

    ``id`` is its number as far as it has one, ``shown`` its uuid as far as it can be printed,
    ``uuid`` the instance where that can be told. ``reason`` says what is wrong with it.
    ``instance`` is what it says where it only lacks a project: that is enough to compare it
    with a mapping that has one.
    """

    id: int | None
    shown: str
    uuid: str | None
    reason: str
    instance: Instance | None = None

    def __str__(self) -> str:
        return f'row {self.id}, of instance {self.shown}: {self.reason}'


def parse(row: Sequence[Any]) -> Instance | InvalidRow | None:
    """What a row says: id, uuid, project_id, user_id, deleted, vm_state, hidden; and perhaps
    task_state, updated_at, created_at.

    :returns: None for what is no instance, such as a marker of Nova's
    """
    number, uuid, project_id, user_id, deleted, vm_state, hidden, *of_work = row
    if type(uuid) is not str:
        uuid = text_of(uuid)
    if type(project_id) is not str:
        project_id = text_of(project_id)
    if type(user_id) is not str:
        user_id = text_of(user_id)
    canonical = uuids.canonical(uuid)
    if canonical == NO_UUID or project_id in MARKERS:
        return None
    is_deleted, is_hidden = flag_of(deleted), flag_of(hidden)
    reason = (
        number_problem(number)
        or ('' if canonical else f'its uuid, {shown(uuid)}, is none')
        # Whose the other half of a move is nobody asks: no mapping is made of it.
        or ('' if is_hidden else owner_problem('project_id', project_id, required=False))
        or ('' if is_hidden else owner_problem('user_id', user_id, required=False))
        or ('' if is_deleted is not None else f'deleted is {shown(deleted)}, and no number')
        or ('' if is_hidden is not None else f'hidden is {shown(hidden)}, and no number')
    )
    if reason or canonical is None or is_deleted is None or is_hidden is None:
        return InvalidRow(_number(number), shown(uuid), canonical, reason)
    soft_deleted = text_of(vm_state) == SOFT_DELETED
    instance = Instance(
        id=number,
        uuid=canonical,
        project_id=project_id if isinstance(project_id, str) else '',
        user_id=user_id if isinstance(user_id, str) else None,
        # 0, or the row's own id once it is deleted.
        deleted=is_deleted,
        queued_for_delete=is_deleted or soft_deleted,
        hidden=is_hidden,
    )
    if of_work:
        task_state, *times = of_work
        state = None if is_deleted else text_of(task_state)
        instance = instance._replace(
            task_state=state if is_text(state) else None, changed_at=last_time(*times)
        )
    lacks = '' if is_hidden else owner_problem('project_id', project_id, required=True)
    return InvalidRow(number, shown(uuid), canonical, lacks, instance) if lacks else instance


def text_of(value: Any) -> Any:
    """Text where it is some, also in a column of bytes; else the value itself."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode('utf-8', 'surrogateescape')
    return value


def flag_of(value: Any) -> bool | None:
    """Whether a number is not 0; NULL is 0. None for what is no number."""
    if value is None:
        return False
    if isinstance(value, (int, decimal.Decimal)):
        return bool(value)
    if isinstance(value, (bytes, bytearray)) and len(value) <= 8:
        # A BIT of MySQL.
        return any(value)
    return None


def number_problem(value: Any, name: str = 'its id') -> str:
    """What is wrong with the id of a row; empty where it is one."""
    if _number(value) is None:
        return f'{name}, {shown(value)}, is no number'
    return '' if 0 < value < 2**63 else f'{name}, {value}, is not a positive number'


def time_of(value: Any) -> datetime.datetime | None:
    """A time as naive UTC, also out of text; None for what is none."""
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime.datetime):
        return None
    if value.tzinfo is None:
        return value
    try:
        return value.astimezone(datetime.UTC).replace(tzinfo=None)
    except OverflowError:
        return None


def last_time(*values: Any) -> datetime.datetime | None:
    """The last of some times, as naive UTC; None where none of them is one."""
    return max((time for time in map(time_of, values) if time is not None), default=None)


def owner_problem(name: str, value: Any, *, required: bool) -> str:
    """What is wrong with a project or a user; empty where the mapping can have it."""
    if value is None:
        return f'it has no {name}' if required else ''
    if not isinstance(value, str):
        return f'{name} is {shown(value)}, and no text'
    if len(value) > fields.MAX_LENGTH:
        return f'{name} has {len(value):,} characters, the limit is {fields.MAX_LENGTH}'
    if required and not value.strip():
        return f'{name} is empty'
    if not text.is_encodable(value):
        return f'{name}, {shown(value)}, is not in the encoding of its database'
    return f'{name}, {shown(value)}, has a control character' if text.has_control(value) else ''


def shown(value: Any) -> str:
    """A value as a person may read it: of no more than a line, with nothing but printable
    characters."""
    value = text_of(value)
    if value is None:
        return 'NULL'
    return text.line(value if isinstance(value, str) else repr(value), _MOST_SHOWN)


def is_text(value: Any) -> bool:
    """Whether it is text, in the encoding that it should be in."""
    return isinstance(value, str) and text.is_encodable(value)


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
