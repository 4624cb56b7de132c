# SPDX-License-Identifier: Apache-2.0
"""Whatever is typed: every command ends in an exit status that was foreseen."""

import argparse
import itertools
import os

import hypothesis
from hypothesis import strategies as st

from nova_cellmap import nova_cell
from nova_cellmap.cli import manage
from nova_cellmap.db import engine
from nova_cellmap.db.schemas import own
from nova_cellmap.tests.functional.cells import base as cells_base
from nova_cellmap.tests.functional.cli import base
from nova_cellmap.text import escaped

_CELL = '5d6e5a3c-9a5e-4f5c-8a39-6a2f7a1f3b11'
_INSTANCE = '0f8c7a4e-52c5-4b0e-b1f1-0a3c8a5d9e22'
_CELL0 = '00000000-0000-0000-0000-000000000000'

# What an argument can hold: all but NUL, and bytes that are no UTF-8 as half surrogate pairs.
_CHARACTERS = st.one_of(
    st.characters(exclude_categories=['Cs'], exclude_characters='\0'),
    st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=['Cs']),
)
_KNOWN = (_CELL, _CELL.upper(), _CELL0, _INSTANCE, _INSTANCE.replace('-', ''), 'cell1', 'project')
_URLS = (
    'none:///',
    'sqlite:///nosuch/x.sqlite',
    'mysql+pymysql://nova@db/x',
    'rabbit://nova@mq:5672/x',
    '{scheme}://{username}:{password}@{hostname}:{port}/{path}',
)
_COLUMNS = ('uuid', 'name', 'instance_uuid', 'cell_uuid', 'disabled', 'created')
_HARD = (
    '',
    ' ',
    '-',
    '--',
    '\n',
    '\x1b[2J',
    '[/red]',
    '=cmd',
    '\u202e',
    '\udcff',
    '\U0001f600',
    'x' * 60,
    'x' * 300,
    'ä' * 70_000,
)
_NUMBERS = ('-1', '0', '1', '9' * 30, '1e3')
_TEXTS = st.one_of(
    st.sampled_from(_KNOWN),
    st.sampled_from(_HARD),
    st.sampled_from(_URLS + _COLUMNS + _NUMBERS),
    st.integers().map(str),
    st.uuids().map(str),
    st.text(_CHARACTERS, max_size=20),
)


def _program_actions() -> list[argparse.Action]:
    # The tests name the configuration and keep the file system clean.
    kept = {'--log-file'}
    return [
        action
        for action in manage.program().parser._actions
        if not kept & set(action.option_strings)
    ]


def _command_actions(words: str) -> list[argparse.Action]:
    """The options of a command; its own more often than those of the output's formats."""
    program = manage.program()
    factory, name, _ = program.command_manager.find_command(words.split())
    parser: argparse.ArgumentParser = factory(program, None).get_parser(name)
    titles = ('positional arguments', 'options')
    own = [group._group_actions for group in parser._action_groups if group.title in titles]
    return [*parser._actions, *itertools.chain(*own), *itertools.chain(*own)]


_PROGRAM_ACTIONS = _program_actions()
_COMMAND_ACTIONS = {words: _command_actions(words) for words in manage.COMMANDS}


@st.composite
def _arguments(draw: st.DrawFn, action: argparse.Action) -> list[str]:
    """An option, or an argument, with a value."""
    if action.nargs == 0:
        return [draw(st.sampled_from(action.option_strings))]
    value = draw(_TEXTS)
    if action.choices and draw(st.integers(0, 3)):
        value = draw(st.sampled_from(sorted(action.choices)))
    if not action.option_strings:
        return [value]
    option = draw(st.sampled_from(action.option_strings))
    return [f'{option}={value}'] if draw(st.booleans()) else [option, value]


@st.composite
def _command_lines(draw: st.DrawFn) -> list[str]:
    words = draw(st.sampled_from(sorted(_COMMAND_ACTIONS)))
    actions = _COMMAND_ACTIONS[words]
    needed = dict.fromkeys(each for each in actions if each.required)
    chosen = [each for each in needed if draw(st.integers(0, 9))]
    chosen += draw(st.lists(st.sampled_from(actions), max_size=5))
    if not draw(st.integers(0, 4)):
        chosen.append(draw(st.sampled_from(_PROGRAM_ACTIONS)))
    parts = [draw(_arguments(action)) for action in draw(st.permutations(chosen))]
    if not draw(st.integers(0, 9)):
        parts.append([draw(_TEXTS)])
    return [*words.split(), *(text for part in parts for text in part)]


