# SPDX-License-Identifier: Apache-2.0
"""Tests beside Nova itself, which the environment ``nova`` of tox has installed."""

import importlib.util
from pathlib import Path
import unittest


def load_tests(
    loader: unittest.TestLoader, tests: unittest.TestSuite, pattern: str | None
) -> unittest.TestSuite:
    """Let the other environments, which leave these tests out, find the rest."""
    if importlib.util.find_spec('nova') is not None:
        here = Path(__file__).parent
        tests.addTests(loader.discover(str(here), pattern or 'test*.py'))
    return tests
