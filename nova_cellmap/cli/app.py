# SPDX-License-Identifier: Apache-2.0
"""A program: its global options, its configuration, how it ends."""

import argparse
from collections.abc import Mapping
from importlib import metadata
import itertools
import logging
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any
import warnings

import autopage.argparse
from cliff import app
from cliff import command
from cliff import commandmanager
from cliff import help as help_command

from nova_cellmap import log_lines
from nova_cellmap import private_files
from nova_cellmap import version
from nova_cellmap.cli import failures
from nova_cellmap.cli import streams
from nova_cellmap.cli.failures import CommandError
from nova_cellmap.cli.statuses import Status
from nova_cellmap.text import escaped

if TYPE_CHECKING:
    from oslo_config import cfg

# Loggers of libraries that tell at length, with tracebacks, what the command says in a line.
_TALKATIVE = ('oslo_db', 'sqlalchemy', 'stevedore')

# As a shell says it of a program that the signal has ended.
_SIGPIPE = 128 + signal.SIGPIPE


class App(app.App):
    """A program: its global options, and how it fails.

    :param commands: the class of each command, as ``module:Class``; only the one that is
        called is imported
    """

    # What cliff would say of an error in a command, report() says, with an exit status.
    LOG = logging.getLogger('nova_cellmap.cliff')
    LOG.propagate = False
    LOG.addHandler(logging.NullHandler())

    def __init__(self, name: str, description: str, commands: Mapping[str, str]) -> None:
        self.NAME = name
        self._conf: cfg.ConfigOpts | None = None
        # The configuration files that were read.
        self.config_files: list[str] = []
        manager = commandmanager.CommandManager()
        for words, target in commands.items():
            manager.commands[words] = metadata.EntryPoint(words, target, name)
        super().__init__(description, version.__version__, manager, deferred_help=True)

    def build_option_parser(
        self, description: str | None, version: str | None, argparse_kwargs: Any = None
    ) -> argparse.ArgumentParser:
        parser = super().build_option_parser(description, version, {'allow_abbrev': False})
        parser.add_argument(
            '--config-file',
            metavar='FILE',
            action='append',
            help='A configuration file; may be given several times, later ones win. '
            'By default those in ~/.nova-cellmap and /etc/nova-cellmap are read.',
        )
        parser.add_argument(
            '--config-dir',
            metavar='DIR',
            action='append',
            help='A folder of *.conf files, read after the configuration files.',
        )
        return parser

    def configure_logging(self) -> None:
        try:
            if self.options.log_file:
                private_files.check_log(self.options.log_file)
            super().configure_logging()
        except OSError as error:
            raise SystemExit(
                self.report(CommandError(f'--log-file {self.options.log_file}: {error.strerror}'))
            ) from None
        log_lines.escape()
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.FileHandler):
                self._tell_once_of_errors(handler)
        if self.options.debug or self.options.verbose_level > 1:
            return
        # Of libraries only what is wrong, and not at length what the command says in a line.
        logging.getLogger().setLevel(logging.WARNING)
        logging.getLogger('nova_cellmap').setLevel(logging.INFO)
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def _tell_once_of_errors(self, handler: logging.FileHandler) -> None:
        """A log that is full stops no work."""

        def tell(record: logging.LogRecord) -> None:
            handler.handleError = lambda record: None  # type: ignore[method-assign]
            error = sys.exc_info()[1]
            print(f'{self.NAME}: --log-file {handler.baseFilename}: {error}', file=self.stderr)

        handler.handleError = tell  # type: ignore[method-assign]

    def print_help_if_requested(self) -> None:
        # cliff's own looks through all that is installed, which takes longer than the rest.
        if not self.options.deferred_help:
            return
        try:
            self._print_help()
        except BrokenPipeError:
            raise
        except Exception as error:
            raise SystemExit(self.report(error)) from None
        raise SystemExit(0)

    def _print_help(self) -> None:
        commands = {name: point.load() for name, point in self.command_manager}
        width = max(map(len, commands))
        with autopage.argparse.help_pager(self.stdout) as out:
            self.parser.print_help(out)
            print('\nCommands:', file=out)
            for name, command_class in sorted(commands.items()):
                print(f'  {name:{width}}  {_summary(command_class)}', file=out)
            print(f"\n'{self.NAME} COMMAND --help' tells more, with examples.", file=out)

    def run_subcommand(self, argv: list[str]) -> int:
        if argv[0] == 'help':
            # 'COMMAND --option value --help' asks about the command.
            argv = [*itertools.takewhile(lambda text: not text.startswith('-'), argv)]
        if any(text.endswith('=--') for text in argv):
            # argparse makes an empty list of it.
            return self.report(CommandError('-- is no value.'))
        for variable in ('CLIFF_MAX_TERM_WIDTH', 'CLIFF_FIT_WIDTH'):
            number = os.environ.get(variable, '0')
            if not (number.isascii() and number.isdigit() and len(number) < 10):
                return self.report(
                    CommandError(f'The environment variable {variable} must be a number.')
                )
        try:
            self.command_manager.find_command(argv)
        except ValueError:
            return self.report(CommandError(self._unknown(argv)))
        self._error: Exception | None = None
        status = super().run_subcommand(argv)
        return self.report(self._error) if self._error else status

    def clean_up(self, cmd: Any, result: int, err: BaseException | None) -> None:
        # Of a command's parser, say. cliff would end with 1, which commands mean something by.
        if isinstance(err, ValueError) and isinstance(cmd, help_command.HelpCommand):
            self._error = CommandError(f'There is no help on that: {err}')
        elif isinstance(err, Exception) and not isinstance(err, BrokenPipeError):
            self._error = err

    def interact(self) -> None:
        """Called where no command was given."""
        super().run_subcommand(['help'])
        raise SystemExit(self.report(CommandError(self._unknown([]))))

    @property
    def is_quiet(self) -> bool:
        return bool(self.options.verbose_level == 0)

    @property
    def conf(self) -> 'cfg.ConfigOpts':
        """The configuration that the options name, read when it is first asked for."""
        if self._conf is None:
            from oslo_config import cfg

            from nova_cellmap import conf

            made = cfg.ConfigOpts()
            conf.register_opts(made)
            try:
                self.config_files = conf.read(
                    made, [], self.options.config_file, self.options.config_dir
                )
            except (cfg.Error, OSError) as error:
                raise CommandError(f'The configuration cannot be read: {error}') from error
            self._conf = made
        return self._conf

    def report(
        self, error: Exception, statuses: Mapping[type[Exception], int] | None = None
    ) -> int:
        """Print *error* on standard error; answer the exit status it has."""
        # There are none where the arguments could not be read.
        if getattr(self, 'options', None) and self.options.debug:
            traceback.print_exception(error, file=self.stderr)
        error = failures.of_machine(error)
        status = failures.status_of(error, statuses or {})
        text = str(error)
        if status == Status.UNFORESEEN:
            text = f'Unforeseen: {type(error).__name__}. --debug shows where.'
        print(f'{self.NAME}: {escaped(text)}', file=self.stderr)
        return status

    def _unknown(self, argv: list[str]) -> str:
        words = ' '.join(argv[:2])
        near = [name for name, _ in self.command_manager if argv and name.startswith(argv[0])]
        hint = f'There are: {", ".join(sorted(near))}.' if near else f'See {self.NAME} --help.'
        return f'There is no command {words!r}. {hint}' if argv else f'Give a command. {hint}'


def _summary(command_class: type[command.Command]) -> str:
    return (command_class.__doc__ or '').split('\n', maxsplit=1)[0].rstrip('.')


def main(program: App, argv: list[str] | None = None) -> int:
    """Run *program*; answer its exit status."""
    # oslo.messaging imports eventlet, which we do not use, and which warns every operator
    # of something that only its developers can change.
    warnings.filterwarnings('ignore', message=r'\s*Eventlet is deprecated')
    with streams.prepared() as (program.stdout, program.stderr):
        status = _run(program, sys.argv[1:] if argv is None else argv)
        try:
            program.stdout.flush()
        except (streams.OutputError, BrokenPipeError) as error:
            streams.discard_output()
            # A command has told of it already.
            status = status or _told(program, error)
    return status


def _run(program: App, argv: list[str]) -> int:
    try:
        return program.run(argv)
    except SystemExit as exit:
        # argparse leaves with 2, which some commands have another meaning for.
        return Status.USAGE if exit.code == 2 else int(exit.code or 0)
    except (streams.OutputError, BrokenPipeError) as error:
        return _told(program, error)


def _told(program: App, error: Exception) -> int:
    return _SIGPIPE if isinstance(error, BrokenPipeError) else program.report(error)
