# SPDX-License-Identifier: Apache-2.0
"""Values for the fields of objects, whichever there are."""

import datetime
from typing import Any
import uuid

from nova_cellmap import objects
from nova_cellmap.objects import fields

# Which the database sets.
SET_BY_DATABASE = {'id', 'created_at', 'updated_at'}
# What a terminal, a log or a table obeys.
ODD_TEXTS = ('\x1b[31mred', 'a\nb', 'a\rb', '\x7f', '\x85', '\x9b2J', '\u2028', '\u202eabc')
# What few character sets have, of two, three and four bytes; blanks and case count.
NAMES = ('日本', '中国', 'é', '😀', '𠜎', "o'\\\\b", 'P1', 'p1', 'a', 'a ', 'À', 'A')
# Which are another form of cell_uuid.
OTHER_FORMS = {'cell_mapping'}


def value(field: Any, number: int) -> Any:
    """Another one for each of any two numbers in a row."""
    kind = field.AUTO_TYPE
    if isinstance(kind, fields.URL):
        return f'rabbit://u{number}:p@mq/'
    if isinstance(kind, fields.UUID):
        return str(uuid.UUID(int=number))
    if isinstance(kind, fields.Text):
        return f'text {number}'
    if isinstance(kind, fields.Boolean):
        return bool(number % 2)
    if isinstance(kind, fields.Integer):
        return number
    if isinstance(kind, fields.DateTime):
        return datetime.datetime(2026, 1, 1 + number % 28, tzinfo=datetime.UTC)
    raise AssertionError(f'{type(kind).__name__} is a kind of field that has no sample here')


def writable(cls: Any) -> list[str]:
    """The fields that users of the object set, but for those that are another form."""
    return [name for name in cls.fields if name not in SET_BY_DATABASE | OTHER_FORMS]


def whole_mapping(context: Any = None, number: int = 1, **values: Any) -> Any:
    """An unchanged mapping whose fields are all set."""
    cls = objects.InstanceMapping
    given = {
        name: value(field, number)
        for name, field in cls.fields.items()
        if name not in OTHER_FORMS | {'cell_uuid'}
    }
    mapping = cls(context, **{**given, 'cell_mapping': None, **values})
    mapping.obj_reset_changes()
    return mapping
