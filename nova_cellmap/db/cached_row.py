# SPDX-License-Identifier: Apache-2.0
"""A row of ``instance_mapping`` as memcached keeps it.

Whoever reaches a memcached server can put anything there. What is no row such as the database
has is none: the database is asked.
"""

from collections.abc import Callable
import datetime
import json
import re
from typing import Any

from nova_cellmap.db import models

Row = dict[str, Any]

# What a row begins with: the version of this format, which has to change where the format does.
VERSION = b'1'
# In bytes: two texts of the greatest length, all of their characters escaped, and the rest.
LONGEST = 8192

_COLUMNS = tuple(column.name for column in models.instance_mapping.columns)
_TIMES = ('created_at', 'updated_at')
_UUID = re.compile(r'[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}')
_LONGEST_TEXT = 255
_LONGEST_TIME = len('2024-01-01T00:00:00.000000')
_GREATEST_ID = 2**63 - 1


def is_uuid(value: object) -> bool:
    """Return whether it is a uuid as the tables spell it."""
    return type(value) is str and _UUID.fullmatch(value) is not None


def packed(row: Row) -> bytes:
    """Return the row as bytes."""
    values = {**row, **{name: _as_text(row[name]) for name in _TIMES}}
    return VERSION + json.dumps([values[name] for name in _COLUMNS]).encode()


def unpacked(item: bytes, instance_uuid: str) -> Row | None:
    """Return the row of an instance; None where the bytes are none."""
    if not item.startswith(VERSION) or len(item) > LONGEST:
        return None
    try:
        values = json.loads(item[len(VERSION) :])
    except (ValueError, RecursionError):
        return None
    if type(values) is not list or len(values) != len(_COLUMNS):
        return None
    row = dict(zip(_COLUMNS, values, strict=True))
    if row['instance_uuid'] != instance_uuid:
        return None
    for name, is_right in _RIGHT:
        if not is_right(row[name]):
            return None
    try:
        row.update((name, _as_time(row[name])) for name in _TIMES)
    except ValueError:
        return None
    return row


def _is_id(value: object) -> bool:
    return type(value) is int and 0 < value <= _GREATEST_ID


def _is_text(value: object) -> bool:
    if type(value) is not str or len(value) > _LONGEST_TEXT or '\0' in value:
        return False
    # Half of a pair of surrogates can be nowhere else.
    return value.isascii() or not any('\ud800' <= each <= '\udfff' for each in value)


def _is_flag(value: object) -> bool:
    # Drivers that know no booleans answer numbers.
    return value is None or type(value) is bool or (type(value) is int and value in (0, 1))


def _is_time(value: object) -> bool:
    return value is None or (type(value) is str and len(value) <= _LONGEST_TIME)


def _or_none(is_right: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or is_right(value)


_RIGHT: tuple[tuple[str, Callable[[object], bool]], ...] = (
    ('id', _is_id),
    ('cell_uuid', _or_none(is_uuid)),
    ('project_id', _is_text),
    ('user_id', _or_none(_is_text)),
    ('queued_for_delete', _is_flag),
    ('created_at', _is_time),
    ('updated_at', _is_time),
)


def _as_text(time: datetime.datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _as_time(text: str | None) -> datetime.datetime | None:
    """:raises ValueError: where it is none, or says more than a column has"""
    if text is None:
        return None
    time = datetime.datetime.fromisoformat(text)
    if time.isoformat() != text or time.tzinfo is not None:
        raise ValueError(text)
    return time
