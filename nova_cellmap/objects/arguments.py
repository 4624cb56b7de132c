# SPDX-License-Identifier: Apache-2.0
"""What the methods' arguments have to be: checked the same with and without a conductor.

None must not come to mean "any": a list for no project is not everybody's. What is no uuid, but
text, names nothing, and so is not found.

Each of them raises InvalidInput.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
import uuid as uuid_module

from nova_cellmap import exception
from nova_cellmap import text as odd_text
from nova_cellmap import uuids as spellings


def text(name: str, value: Any) -> str:
    """The argument *name*, which is text."""
    if not isinstance(value, str):
        raise exception.InvalidInput(reason=f'{name} must be text, not {odd_text.shown(value)}')
    return value


def optional_text(name: str, value: Any) -> str | None:
    """As :func:`text`, or None."""
    return None if value is None else text(name, value)


def uuid(name: str, value: Any) -> str:
    """The argument *name*, as the tables spell it: 36 characters, lower case, hyphenated."""
    if type(value) is str and spellings.FORM.fullmatch(value):
        return value
    if isinstance(value, uuid_module.UUID):
        return str(value)
    return spellings.canonical(value) or text(name, value)


def optional_uuid(name: str, value: Any) -> str | None:
    """As :func:`uuid`, or None."""
    return None if value is None else uuid(name, value)


def several(name: str, value: Any) -> Iterable[Any]:
    """The argument *name*, which is any number of things, and no text."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise exception.InvalidInput(reason=f'{name} must be a list, not {type(value).__name__}')
    return value


def uuids(name: str, value: Any) -> Iterator[str]:
    """The argument *name*, which is any number of uuids, each as :func:`uuid`."""
    return (uuid(name, each) for each in several(name, value))
