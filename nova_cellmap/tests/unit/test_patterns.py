# SPDX-License-Identifier: Apache-2.0
"""Every regular expression of the package takes time in proportion to the text.

Patterns are found in the source, so that a new one is tested with no more ado. None is timed:
its steps are counted, on texts that are made to be its worst case.
"""

import ast
from collections.abc import Iterator
import importlib
import itertools
import pathlib
import random
import re
from typing import NamedTuple

import hypothesis
from hypothesis import strategies as st

import nova_cellmap
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests import steps

_ROOT = pathlib.Path(nova_cellmap.__file__).parent
# What looks for a match at each place of the text, and what at its beginning alone.
_ANYWHERE = frozenset({'search', 'findall', 'finditer', 'sub', 'subn', 'split'})
_AT_BEGINNING = frozenset({'match', 'fullmatch'})
# How often a piece of text is repeated; twice as often, and twice again.
_SIZE = 12
_STEPS_OF_A_CHARACTER = 200


class _Use(NamedTuple):
    """A pattern of the source, and how it is used."""

    where: str
    pattern: re.Pattern[str]
    methods: set[str]


def _sources() -> Iterator[tuple[pathlib.Path, ast.Module]]:
    for path in sorted(_ROOT.rglob('*.py')):
        if 'tests' not in path.parts:
            yield path, ast.parse(path.read_text())


def _module_of(path: pathlib.Path) -> str:
    return '.'.join(['nova_cellmap', *path.relative_to(_ROOT).with_suffix('').parts])


def _calls_of_re(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id='re'), attr=name)):
                yield node, name


def _found() -> tuple[list[_Use], list[str]]:
    """The patterns, and the places of calls of ``re`` that nothing can be said of."""
    compiled: list[_Use] = []
    inline, untold = [], []
    called: dict[str, set[str]] = {}
    for path, tree in _sources():
        once = {id(node) for node in _outside_of_functions(tree)}
        for call, function in _calls_of_re(tree):
            where = f'{path.relative_to(_ROOT)}:{call.lineno}'
            match call:
                case ast.Call() if function == 'compile' and id(call) in once:
                    continue
                case ast.Call(args=[ast.Constant(value=str(text)), _], keywords=[]):
                    inline.append(_Use(where, re.compile(text), {function}))
                case _ if function != 'escape':
                    untold.append(where)
        if any(function == 'compile' for _, function in _calls_of_re(tree)):
            module = importlib.import_module(_module_of(path))
            for name, value in vars(module).items():
                compiled += (_Use(f'{module.__name__}.{name}', it, set()) for it in _within(value))
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(value=ast.Name(id=name) | ast.Attribute(attr=name), attr=verb):
                    called.setdefault(name, set()).add(verb)
    # One may be in several places.
    compiled = list({id(use.pattern): use for use in reversed(compiled)}.values())
    for use in compiled:
        name = use.where.rpartition('.')[2]
        use.methods.update(called.get(name, set()) & (_ANYWHERE | _AT_BEGINNING) or {'search'})
    return [*compiled, *inline], untold


def _outside_of_functions(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from _outside_of_functions(node)


def _within(value: object) -> Iterator[re.Pattern[str]]:
    """The patterns that a value of a module is made of."""
    match value:
        case re.Pattern():
            yield value
        case tuple() | list() | set() | frozenset():
            for each in value:
                yield from _within(each)
        case dict():
            for each in value.values():
                yield from _within(each)


def _steps(pattern: re.Pattern[str], text: str, methods: set[str]) -> int:
    counter = steps.Counter(pattern, most=_STEPS_OF_A_CHARACTER * (len(text) + 1))
    if methods <= _AT_BEGINNING:
        counter.match(text, whole=methods == {'fullmatch'})
    else:
        counter.find_all(text)
    return counter.steps


def _attacks(pattern: re.Pattern[str]) -> Iterator[tuple[str, str, str]]:
    """What to begin with, to repeat, and to end with."""
    atoms, parts = steps.atoms(pattern), steps.parts(pattern)
    picked = random.Random(1)
    pairs = [*atoms, *map(''.join, itertools.product(atoms, atoms))]
    rows = [
        ''.join(parts[begin : begin + length])
        for length in (2, 3, 4, 5)
        for begin in range(len(parts) - length + 1)
    ]
    for pump in [pump for pumps in (pairs, rows) for pump in _sample(picked, pumps, 20)]:
        for end in ('', '\0'):
            yield picked.choice(['', *atoms]), pump, end


def _sample(picked: random.Random, pumps: list[str], most: int) -> list[str]:
    return picked.sample(pumps, min(len(pumps), most))


def _grows(pattern: re.Pattern[str], methods: set[str]) -> str | None:
    """A text whose steps grow faster than it does."""
    for begin, pump, end in _attacks(pattern):
        texts = [begin + pump * (_SIZE * times) + end for times in (1, 2, 4)]
        try:
            few, many, most = (_steps(pattern, text, methods) for text in texts)
        except steps.TooMany:
            return f'{begin!r} + {pump!r} * n + {end!r}'
        # Twice the text may take twice the steps; the rest takes a constant number of them.
        if most - many > 2.5 * (many - few) + 50:
            return f'{begin!r} + {pump!r} * n + {end!r}: {few}, {many}, {most} steps'
    return None


class Patterns(tests_base.TestCase):
    def test_each_takes_steps_in_proportion(self) -> None:
        self.assertGreater(len(_USES), 10)
        for use in _USES:
            self.assertIsNone(_grows(use.pattern, use.methods), use.where)

    def test_each_can_be_told(self) -> None:
        """A pattern is compiled once, by its module, or written out where it is used."""
        self.assertEqual([], _UNTOLD)

    def test_what_does_not_is_found(self) -> None:
        for pattern in (
            'pass[^=:]*[=:]',
            ':.*@',
            '(a+)+$',
            '(?:a|ab?)*c',
            r'(\d+)\.(\d+)*x',
            "( near|(?<=value)):? +'.*'(?= at line| for|$)",
            '[ab]*[bc]*d',
        ):
            self.assertIsNotNone(_grows(re.compile(pattern), {'search'}), pattern)

    def test_what_is_only_slow_from_each_place(self) -> None:
        pattern = re.compile('a+b')
        self.assertIsNone(_grows(pattern, {'match'}))
        self.assertIsNotNone(_grows(pattern, {'search'}))


class Engine(tests_base.TestCase):
    """What counts finds what Python's engine finds."""

    @hypothesis.given(st.data())
    @hypothesis.settings(deadline=None, max_examples=300)
    def test_finds_the_same(self, data: st.DataObject) -> None:
        use = data.draw(st.sampled_from(_USES))
        parts = [*steps.atoms(use.pattern), 'x', '%', '/', ' ']
        text = ''.join(data.draw(st.lists(st.sampled_from(parts), max_size=12)))
        counter = steps.Counter(use.pattern)
        match = use.pattern.match(text)
        self.assertEqual(match and match.end(), counter.match(text), f'{use.where}: {text!r}')
        whole = use.pattern.fullmatch(text)
        self.assertEqual(whole and whole.end(), counter.match(text, whole=True))
        self.assertEqual(
            [found.span() for found in use.pattern.finditer(text)], counter.find_all(text)
        )


_USES, _UNTOLD = _found()
