# SPDX-License-Identifier: Apache-2.0
"""The version of the package."""

import re
import subprocess
import sys

import nova_cellmap
from nova_cellmap import version
from nova_cellmap.tests import base


class Version(base.TestCase):
    def test_is_that_of_the_package(self) -> None:
        self.assertEqual(version.__version__, nova_cellmap.__version__)
        self.assertTrue(re.fullmatch(r'[0-9]+\.[0-9]+\.[0-9]+', version.__version__))

    def test_who_asks_for_it_does_not_wait_for_libraries(self) -> None:
        code = (
            'import sys, nova_cellmap; nova_cellmap.__version__; '
            'print(*{"sqlalchemy", "oslo_config", "oslo_messaging"} & set(sys.modules))'
        )
        shown = subprocess.run([sys.executable, '-c', code], capture_output=True, check=True)
        self.assertEqual(b'', shown.stdout.strip())
