# SPDX-License-Identifier: Apache-2.0
"""URLs that commands are given, which hold passwords.

Everybody on the machine sees a command line. So whatever takes a URL takes a file, standard input
or an environment variable in its place.
"""

import argparse
import os
import sys

from nova_cellmap import exception
from nova_cellmap.cli import base

# In bytes; ten times what a URL may have.
_LARGEST = 40_000


def add(
    parser: argparse.ArgumentParser, *names: str, dest: str, help: str, required: bool = False
) -> None:
    """The options for one URL: *names*, and the same with ``-file`` and ``-env`` behind."""
    group = parser.add_mutually_exclusive_group(required=required)
    group.add_argument(*names, dest=dest, metavar='URL', help=help)
    group.add_argument(
        *_with(names, '-file'),
        dest=f'{dest}_file',
        metavar='FILE',
        help='A file with that URL in it, which nobody else may read; - for standard input.',
    )
    group.add_argument(
        *_with(names, '-env'),
        dest=f'{dest}_env',
        metavar='VARIABLE',
        help='The name of an environment variable with that URL in it.',
    )


def _with(names: tuple[str, ...], ending: str) -> list[str]:
    return [f'{name}{ending}' for name in names]


def given(parsed_args: argparse.Namespace, dest: str, option: str) -> str | None:
    """The URL that was given in one of these ways; None where none was.

    :param option: its name, for messages
    :raises: CommandError where it cannot be read; InvalidURL where it is empty
    """
    text: str | None = getattr(parsed_args, dest)
    file: str | None = getattr(parsed_args, f'{dest}_file')
    variable: str | None = getattr(parsed_args, f'{dest}_env')
    if file is not None:
        option = f'{option}-file {file}'
        text = _one_line(option, _read(option, file))
    elif variable is not None:
        option = f'{option}-env {variable}'
        if variable not in os.environ:
            raise base.CommandError(
                f'{option}: there is no such environment variable.', base.Status.NO_INPUT
            )
        text = _one_line(option, os.environ[variable])
    if text is not None and not text.strip():
        raise exception.InvalidURL(reason=f'{option}: the URL is empty.')
    return text


def _read(option: str, name: str) -> str:
    try:
        data = _from_standard_input() if name == '-' else _from_file(name)
    except FileNotFoundError:
        raise base.CommandError(
            f'{option}: there is no such file.', base.Status.NO_INPUT
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, 'strerror', None) or error
        raise base.CommandError(f'{option}: {why}.') from None
    if len(data) > _LARGEST:
        raise base.CommandError(f'{option}: that is no URL: it has more than {_LARGEST:,} bytes.')
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise base.CommandError(f'{option}: that is no URL: it is not UTF-8.') from None


def _from_standard_input() -> bytes:
    if sys.stdin is None:
        return b''
    return sys.stdin.buffer.read(_LARGEST + 1)


def _from_file(name: str) -> bytes:
    # A named pipe that nobody writes to is empty, and not waited for.
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, 'rb') as file:
        os.set_blocking(descriptor, True)
        return file.read(_LARGEST + 1)


def _one_line(option: str, text: str) -> str:
    lines = text.strip().splitlines()
    if len(lines) > 1:
        raise base.CommandError(f'{option}: there is more than one line.')
    return lines[0] if lines else ''
