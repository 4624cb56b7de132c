# SPDX-License-Identifier: Apache-2.0
"""What a URL is seen to be at a glance."""

import subprocess
import sys

from nova_cellmap import url
from nova_cellmap.tests import base as tests_base
from nova_cellmap.url import syntax


class Syntax(tests_base.TestCase):
    def test_is_template(self) -> None:
        for template in ('{scheme}', 'a{port12}b', '{{path}}', 'x://{username}@h'):
            self.assertTrue(url.is_template(template), template)
        for text in ('', 'mysql://u:{x}@h', '{}', '{scheme1}', '{port', '{ port }', '{Port}'):
            self.assertFalse(url.is_template(text), text)

    def test_is_none(self) -> None:
        for raw in ('none:///', 'none://', 'NONE:///'):
            self.assertTrue(url.is_none(raw))
        for raw in ('', 'none', 'none:/', 'nonesuch:///', 'sqlite:///none:///'):
            self.assertFalse(url.is_none(raw))

    def test_a_scheme_is_with_a_driver_or_without(self) -> None:
        for raw, name in (
            ('mysql+pymysql://h/x', 'mysql'),
            ('sqlite://', 'sqlite'),
            ('{scheme}://h', '{scheme}'),
        ):
            found = syntax.SCHEME.match(raw)
            self.assertEqual(name, found and found['name'])
        for raw in ('', 'mysql:/h', '://h', 'my sql://h'):
            self.assertIsNone(syntax.SCHEME.match(raw))


class Import(tests_base.TestCase):
    def test_is_cheap(self) -> None:
        code = (
            'import sys, nova_cellmap.url; '
            'print(*{"sqlalchemy", "oslo_config", "oslo_messaging"} & set(sys.modules))'
        )
        shown = subprocess.run([sys.executable, '-c', code], capture_output=True, check=True)
        self.assertEqual(b'', shown.stdout.strip())
