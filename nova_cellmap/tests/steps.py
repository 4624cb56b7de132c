# SPDX-License-Identifier: Apache-2.0
"""Count the steps that a backtracking regular expression takes, with no clock.

Python's own engine does not tell them. This one is compiled from the same parse tree and tries
the same ways in the same order, an instruction a step.
"""

from collections.abc import Callable, Iterator
import itertools
import re
from re import _constants as constants  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

_CLASSES: dict[Any, Callable[[str], bool]] = {
    constants.CATEGORY_DIGIT: str.isdecimal,
    constants.CATEGORY_NOT_DIGIT: lambda character: not character.isdecimal(),
    constants.CATEGORY_SPACE: str.isspace,
    constants.CATEGORY_NOT_SPACE: lambda character: not character.isspace(),
    constants.CATEGORY_WORD: lambda character: character.isalnum() or character == '_',
    constants.CATEGORY_NOT_WORD: lambda character: not (character.isalnum() or character == '_'),
}

# What a program does besides taking one character for which something is true.
_SPLIT, _JUMP, _OPEN, _CLOSE, _LOOP, _ATOMIC, _LOOK, _AT, _IF = range(9)
_Program = list[tuple[Any, ...]]


class TooMany(Exception):
    """More steps than the counter was to take."""


class Counter:
    """The steps of one pattern.

    :param most: how many may be taken
    :ivar steps: how many were taken so far
    """

    def __init__(self, pattern: re.Pattern[str], most: int = 1_000_000) -> None:
        tree = parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)
        self.steps = 0
        self._most = most
        self._flags = pattern.flags
        self._program = self._compile(tree)

    def match(self, text: str, start: int = 0, *, whole: bool = False) -> int | None:
        """Where a match that begins at *start* ends.

        :raises: TooMany
        """
        found = self._run(self._program, text, start, {}, whole)
        return None if found is None else found[0]

    def find_all(self, text: str) -> list[tuple[int, int]]:
        """The matches, as ``finditer`` finds them."""
        found = []
        start = 0
        while start <= len(text):
            end = self.match(text, start)
            if end is not None:
                found.append((start, end))
            start = start + 1 if end is None else max(end, start + (end == start))
        return found

    def _run(
        self, program: _Program, text: str, start: int, state: dict[Any, int], whole: bool
    ) -> tuple[int, dict[Any, int]] | None:
        ways = [(0, start, state)]
        while ways:
            line, at, state = ways.pop()
            while True:
                self.steps += 1
                if self.steps > self._most:
                    raise TooMany
                if line == len(program):
                    if whole and at < len(text):
                        break
                    return at, state
                step = program[line]
                line += 1
                if callable(step[0]):
                    if at == len(text) or not step[0](text[at]):
                        break
                    at += 1
                elif step[0] == _SPLIT:
                    first, second = step[1:]
                    ways.append((line - 1 + second, at, state))
                    line += first - 1
                elif step[0] == _JUMP:
                    line += step[1] - 1
                elif step[0] == _LOOP:
                    # One that took nothing is not taken again.
                    if state.get(step[1]) == at:
                        line += step[2] - 1
                    else:
                        state = {**state, step[1]: at}
                elif step[0] in (_OPEN, _CLOSE):
                    state = {**state, step[:2]: at}
                elif step[0] == _AT:
                    if not step[1](text, at):
                        break
                elif step[0] == _IF:
                    line += 0 if (_CLOSE, step[1]) in state else step[2] - 1
                else:
                    kind, inner, direction, wanted = step
                    begin = at - direction if direction > 0 else at
                    found = None
                    if begin >= 0:
                        found = self._run(inner, text, begin, state, False)
                    if (found is not None) is not wanted:
                        break
                    if kind == _ATOMIC and found:
                        at, state = found
        return None

    def _compile(self, tree: Any) -> _Program:
        program: _Program = []
        for kind, value in tree:
            program += self._instructions(kind, value)
        return program

    def _instructions(self, kind: Any, value: Any) -> _Program:
        match kind:
            case constants.LITERAL | constants.NOT_LITERAL | constants.ANY | constants.IN:
                return [(self._taken(kind, value),)]
            case constants.MAX_REPEAT | constants.MIN_REPEAT:
                return self._repeat(*value, is_greedy=kind is constants.MAX_REPEAT)
            case constants.POSSESSIVE_REPEAT:
                return [(_ATOMIC, self._repeat(*value, is_greedy=True), 0, True)]
            case constants.ATOMIC_GROUP:
                return [(_ATOMIC, self._compile(value), 0, True)]
            case constants.SUBPATTERN:
                number, _, _, inner = value
                body = self._compile(inner)
                return body if number is None else [(_OPEN, number), *body, (_CLOSE, number)]
            case constants.BRANCH:
                return self._branch([self._compile(each) for each in value[1]])
            case constants.ASSERT | constants.ASSERT_NOT:
                direction, inner = value
                back = inner.getwidth()[1] if direction < 0 else 0
                return [(_LOOK, self._compile(inner), back, kind is constants.ASSERT)]
            case constants.AT:
                return [(_AT, _PLACES[value])]
            case constants.GROUPREF_EXISTS:
                number, yes, no = value
                assert not no
                body = self._compile(yes)
                return [(_IF, number, len(body) + 1), *body]
        raise NotImplementedError(kind)

    def _branch(self, bodies: list[_Program]) -> _Program:
        program = bodies[-1]
        for body in reversed(bodies[:-1]):
            program = [(_SPLIT, 1, len(body) + 2), *body, (_JUMP, len(program) + 1), *program]
        return program

    def _repeat(self, least: int, most: Any, inner: Any, *, is_greedy: bool) -> _Program:
        body = self._compile(inner)
        program = body * least

        def maybe(skip: int) -> tuple[int, int, int]:
            return (_SPLIT, 1, skip) if is_greedy else (_SPLIT, skip, 1)

        if most is constants.MAXREPEAT:
            loop = object()
            size = len(body)
            program += [maybe(size + 3), (_LOOP, loop, size + 2), *body, (_JUMP, -size - 2)]
        else:
            for left in range(most - least, 0, -1):
                program += [maybe(left * (len(body) + 1)), *body]
        return program

    def _taken(self, kind: Any, value: Any) -> Callable[[str], bool]:
        if kind is constants.ANY:
            return lambda character: bool(self._flags & re.S) or character != '\n'
        items = value if kind is constants.IN else [(constants.LITERAL, value)]
        is_without = kind is constants.NOT_LITERAL or items[0][0] is constants.NEGATE

        def takes(character: str) -> bool:
            return self._is_any(items, character) is not is_without

        return takes

    def _is_any(self, items: Any, character: str) -> bool:
        spellings = {character}
        if self._flags & re.I:
            spellings |= {character.lower(), character.upper()}
        return any(_is_one(item[0], item[1], each) for item in items for each in spellings)


