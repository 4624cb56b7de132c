# SPDX-License-Identifier: Apache-2.0
"""A log of one line each message, whatever text of others is in it."""

import logging

from nova_cellmap import text


class Filter(logging.Filter):
    """Lets a handler write each message on one line, a traceback's lines as they are."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:
            # The handler is to say what is wrong with the call.
            return True
        line = text.escaped(message)
        if line != message:
            record.msg, record.args = line, ()
        if record.exc_info and not record.exc_text:
            record.exc_text = _FORMATTER.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = text.escaped_lines(record.exc_text)
        return True


_FORMATTER = logging.Formatter()
_FILTER = Filter()


def escape() -> None:
    """Have the handlers that the process has write each message on one line."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_FILTER)
