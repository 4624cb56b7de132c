# SPDX-License-Identifier: Apache-2.0
"""A row of ``instance_mapping`` as memcached keeps it.

Anyone who reaches a memcached server can put anything there. What is no row such as the database
has is none: the database is asked.
"""

import datetime
import itertools
import json
import re
from typing import Any

from nova_cellmap import text
from nova_cellmap.db.schemas import own

Row = dict[str, Any]

# What a row begins with: the version of this format, which has to change where the format does.
VERSION = b'1'
# In bytes: two texts of the greatest length, all of their characters escaped, and the rest.
LONGEST = 8192

_COLUMNS = tuple(column.name for column in own.instance_mapping.columns)
_TIMES = ('created_at', 'updated_at')
_UUID = re.compile(r'[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}')
_LONGEST_TEXT = 255
_TIME = re.compile(r'[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{6})?')
# Drivers that know no booleans answer numbers.
_FLAGS = (False, True, None)
_NONE = type(None)
# Of a column's values in JSON.
_TYPES_OF: dict[str, tuple[type, ...]] = {
    'created_at': (str, _NONE),
    'updated_at': (str, _NONE),
    'id': (int,),
    'instance_uuid': (str,),
    'cell_uuid': (str, _NONE),
    'project_id': (str,),
    'queued_for_delete': (bool, int, _NONE),
    'user_id': (str, _NONE),
}
_TYPES = frozenset(itertools.product(*(_TYPES_OF[name] for name in _COLUMNS)))
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
    if type(values) is not list or tuple(map(type, values)) not in _TYPES:
        return None
    row: Row = dict(zip(_COLUMNS, values, strict=True))
    cell_uuid, user_id = row['cell_uuid'], row['user_id']
    is_right = (
        row['instance_uuid'] == instance_uuid
        and 0 < row['id'] <= _GREATEST_ID
        and (cell_uuid is None or _UUID.fullmatch(cell_uuid) is not None)
        and _is_text(row['project_id'])
        and (user_id is None or _is_text(user_id))
        and row['queued_for_delete'] in _FLAGS
    )
    try:
        for name in _TIMES:
            row[name] = _as_time(row[name])
    except ValueError:
        return None
    return row if is_right else None


def _is_text(value: str) -> bool:
    return len(value) <= _LONGEST_TEXT and '\0' not in value and text.is_encodable(value)


def _as_text(time: datetime.datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _as_time(text: str | None) -> datetime.datetime | None:
    """:raises ValueError: where it is none, or says more than a column has"""
    if text is None:
        return None
    if not _TIME.fullmatch(text):
        raise ValueError(text)
    return datetime.datetime.fromisoformat(text)