def _is_one(kind: Any, value: Any, character: str) -> bool:
    match kind:
        case constants.LITERAL:
            return ord(character) == value if len(character) == 1 else False
        case constants.RANGE:
            return len(character) == 1 and value[0] <= ord(character) <= value[1]
        case constants.CATEGORY:
            return _CLASSES[value](character)
        case constants.NEGATE:
            return False
    raise NotImplementedError(kind)


def _is_boundary(text: str, at: int) -> bool:
    before, after = text[at - 1 : at] if at else '', text[at : at + 1]
    word = _CLASSES[constants.CATEGORY_WORD]
    return (bool(before) and word(before)) is not (bool(after) and word(after))


_PLACES: dict[Any, Callable[[str, int], bool]] = {
    constants.AT_BEGINNING: lambda text, at: at == 0,
    constants.AT_BEGINNING_STRING: lambda text, at: at == 0,
    constants.AT_BOUNDARY: _is_boundary,
    constants.AT_END_STRING: lambda text, at: at == len(text),
    constants.AT_END: lambda text, at: text[at:] in ('', '\n'),
}


def parts(pattern: re.Pattern[str]) -> list[str]:
    """Texts that its parts take, in their order: runs of literals, a character of each class."""
    return list(_texts(parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)))


def atoms(pattern: re.Pattern[str]) -> list[str]:
    """The parts, and the characters of the runs, each once."""
    return list(dict.fromkeys([each for part in parts(pattern) for each in (*part, part)]))


def _texts(tree: Any) -> Iterator[str]:
    run = ''
    for kind, value in tree:
        if kind is constants.LITERAL:
            run += chr(value)
            continue
        if run:
            yield run
            run = ''
        for inner in _inner(kind, value):
            yield from _texts(inner)
        if kind is constants.IN:
            yield from itertools.islice((it for it in _SAMPLES if _in(value, it)), 1)
    if run:
        yield run


# Of which a class takes one.
_SAMPLES = [*'a0:/@ #\n=&,%[]', *map(chr, range(128))]


def _in(items: Any, character: str) -> bool:
    is_without = items[0][0] is constants.NEGATE
    return any(_is_one(item[0], item[1], character) for item in items) is not is_without


def _inner(kind: Any, value: Any) -> list[Any]:
    match kind:
        case constants.MAX_REPEAT | constants.MIN_REPEAT | constants.POSSESSIVE_REPEAT:
            return [value[2]]
        case constants.ATOMIC_GROUP:
            return [value]
        case constants.SUBPATTERN:
            return [value[3]]
        case constants.BRANCH:
            return list(value[1])
        case constants.ASSERT | constants.ASSERT_NOT:
            return [value[1]]
        case constants.GROUPREF_EXISTS:
            return [value[1]]
    return []
