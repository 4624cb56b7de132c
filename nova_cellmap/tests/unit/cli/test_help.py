# SPDX-License-Identifier: Apache-2.0
"""Every command and every option is explained: by --help, and in the documentation."""

import argparse
from collections.abc import Callable, Iterator
import contextlib
import io
import pathlib
import re
import shlex
from typing import Any, NamedTuple

import testtools

from nova_cellmap.cli import app
from nova_cellmap.cli import base
from nova_cellmap.cli import manage
from nova_cellmap.cli import status
from nova_cellmap.tests import base as tests_base

_README = pathlib.Path(__file__).parents[4] / 'README.rst'
_DOCUMENTATION = _README.parent / 'doc' / 'source'
# What the pages generate from the parsers themselves.
_DIRECTIVE = re.compile(
    r'^\s*\.\. (program-options|program-command|output-options):: (\S+)(?: (.+))?$', re.M
)


class _Command(NamedTuple):
    program: str
    main: Callable[[list[str]], int]
    words: str
    command: Any
    parser: argparse.ArgumentParser

    @property
    def own(self) -> list[argparse.Action]:
        """Its options without those of the output's formats."""
        titles = ('positional arguments', 'options')
        groups = [group for group in self.parser._action_groups if group.title in titles]
        return [action for group in groups for action in group._group_actions]

    @property
    def shared(self) -> list[argparse.Action]:
        """The options of the output's formats."""
        return [action for action in self.parser._actions if action not in self.own]


def _programs() -> Iterator[tuple[app.App, Callable[[list[str]], int]]]:
    yield manage.program(), manage.main
    yield status.program(), status.main


def _commands() -> Iterator[_Command]:
    """The commands of the programs, without those that cliff adds."""
    for program, main in _programs():
        for words in program.command_manager.commands:
            factory, _, _ = program.command_manager.find_command(words.split())
            if not issubclass(factory, base.Command):
                continue
            command = factory(program, None)
            parser = command.get_parser(f'{program.NAME} {words}')
            yield _Command(program.NAME, main, words, command, parser)


def _output_of(main: Callable[[list[str]], int], *argv: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        ended = main(list(argv))
    if ended:
        raise AssertionError(f'{argv} ended with {ended}')
    return out.getvalue()


def _long_options(actions: list[argparse.Action]) -> set[str]:
    """Those that are meant to be seen."""
    shown = [action for action in actions if action.help != argparse.SUPPRESS]
    names = {name for action in shown for name in action.option_strings}
    return {name for name in names if name.startswith('--')}


class Help(tests_base.TestCase):
    def test_every_command_of_the_table_is_looked_at(self) -> None:
        words = {each.words for each in _commands()}
        self.assertEqual({*manage.COMMANDS, 'upgrade check'}, words)

    def test_every_command_says_what_it_does(self) -> None:
        for each in _commands():
            first, *_ = each.command.get_description().splitlines()
            self.assertThat(first, testtools.matchers.MatchesRegex(r'[A-Z].+[.]$'), each.words)

    def test_every_option_has_help(self) -> None:
        for each in _commands():
            for action in each.parser._actions:
                self.assertTrue(action.help, f'{each.words} {action}')

    def test_every_option_of_the_programs_has_help(self) -> None:
        for program, _ in _programs():
            for action in program.parser._actions:
                self.assertTrue(action.help, action)

    def test_every_value_has_a_name_of_its_own(self) -> None:
        for each in _commands():
            for action in each.own:
                if action.nargs != 0:
                    self.assertTrue(action.metavar, f'{each.words} {action}')

    def test_every_exit_status_has_a_meaning(self) -> None:
        for each in _commands():
            known = {0, *each.command.exit_statuses}
            for error, number in each.command.statuses.items():
                self.assertIn(number, known, f'{each.words} {error}')

    def test_help_shows_the_options_the_examples_and_the_exit_statuses(self) -> None:
        for each in _commands():
            shown = _output_of(each.main, *each.words.split(), '--help')
            self.assertEqual(shown, _output_of(each.main, 'help', *each.words.split()))
            for number, meaning in each.command.exit_statuses.items():
                self.assertRegex(shown, rf'\n  {int(number)} +{re.escape(meaning)}')
            for text in (*each.command.examples, *_long_options(each.own)):
                self.assertIn(text, shown)

    def test_help_of_the_programs_lists_the_commands(self) -> None:
        for program, main in _programs():
            shown = _output_of(main, '--help')
            for words in program.command_manager.commands:
                self.assertIn(words, shown)


class Examples(tests_base.TestCase):
    def test_every_command_has_examples_that_it_accepts(self) -> None:
        for each in _commands():
            found = 0
            text = '\n'.join(each.command.examples).replace('\\\n', ' ')
            for line in re.findall(rf'{each.program} ([^;|\n]*)', text):
                argv = shlex.split(line)
                count = len(each.words.split())
                self.assertEqual(each.words, ' '.join(argv[:count]))
                each.parser.parse_args(argv[count:])
                found += 1
            self.assertTrue(found, f'{each.words} has no example')


class Documentation(tests_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        pages = sorted(_DOCUMENTATION.rglob('*.rst'))
        self.text = '\n'.join(page.read_text() for page in pages)
        self.generated = {
            (kind, f'{program} {words}'.strip())
            for kind, program, words in _DIRECTIVE.findall(self.text)
        }

    def test_every_command_is_described_with_its_exit_statuses(self) -> None:
        missing = []
        for each in _commands():
            name = f'{each.program} {each.words}'
            if ('program-command', name) not in self.generated:
                texts = (name, *each.command.exit_statuses.values())
                missing += [text for text in texts if text not in self.text]
        self.assertEqual([], missing)

    def test_every_command_line_is_accepted(self) -> None:
        text = '\n'.join([self.text, _README.read_text()]).replace('\\\n', ' ')
        lines = re.findall(r'^ *\$ (nova-cellmap-(?:manage|status) [^\n]*)', text, re.M)
        self.assertGreater(len(lines), 50)
        for line in lines:
            # Up to what the shell makes of it.
            program, *argv = shlex.split(re.split(r'[|;<#]|2?>', line)[0].rstrip(') '))
            self.assert_accepted(program, argv, line)

    def assert_accepted(self, name: str, argv: list[str], line: str) -> None:
        programs = {program.NAME: program for program, _ in _programs()}
        _, words = programs[name].parser.parse_known_args(argv)
        if words[0] in ('help', 'complete'):
            return
        found = [
            each for each in _commands() if f'{" ".join(words)} '.startswith(f'{each.words} ')
        ]
        self.assertEqual([name], [each.program for each in found], line)
        [command] = found
        command.parser.parse_args(words[len(command.words.split()) :])

    def test_every_option_is_described(self) -> None:
        options: set[str] = set()
        generated: set[str] = set()
        for program, _ in _programs():
            own = _long_options(program.parser._actions)
            options |= own
            if ('program-options', program.NAME) in self.generated:
                generated |= own
        for each in _commands():
            name = f'{each.program} {each.words}'
            own, shared = _long_options(each.own), _long_options(each.shared)
            options |= own | shared
            if ('program-command', name) in self.generated:
                generated |= own
            if ('output-options', name) in self.generated:
                generated |= shared
        written = set(re.findall(r'(?<![\w-])--[\w-]+', self.text))
        self.assertEqual(set(), options - generated - written)
