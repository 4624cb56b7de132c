# SPDX-License-Identifier: Apache-2.0
"""Directives that describe a program from its own parsers, so that no page goes stale.

``.. program-options:: nova-cellmap-manage``
    The options that stand before the command.

``.. program-command:: nova-cellmap-manage db sync``
    A command: what it does, its synopsis, options, exit statuses and examples.

``.. output-options:: nova-cellmap-manage cell_v2 list_cells``
    The options that a command shares with every other one that prints rows.

``.. program-help:: nova-cellmap-conductor``
    What the --help of a program without commands prints.

The build warns of a command of these programs that no page describes.
"""

import argparse
from collections.abc import Iterable, Iterator
import contextlib
import importlib
import io
import os
import re
import sys
import textwrap
from typing import Any
from unittest import mock

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

LOG = logging.getLogger(__name__)

PROGRAMS = {
    'nova-cellmap-manage': 'nova_cellmap.cli.manage',
    'nova-cellmap-status': 'nova_cellmap.cli.status',
}
# Those without commands.
PLAIN_PROGRAMS = {
    'nova-cellmap-conductor': 'nova_cellmap.cli.conductor',
}
# The title that argparse gives to a parser's own options.
_OWN = {'positional arguments', 'options'}


def load(program: str) -> Any:
    """The cliff application of a program."""
    return importlib.import_module(PROGRAMS[program]).program()


def commands(program: str) -> list[str]:
    """The commands of a program, without those that cliff adds to every one."""
    manager = load(program).command_manager
    return [
        words
        for words in manager.commands
        if manager.find_command(words.split())[0].__module__.startswith('nova_cellmap.')
    ]


def command_class(program: str, words: str) -> Any:
    """The class of a command."""
    return load(program).command_manager.find_command(words.split())[0]


def command_parser(program: str, words: str) -> argparse.ArgumentParser:
    """The parser of a command."""
    command = command_class(program, words)(load(program), None, cmd_name=words)
    parser: argparse.ArgumentParser = command.get_parser(f'{program} {words}')
    return parser


def describe_program(program: str) -> Iterator[str]:
    """What comes before the command, as reStructuredText."""
    parser = load(program).parser
    yield from _synopsis(program, parser, parser._actions, '<command> [<argument> ...]')
    yield f'.. program:: {program}'
    yield ''
    yield from _options(parser, parser._actions)


def describe_command(program: str, words: str) -> Iterator[str]:
    """A command, as reStructuredText."""
    cls, parser = command_class(program, words), command_parser(program, words)
    own = list(_actions(parser, own=True))
    for paragraph in (parser.description or '').split('\n\n'):
        yield from (_text(paragraph), '')
    printed = '[<output options>]' if any(_actions(parser, own=False)) else ''
    yield from _synopsis(f'{program} {words}', parser, own, printed)
    yield f'.. program:: {program} {words}'
    yield ''
    yield from _options(parser, own)
    yield from ('.. rubric:: Exit status', '', '.. list-table::', '   :widths: 10 90', '')
    for status, meaning in sorted({0: 'success', **cls.exit_statuses}.items()):
        yield from (f'   * - ``{int(status)}``', f'     - {_text(meaning)}')
    yield from ('', '.. rubric:: Examples', '', '.. code-block:: console', '')
    for line in cls.examples:
        is_new = not line.startswith((' ', '#'))
        yield f'   {"$ " if is_new else ""}{line}'
    yield ''


def describe_output(program: str, words: str) -> Iterator[str]:
    """The options of a command that are not its own, as reStructuredText."""
    parser = command_parser(program, words)
    yield f'.. program:: {program} output'
    yield ''
    yield from _options(parser, _actions(parser, own=False))


