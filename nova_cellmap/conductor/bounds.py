# SPDX-License-Identifier: Apache-2.0
"""What the arguments of a call and its context may be, whatever they mean.

It is checked before anything else looks at them, in time that grows as they do.
"""

from collections.abc import Callable
import re
from typing import Any

from nova_cellmap import exception
from nova_cellmap import text
from nova_cellmap.objects import base

# In characters. The longest that is stored is a URL.
MAX_TEXT = 4096
MAX_KEY = 255
MAX_KEYS = 100
MAX_BITS = 64
# A list of mappings, each with its cell, is nested seven times.
MAX_DEPTH = 12
# The shortest list that is always taken.
_SOME = 100

VERSION = re.compile(r'[0-9]{1,4}(\.[0-9]{1,4}){1,2}')
_VERSION_KEY = f'{base.CellMapObject.OBJ_SERIAL_NAMESPACE}.version'

# Of a context: what goes into each line of the log is shorter than a token.
_MAX_LOGGED = 255
_TOKENS = frozenset({'auth_token', 'service_token'})

# What the methods' arguments are, as far as they are the same for all calls.
_SHAPES: dict[str, tuple[str, tuple[type, ...]]] = {
    'objname': ('text', (str,)),
    'objmethod': ('text', (str,)),
    'object_versions': ('mapping', (dict,)),
    'args': ('list', (list, tuple)),
    'kwargs': ('mapping', (dict,)),
}


def check_arguments(arguments: Any, page_size: int) -> None:
    """Check that they are of the kinds that they should be, and no larger than anything that the
    conductor can be asked for.

    :raises: RemoteCallRefused; PageTooLarge where a list is longer than a page; InvalidInput, as
        without a conductor, where a text has a control character
    """
    _check_shapes(arguments)
    longest = max(page_size, _SOME)
    level = [arguments]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is str:
                _check_text(value, MAX_TEXT, _invalid)
            elif kind is dict:
                _check_keys(value)
                below.extend(value.values())
            elif kind is list:
                if len(value) > longest:
                    raise exception.PageTooLarge(limit=page_size)
                below.extend(value)
            elif kind is int and value.bit_length() > MAX_BITS:
                raise _refusal(f'a number has more than {MAX_BITS} bits')
        if not below:
            return
        level = below
    raise _refusal(f'the arguments are nested more than {MAX_DEPTH} times')


def _check_shapes(arguments: dict[str, Any]) -> None:
    for name, value in arguments.items():
        if name in _SHAPES and type(value) not in _SHAPES[name][1]:
            raise _refusal(f'{name} is a {type(value).__name__}, and no {_SHAPES[name][0]}')


def check_context(context: Any) -> None:
    """Check what is said of the request: it goes into the log.

    :raises: RemoteCallRefused
    """
    _check_keys(context)
    for name, value in context.items():
        texts = value if type(value) is list else [value]
        if len(texts) > MAX_KEYS:
            raise _refusal(f'{name} of the context has more than {MAX_KEYS} members')
        for each in texts:
            if type(each) is str:
                _check_text(each, MAX_TEXT if name in _TOKENS else _MAX_LOGGED, _refusal)
            elif type(each) not in _PLAIN:
                raise _refusal(f'{name} of the context is a {type(each).__name__}')


_PLAIN = (type(None), bool, int, float)


def _check_keys(value: dict[Any, Any]) -> None:
    if len(value) > MAX_KEYS:
        raise _refusal(f'something has more than {MAX_KEYS} keys')
    for key in value:
        _check_text(key, MAX_KEY, _refusal)
    if _VERSION_KEY in value:
        check_version(value[_VERSION_KEY])


def check_version(version: Any) -> None:
    """:raises: RemoteCallRefused where it is no version of an object."""
    if not (type(version) is str and VERSION.fullmatch(version)):
        raise _refusal('the version of an object is two or three numbers, as 1.4 is')


def _check_text(value: str, most: int, error: Callable[[str], exception.CellMapError]) -> None:
    if len(value) > most:
        raise _refusal(f'a text of {len(value)} characters; at most {most} are taken')
    if text.has_control(value) or not text.is_encodable(value):
        raise error('a text has a control character in it')


def _refusal(reason: str) -> exception.RemoteCallRefused:
    return exception.RemoteCallRefused(what='a method', reason=reason)


def _invalid(reason: str) -> exception.InvalidInput:
    return exception.InvalidInput(reason=reason)
