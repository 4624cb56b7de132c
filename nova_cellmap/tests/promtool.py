# SPDX-License-Identifier: Apache-2.0
"""Prometheus' own tool, which says whether its server would take what we write."""

import pathlib
import shutil
import subprocess


def check_metrics(text: bytes) -> str:
    """What it finds wrong with metrics in the text format; nothing where they are as they should
    be."""
    return _run('check', 'metrics', given=text)


def check_rules(path: pathlib.Path) -> str:
    """What it finds wrong with a file of rules."""
    return _run('check', 'rules', '--lint-fatal', str(path))


def run_tests_of_rules(path: pathlib.Path) -> str:
    """What does not come out as a file of tests of rules says."""
    return _run('test', 'rules', str(path))


def _run(*arguments: str, given: bytes = b'') -> str:
    program = shutil.which('promtool')
    if program is None:
        raise AssertionError('there is no promtool: run the tests with tools/test')
    done = subprocess.run([program, *arguments], input=given, capture_output=True)
    said = (done.stdout + done.stderr).decode()
    return said if done.returncode or arguments[1] == 'metrics' else ''
