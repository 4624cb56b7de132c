# SPDX-License-Identifier: Apache-2.0
"""Text that others have written: what of it may be stored, and how it is shown."""

import unicodedata

# Control characters, halves of pairs, and what ends a line or a paragraph.
_ODD_CATEGORIES = frozenset({'Cc', 'Cs', 'Zl', 'Zp'})
# What turns the direction of all that is written after it.
_DIRECTIONS = frozenset('\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069')
# In characters.
_MOST_SHOWN = 100


def odd_character(text: str) -> str | None:
    """Return the first character that changes how what is around it is shown, escaped.

    A terminal, a log or a table obeys it: control characters, line ends, and what turns the
    direction of writing. Half of a pair of surrogates counts too: it cannot be encoded.
    """
    # Of nearly all text this is true, and takes a tenth of the time.
    if text.isprintable():
        return None
    odd = next((each for each in text if _is_odd(each)), None)
    return None if odd is None else ascii(odd)[1:-1]


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


def _is_odd(character: str) -> bool:
    return character in _DIRECTIONS or unicodedata.category(character) in _ODD_CATEGORIES
