# SPDX-License-Identifier: Apache-2.0
"""Each requirement has a lowest version, and the tests are run with it."""

import configparser
import pathlib
import re

from nova_cellmap.tests import base

_ROOT = pathlib.Path(__file__).parents[3]


def _lines(name: str) -> list[str]:
    lines = (_ROOT / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith(('#', '-'))]


def _extras() -> list[str]:
    setup = configparser.ConfigParser()
    setup.read(_ROOT / 'setup.cfg')
    extras = setup['options.extras_require'].values()
    return [line for text in extras for line in text.splitlines() if line]


_REQUIREMENT = re.compile(r'([\w.-]+)(?:\[[\w,]+\])?>=([0-9.]+)(?:,<[0-9.]+)?')


def _lowest(line: str) -> tuple[str, str]:
    """The name of a requirement, and the lowest version that it takes."""
    found = _REQUIREMENT.fullmatch(line)
    assert found, f'{line} names no lowest version'
    return re.sub('[-_.]+', '-', found[1]).lower(), found[2]


class Requirements(base.TestCase):
    def test_each_names_a_lowest_version_which_is_tested(self) -> None:
        tested = dict(re.split('==', line) for line in _lines('lower-constraints.txt'))
        for line in (*_lines('requirements.txt'), *_lines('test-requirements.txt'), *_extras()):
            name, lowest = _lowest(line)
            version = tested[name]
            self.assertEqual(
                [int(part) for part in lowest.split('.')],
                [int(part) for part in version.split('.')][: lowest.count('.') + 1],
                f'{name}: {lowest} is named and {version} is tested',
            )
