# SPDX-License-Identifier: Apache-2.0
"""How the package is laid out: read from the source, so that a new module is held to it too."""

import ast
from collections.abc import Iterator
import graphlib
import pathlib

import nova_cellmap
from nova_cellmap.tests import base

_ROOT = pathlib.Path(nova_cellmap.__file__).parent
_MOST_LINES = 400
# Those that are to be split. None is added; what has been split is taken out.
_LONG: frozenset[str] = frozenset()

# What each part may import, besides itself. Each is above those that it names.
_BELOW: dict[str, tuple[str, ...]] = {
    'version': (),
    'exception': (),
    'text': (),
    'uuids': (),
    'private_files': (),
    'nova_cell': (),
    'log_lines': ('text',),
    'url': ('text',),
    'conf': ('exception', 'url', 'version'),
    'runtime': ('exception', 'conf'),
    'context': ('exception', 'runtime'),
    'rpc': ('exception', 'conf', 'url'),
    'db': ('exception', 'text', 'uuids', 'private_files', 'url', 'conf', 'runtime', 'context'),
    'objects': ('exception', 'text', 'uuids', 'url', 'conf', 'runtime', 'context', 'db'),
    'cells': (
        'exception',
        'text',
        'uuids',
        'url',
        'conf',
        'runtime',
        'context',
        'rpc',
        'db',
        'objects',
    ),
}
# configure() and the version; it is below those that work with it.
_BELOW[''] = (*_BELOW['objects'], 'objects', 'version')
_BELOW['conductor'] = (*_BELOW[''], 'rpc', 'log_lines', '')
_BELOW['upkeep'] = (*_BELOW['cells'], 'private_files', 'cells')
_BELOW['cli'] = (
    *_BELOW[''],
    *_BELOW['upkeep'],
    'upkeep',
    'conductor',
    'log_lines',
    '',
)
_BELOW['fixtures'] = (*_BELOW['conductor'], 'conductor', 'nova_cell')


class _Import:
    """One import of a module of the package: by whom, of what, under which name."""

    def __init__(self, module: str, line: int, target: str, name: str | None) -> None:
        self.module, self.line, self.target, self.name = module, line, target, name

    def __str__(self) -> str:
        return f'{self.module}, line {self.line}: {self.target}' + (
            f'.{self.name}' if self.name else ''
        )


def _modules() -> dict[str, pathlib.Path]:
    """The modules of the package, without its tests and the steps of the schema."""
    found = {}
    for path in sorted(_ROOT.rglob('*.py')):
        parts = path.relative_to(_ROOT.parent).with_suffix('').parts
        if not {'tests', 'migrate_repo'} & set(parts):
            found['.'.join(part for part in parts if part != '__init__')] = path
    return found


_MODULES = _modules()
_TREES = {name: ast.parse(path.read_text()) for name, path in _MODULES.items()}


def _imports() -> Iterator[_Import]:
    """Every import of something of nova_cellmap, wherever in a module it is written."""
    for module, tree in _TREES.items():
        for node in ast.walk(tree):
            match node:
                case ast.ImportFrom(module=str(source), names=names, lineno=line):
                    for each in names:
                        if f'{source}.{each.name}' in _MODULES:
                            yield _Import(module, line, f'{source}.{each.name}', None)
                        elif source.split('.')[0] == 'nova_cellmap':
                            yield _Import(module, line, source, each.name)
                case ast.Import(names=names, lineno=line):
                    for each in names:
                        if each.name.split('.')[0] == 'nova_cellmap':
                            yield _Import(module, line, each.name, None)


_IMPORTS = list(_imports())


def _part(module: str) -> str:
    """The part of the package that a module is in: a package of it, or the module itself."""
    return (module.split('.') + [''])[1]


class Layout(base.TestCase):
    def test_no_module_is_long(self) -> None:
        lengths = {name: len(path.read_text().splitlines()) for name, path in _MODULES.items()}
        self.assertEqual(_LONG, {name for name, lines in lengths.items() if lines > _MOST_LINES})

    def test_nothing_imports_upward(self) -> None:
        graphlib.TopologicalSorter(_BELOW).prepare()
        self.assertEqual(
            [],
            [
                str(each)
                for each in _IMPORTS
                if _part(each.target) not in (_part(each.module), *_BELOW[_part(each.module)])
            ],
        )

    def test_no_circle_of_imports(self) -> None:
        graph: dict[str, set[str]] = {name: set() for name in _MODULES}
        for each in _IMPORTS:
            graph[each.module].add(each.target)
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            self.fail(f'{error.args[1]}')

    def test_no_module_uses_what_is_private_to_another(self) -> None:
        used = [str(each) for each in _IMPORTS if _is_private(each.name or '')]
        for module, tree in _TREES.items():
            names = set(_names_of_modules(tree))
            for node in ast.walk(tree):
                match node:
                    case ast.Attribute(value=ast.Name(id=name), attr=attribute, lineno=line):
                        if name in names and _is_private(attribute):
                            used.append(f'{module}, line {line}: {name}.{attribute}')
        self.assertEqual([], used)

    def test_each_module_has_a_module_of_tests(self) -> None:
        tests = {path.relative_to(_ROOT / 'tests') for path in _ROOT.rglob('test_*.py')}
        untested = []
        for module, path in _MODULES.items():
            if path.name != '__init__.py':
                _, *packages, name = module.split('.')
                folder = pathlib.Path(*packages)
                if not any(
                    kind / folder / f'test_{name}.py' in tests
                    for kind in map(pathlib.Path, ('unit', 'functional', 'beside_nova'))
                ):
                    untested.append(module)
        self.assertEqual([], untested)


def _is_private(name: str) -> bool:
    return name.startswith('_') and not name.startswith('__')


def _names_of_modules(tree: ast.AST) -> Iterator[str]:
    """The names under which a module knows other modules of the package."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(source), names=names):
                for each in names:
                    if f'{source}.{each.name}' in _MODULES:
                        yield each.asname or each.name
