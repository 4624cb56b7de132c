# SPDX-License-Identifier: Apache-2.0
"""Programs in processes of their own: an import cannot be undone."""

import subprocess
import sys
import textwrap

import testtools


def run(case: testtools.TestCase, *parts: str) -> None:
    """Run the parts one after the other; they print 'each found its own' at their end."""
    program = '\n'.join(textwrap.dedent(part) for part in parts)
    done = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, timeout=120
    )
    case.assertEqual('each found its own\n', done.stdout, done.stderr)
