# SPDX-License-Identifier: Apache-2.0
"""Text of others on its way to a terminal, a log or a spreadsheet.

The name of a cell, a project or an instance may hold what moves a terminal's cursor, ends a log's
line or turns the direction of the text.
"""

import logging
import re

# Control characters; ends of lines and paragraphs; halves of pairs, which are bytes that are no
# text; and of the invisible ones those that turn the direction of text or hide some. Other
# invisible ones join letters and emoji.
_ODD = re.compile(
    '[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff'
    '\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]'
)


def escaped(text: str) -> str:
    r"""*text* on one line, with what is no visible character as ``\x1b`` or ``\u202e``."""
    return _ODD.sub(_escape, text)


def escaped_lines(text: str) -> str:
    """As :func:`escaped`, but with its line ends and tabs."""
    return _ODD.sub(_escape_within, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code < 0x100:
        return f'\\x{code:02x}'
    return f'\\u{code:04x}' if code < 0x10000 else f'\\U{code:08x}'


def _escape_within(found: re.Match[str]) -> str:
    return found.group() if found.group() in '\n\t' else _escape(found)


class LogFilter(logging.Filter):
    """Lets a handler write each message on one line, a traceback's lines as they are."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:
            # The handler is to say what is wrong with the call.
            return True
        text = escaped(message)
        if text != message:
            record.msg, record.args = text, ()
        if record.exc_info and not record.exc_text:
            record.exc_text = _FORMATTER.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = escaped_lines(record.exc_text)
        return True


_FORMATTER = logging.Formatter()
_FILTER = LogFilter()


def escape_logs() -> None:
    """Have the handlers that the process has write each message on one line."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_FILTER)