def describe_help(program: str) -> Iterator[str]:
    """What --help prints, as reStructuredText."""
    main = importlib.import_module(PLAIN_PROGRAMS[program]).main
    printed = io.StringIO()
    with (
        mock.patch.object(sys, 'argv', [program, '--help']),
        mock.patch.dict(os.environ, COLUMNS='90'),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        main()
    yield from ('.. code-block:: text', '')
    yield from textwrap.indent(printed.getvalue(), '   ').splitlines()
    yield ''


def _actions(parser: argparse.ArgumentParser, own: bool) -> Iterator[argparse.Action]:
    """The options of a command that are its own, or the others; without --help."""
    for group in parser._action_groups:
        if (group.title in _OWN) is own:
            yield from (a for a in group._group_actions if '--help' not in a.option_strings)


def _synopsis(
    program: str, parser: argparse.ArgumentParser, actions: Iterable[argparse.Action], more: str
) -> Iterator[str]:
    parts = [program, *map(_usage, actions), more]
    line = ' '.join(part for part in parts if part)
    yield from ('.. code-block:: text', '')
    yield from textwrap.wrap(
        line,
        86,
        initial_indent='   ',
        subsequent_indent='       ',
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield ''


def _usage(action: argparse.Action) -> str:
    # No-break spaces keep an option and its value on one line.
    value = '' if action.nargs == 0 else _value(action)
    if not action.option_strings:
        return f'[{value}]' if action.nargs == '?' else value
    text = '\xa0'.join(part for part in (action.option_strings[0], value) if part)
    return text if action.required else f'[{text}]'


def _options(parser: argparse.ArgumentParser, actions: Iterable[argparse.Action]) -> Iterator[str]:
    formatter = parser._get_formatter()
    for action in actions:
        if action.help == argparse.SUPPRESS:
            continue
        value = '' if action.nargs == 0 else _value(action)
        names = [f'{name} {value}'.strip() for name in action.option_strings] or [value]
        yield from (f'.. option:: {", ".join(names)}', '')
        yield f'   {_text(formatter._expand_help(action))}'
        yield ''


def _value(action: argparse.Action) -> str:
    if action.choices and action.metavar is None:
        return '|'.join(sorted(map(str, action.choices)))
    return str(action.metavar or action.dest.upper()).strip('<>')


def _text(text: str) -> str:
    """Plain text as reStructuredText; what is in backticks becomes a literal."""
    parts = re.split('`([^`]*)`', ' '.join(text.split()))
    plain = [re.sub(r'([\\*|_])', r'\\\1', part) for part in parts]
    return ''.join(f'``{parts[n]}``' if n % 2 else plain[n] for n in range(len(parts)))


class _Described(SphinxDirective):
    """Lines of reStructuredText in the directive's place."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        program, _, words = ' '.join(self.arguments[0].split()).partition(' ')
        return self.parse_text_to_nodes('\n'.join(self.lines(program, words)))

    def lines(self, program: str, words: str) -> Iterable[str]:
        raise NotImplementedError


class ProgramOptions(_Described):
    def lines(self, program: str, words: str) -> Iterable[str]:
        return describe_program(program)


class ProgramCommand(_Described):
    def lines(self, program: str, words: str) -> Iterable[str]:
        described = self.env.metadata[self.env.docname].setdefault('commands', '')
        self.env.metadata[self.env.docname]['commands'] = f'{described}{program} {words}\n'
        return describe_command(program, words)


class OutputOptions(_Described):
    def lines(self, program: str, words: str) -> Iterable[str]:
        return describe_output(program, words)


class ProgramHelp(_Described):
    def lines(self, program: str, words: str) -> Iterable[str]:
        return describe_help(program)


def _check_all_described(app: Sphinx, env: BuildEnvironment) -> None:
    described = {
        line
        for metadata in env.metadata.values()
        for line in metadata.get('commands', '').splitlines()
    }
    for program in PROGRAMS:
        for words in commands(program):
            if f'{program} {words}' not in described:
                LOG.warning('no page describes the command: %s %s', program, words)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive('program-options', ProgramOptions)
    app.add_directive('program-command', ProgramCommand)
    app.add_directive('output-options', OutputOptions)
    app.add_directive('program-help', ProgramHelp)
    app.connect('env-check-consistency', _check_all_described)
    return {'parallel_read_safe': True}