class _Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # Relative paths lead into a folder of the test's own.
        self.addCleanup(os.chdir, os.getcwd())  # noqa: PTH109
        os.chdir(self.folder)
        nova_cell.add(self.nova, uuid=_INSTANCE)
        self.configure(
            DEFAULT={'transport_url': 'rabbit://nova:sekret@mq:5672/'},
            database={'connection': 'mysql+pymysql://nova:sekret@db:3306/nova'},
        )

    def begin_anew(self) -> None:
        cells = (_CELL, 'cell1', cells_base.url_of(self.nova)), (_CELL0, 'cell0', 'none:///')
        rows = [
            {'uuid': uuid, 'name': name, 'database_connection': url, 'transport_url': 'none:///'}
            for uuid, name, url in cells
        ]
        row = {'instance_uuid': _INSTANCE, 'cell_uuid': _CELL, 'project_id': 'project'}
        with engine.of().writer.begin() as connection:
            for table in reversed(own.metadata.sorted_tables):
                connection.execute(table.delete())
            connection.execute(own.cell_mapping.insert(), rows)
            connection.execute(own.instance_mapping.insert(), row)

    def assert_foreseen(self, argv: list[str]) -> None:
        outcome = self.call(*argv)
        self.assertIsInstance(outcome.status, int)
        self.assertIn(outcome.status, range(255), str(outcome))
        if not {'--debug', '-v', '--verbose'} & set(argv):
            self.assertNotIn('Traceback (most recent call last)', outcome.err)
        if outcome.status >= 64:
            self.assertNotEqual('', outcome.err)
        self.assertTrue(outcome.status != 127 or 'map_instances' in argv, str(outcome))
        self.assertNotEqual(70, outcome.status)
        # No name and no value moves the cursor of those who look.
        odd = [each for each in outcome.out + outcome.err if each not in '\n\t']
        self.assertEqual(''.join(odd), escaped(''.join(odd)))


def _settings(examples: int) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )


class FuzzSqlite(_Case):
    @_settings(300)
    @hypothesis.given(_command_lines())
    def test_any_arguments(self, argv: list[str]) -> None:
        self.begin_anew()
        self.assert_foreseen(argv)

    def test_a_value_of_two_hyphens(self) -> None:
        for words, actions in _COMMAND_ACTIONS.items():
            needed = {
                f'{each.option_strings[-1]}=x'
                for each in actions
                if each.required and each.option_strings
            }
            for each in actions:
                if each.option_strings and each.nargs != 0:
                    argv = [*words.split(), *sorted(needed), f'{each.option_strings[-1]}=--']
                    self.assert_foreseen(argv)

    @_settings(60)
    @hypothesis.given(st.lists(st.one_of(_TEXTS, st.sampled_from(('cell_v2', 'db', 'help')))))
    def test_any_words(self, argv: list[str]) -> None:
        self.assert_foreseen(argv)


# Lines of a configuration file, most of them nearly right.
_FILE_LINES = st.one_of(
    st.sampled_from(
        [
            '[api_database]',
            '[DEFAULT]',
            '[cells]',
            '[api_databse]',
            '[',
            '[]',
            'connection = sqlite:///x.sqlite',
            'connection = mysql+pymysql://u:sekret@127.0.0.1:1/x',
            'connection = mysql+pymysql://u:$sekret@127.0.0.1:1/x',
            'connection mysql+pymysql://u:sekret@127.0.0.1:1/x',
            'conection = sekret',
            ' sekret',
            '= sekret',
            'max_retries = sekret',
            'timeout = -1',
            'state_path = /nosuch/\x1b[2J',
            '# sekret',
        ]
    ),
    st.text(max_size=20),
)


class FuzzConfiguration(base.CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(os.chdir, os.getcwd())  # noqa: PTH109
        os.chdir(self.folder)

    @_settings(150)
    @hypothesis.given(
        st.lists(_FILE_LINES).map('\n'.join).map(lambda text: text.encode('utf-8', 'replace'))
        | st.binary(max_size=60),
        st.sampled_from([('db', 'version'), ('cell_v2', 'list_cells')]),
    )
    def test_any_file(self, data: bytes, words: tuple[str, ...]) -> None:
        self.config_file.write_bytes(data)
        outcome = self.call('-q', *words)
        self.assertIn(outcome.status, (0, 1, 64, 69), str(outcome))
        for text in ('Traceback', 'sekret', '\x1b'):
            self.assertNotIn(text, outcome.out + outcome.err)


class FuzzMariadb(_Case):
    kind = 'mariadb'

    @_settings(60)
    @hypothesis.given(_command_lines())
    def test_any_arguments(self, argv: list[str]) -> None:
        self.begin_anew()
        self.assert_foreseen(argv)


class FuzzPostgresql(_Case):
    kind = 'postgresql'

    @_settings(60)
    @hypothesis.given(_command_lines())
    def test_any_arguments(self, argv: list[str]) -> None:
        self.begin_anew()
        self.assert_foreseen(argv)
