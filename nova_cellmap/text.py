# SPDX-License-Identifier: Apache-2.0
"""Text that others have written: what of it may be stored, and how it is shown.

The name of a cell, a project or an instance may hold what moves a terminal's cursor, ends a log's
line or turns the direction of the text.
"""

import re

_CONTROLS = '\x00-\x1f\x7f-\x9f'
# Halves of pairs: bytes that are no text, which cannot be encoded.
_SURROGATES = '\ud800-\udfff'
# What changes how all that is around it is shown: ends of lines and paragraphs, directions.
_AROUND = '\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069'
# Other invisible ones that hide something. Those that join letters and emoji are none of them.
_INVISIBLE = '\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f'

_CONTROL = re.compile(f'[{_CONTROLS}]')
_SURROGATE = re.compile(f'[{_SURROGATES}]')
_ODD = re.compile(f'[{_CONTROLS}{_SURROGATES}{_AROUND}]')
_HIDDEN = re.compile(f'[{_CONTROLS}{_SURROGATES}{_AROUND}{_INVISIBLE}]')

# In characters.
_MOST_SHOWN = 100


def odd_character(text: str) -> str | None:
    """Return the first character that changes how what is around it is shown, escaped.

    A terminal, a log or a table obeys it: control characters, line ends, and what turns the
    direction of writing. Half of a pair of surrogates counts too: it cannot be encoded.
    """
    # Of nearly all text this is the case, and it takes a tenth of the time. So it does below.
    odd = None if text.isprintable() else _ODD.search(text)
    return None if odd is None else ascii(odd.group())[1:-1]


def has_control(text: str) -> bool:
    """Whether it has a control character."""
    return not text.isprintable() and _CONTROL.search(text) is not None


def is_encodable(text: str) -> bool:
    """Whether it has no half of a pair of surrogates, which stand for bytes that are no text."""
    return text.isprintable() or _SURROGATE.search(text) is None


def shown(value: object) -> str:
    """Return a value of any kind for a message: short, and with nothing odd in it."""
    if isinstance(value, str | bytes):
        cut = value[:_MOST_SHOWN]
        return ascii(cut) if cut == value else f'{ascii(cut)}... ({len(value)} long)'
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int) and abs(value) < 10**_MOST_SHOWN:
        return repr(value)
    return f'{type(value).__name__}'


def line(text: str, most: int) -> str:
    """*text* as a part of a line: of so many characters, all of them printable."""
    if len(text) > most:
        text = f'{text[:most]}... ({len(text)} characters)'
    if text.isprintable():
        return text
    return ''.join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def escaped(text: str) -> str:
    r"""*text* on one line, with what is no visible character as ``\x1b`` or ``\u202e``."""
    return _HIDDEN.sub(_escape, text)


def escaped_lines(text: str) -> str:
    """As :func:`escaped`, but with its line ends and tabs."""
    return _HIDDEN.sub(_escape_within, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code < 0x100:
        return f'\\x{code:02x}'
    return f'\\u{code:04x}' if code < 0x10000 else f'\\U{code:08x}'


def _escape_within(found: re.Match[str]) -> str:
    return found.group() if found.group() in '\n\t' else _escape(found)
