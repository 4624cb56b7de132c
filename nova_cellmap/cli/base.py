# SPDX-License-Identifier: Apache-2.0
"""What the commands share: their options, and how they print and fail."""

import argparse
from collections.abc import Iterator, Mapping
import contextlib
import functools
import pathlib
import re
from typing import TYPE_CHECKING, Any, ClassVar

from cliff import _argparse as cliff_argparse
from cliff import command
from cliff import lister
from cliff import show

from nova_cellmap import exception
from nova_cellmap.cli import formats
from nova_cellmap.cli import streams
from nova_cellmap.cli.failures import CommandError as CommandError
from nova_cellmap.cli.failures import status_of as status_of
from nova_cellmap.cli.statuses import Status as Status
from nova_cellmap.text import escaped

if TYPE_CHECKING:
    from oslo_config import cfg

    from nova_cellmap.cli.app import App
    from nova_cellmap.context import RequestContext

_RELATIVE_SQLITE = re.compile('sqlite(?:[+][a-z]+)?:///(?!file(?::|%3A)/)[^/:?]')

# The largest number of rows that every database counts, and of those read or written at once.
MOST_ROWS = 2**63 - 1
MOST_AT_ONCE = 100_000


def positive(
    option: str, text: str | None, most: int = MOST_ROWS, status: int = Status.USAGE
) -> int | None:
    """The number that an option gives.

    :raises: CommandError with *status* where it is not one from 1 to *most*
    """
    if text is None:
        return None
    # int() refuses more digits than it converts in a reasonable time.
    is_number = text.isascii() and text.isdigit() and len(text) < 100
    if not is_number or not 0 < int(text) <= most:
        limit = '' if most == MOST_ROWS else f' of at most {most:,}'
        raise CommandError(f'{option} must be a positive number{limit}, not {text!r}.', status)
    return int(text)


class _HelpFormatter(argparse.RawDescriptionHelpFormatter, cliff_argparse.SmartHelpFormatter):
    """Keeps the line breaks of descriptions and examples."""


class Command(command.Command):
    """The base of every command.

    The first line of a class's docstring is its line in the list of commands.
    """

    # What to type, a line each; shown by --help.
    examples: ClassVar[tuple[str, ...]] = ()
    # What the exit statuses mean besides 0; shown by --help.
    exit_statuses: ClassVar[Mapping[int, str]] = {}
    # The exit status of an error, where it is not the one it has everywhere.
    statuses: ClassVar[Mapping[type[Exception], int]] = {}

    # Whether it says which database it works on, since it makes it or judges it.
    tells_database: ClassVar[bool] = False

    app: 'App'
    # The exit status of a command that comes to its end.
    status: int = 0

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.formatter_class = _HelpFormatter
        parser.allow_abbrev = False
        return parser

    def get_epilog(self) -> str:
        parts = []
        if self.examples:
            parts.append('examples:\n' + '\n'.join(f'  {line}' for line in self.examples))
        statuses = {0: 'success', **self.exit_statuses}
        parts.append(
            'exit status:\n' + '\n'.join(f'  {code:<3} {text}' for code, text in statuses.items())
        )
        return '\n\n'.join(parts)

    def run(self, parsed_args: argparse.Namespace) -> int:
        try:
            status = super().run(parsed_args) or self.status
            self.app.stdout.flush()
            return status
        except BrokenPipeError:
            raise
        except Exception as error:
            from oslo_config import cfg

            if isinstance(error, cfg.Error):
                error = CommandError(f'The configuration is wrong: {error}')
            return self.app.report(error, self.statuses)

    def say(self, message: str) -> None:
        """Tell a person something, where standard output is for scripts."""
        if not self.app.is_quiet:
            print(escaped(message), file=self.app.stderr)

    def answer(self, result: object) -> None:
        """Print the result, all that a command has to tell."""
        text = escaped(str(result))
        with self._telling_what_is_lost(text):
            print(text, file=self.app.stdout)

    @contextlib.contextmanager
    def _telling_what_is_lost(self, text: str) -> Iterator[None]:
        try:
            yield
            self.app.stdout.flush()
        except streams.OutputError as error:
            raise streams.OutputError(error.reason, text) from error

    @property
    def conf(self) -> 'cfg.ConfigOpts':
        return self.app.conf

    @functools.cached_property
    def context(self) -> 'RequestContext':
        """A context of its own; the process is bound to the configured database."""
        import nova_cellmap
        from nova_cellmap import context
        from nova_cellmap.conf import files

        try:
            nova_cellmap.configure(self.conf)
        except exception.InvalidInput as error:
            # Of the configuration, and not of a URL that a command was given.
            raise CommandError(str(error)) from error
        if self.tells_database or files.is_default(self.conf, 'api_database', 'connection'):
            self._tell_database()
        return context.get_admin_context()

    def _tell_database(self) -> None:
        from nova_cellmap.conf import files
        from nova_cellmap.db import engine

        shown = engine.of().shown_url
        if _RELATIVE_SQLITE.match(shown):
            with contextlib.suppress(OSError):
                shown = f'{shown} in {pathlib.Path.cwd()}'
        origin = files.origin(self.conf, 'api_database', 'connection', self.app.config_files)
        self.say(f'Mapping database: {shown} ({origin}).')


class _Display(Command):
    """A command with -f FORMAT and -c COLUMN."""

    # Those that it always has, where it does something before it prints them.
    columns: ClassVar[tuple[str, ...]] = ()

    def run(self, parsed_args: argparse.Namespace) -> int:
        if columns := self.columns_of(parsed_args):
            # Before anything is done that would have to be done again.
            try:
                self._check_columns(parsed_args, columns)
            except CommandError as error:
                return self.app.report(error)
        return super().run(parsed_args)

    def columns_of(self, parsed_args: argparse.Namespace) -> tuple[str, ...]:
        """The columns that it has with these options."""
        return self.columns

    def _check_columns(self, parsed_args: argparse.Namespace, column_names: Any) -> None:
        named = {*parsed_args.columns, *getattr(parsed_args, 'sort_columns', ())}
        unknown = named - set(column_names)
        if unknown:
            raise CommandError(
                f'There is no column {", ".join(sorted(unknown))}; '
                f'there are {", ".join(column_names)}.'
            )

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Any, data: Any) -> int:
        self._check_columns(parsed_args, column_names)
        result: int = super().produce_output(  # type: ignore[misc]
            parsed_args, column_names, data
        )
        return result


class Lister(_Display, lister.Lister):
    """A command that prints rows."""

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Any, data: Any) -> int:
        rows = (formats.shown(row, parsed_args.formatter) for row in data)
        return super().produce_output(parsed_args, column_names, rows)


class ShowOne(_Display, show.ShowOne):
    """A command that prints one thing, a field a row."""

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Any, data: Any) -> int:
        fields = ', '.join(map('{} {}'.format, column_names, data))
        with self._telling_what_is_lost(escaped(fields)):
            return super().produce_output(
                parsed_args, column_names, formats.shown(data, parsed_args.formatter)
            )
