# SPDX-License-Identifier: Apache-2.0
"""A log of one line each message, whatever text of others is in it, and that holds nothing up."""

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


def guard() -> None:
    """Have a file that cannot be written be no failure of the code that logs.

    A handler that watches its file raises where the folder is gone. A worker whose main process
    has died logs so before it ends, and would go on.
    """
    for handler in logging.getLogger().handlers:
        _guard(handler)


def _guard(handler: logging.Handler) -> None:
    emit = handler.emit

    def guarded(record: logging.LogRecord) -> None:
        try:
            emit(record)
        except OSError:
            handler.handleError(record)

    handler.emit = guarded  # type: ignore[method-assign]
