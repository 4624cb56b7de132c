# SPDX-License-Identifier: Apache-2.0
"""What a command prints, in the formats that are not exact by themselves."""

from collections.abc import Callable, Iterable, Mapping, Sequence
import json
import re
from typing import Any, NamedTuple

from nova_cellmap.text import escaped

# What a shell runs, or takes as something else, within double quotes.
_RUN_BY_SHELLS = re.compile(r'([\\$`])')
# What a spreadsheet takes for a formula, in ASCII and in the full width of East Asian texts.
_FORMULA = re.compile('[=+@\uff1d\uff0b\uff0d\uff20-]')


class Nested(NamedTuple):
    """A value that has parts: as it is where a format knows parts, as JSON where it does not.

    ``lines`` are what a person reads in a table.
    """

    value: Any
    lines: Sequence[str]


def shown(row: Iterable[Any], format_: str) -> list[Any]:
    """A row as it is printed: exact in json and yaml, which have escapes of their own."""
    return [_shown(value, format_) for value in row]


def _shown(value: Any, format_: str) -> Any:
    show = _SHOWN.get(format_)
    if isinstance(value, Nested):
        if show is None:
            return value.value
        if format_ == 'table':
            return '\n'.join(map(escaped, value.lines))
        value = json.dumps(value.value)
    # SQLite keeps anything in a column of text.
    if isinstance(value, bytes):
        value = value.decode('utf-8', 'backslashreplace')
    return show(value) if show and isinstance(value, str) else value


def _csv(text: str) -> str:
    # Before anything is escaped: a tab and a carriage return begin a formula too.
    is_formula = _FORMULA.match(text.lstrip())
    return f"'{escaped(text)}" if is_formula else escaped(text)


def _shell(text: str) -> str:
    # Within double quotes, which cliff puts around it and escapes itself.
    return _RUN_BY_SHELLS.sub(r'\\\1', escaped(text))


_SHOWN: Mapping[str, Callable[[str], str]] = {
    'csv': _csv,
    'shell': _shell,
    'table': escaped,
    'value': escaped,
}
