# SPDX-License-Identifier: Apache-2.0
"""Nova's own command, in a process of its own."""

import pathlib
import subprocess
import sys
import tempfile

_PROGRAM = 'import sys; from nova.cmd.manage import main; sys.exit(main())'


def write_config(folder: pathlib.Path, api_url: str, url: str | None = None) -> pathlib.Path:
    """Write a ``nova.conf``; answer where it is.

    :param api_url: the API database
    :param url: the database of the cell that the file is of; by default one in the folder
    """
    file = folder / 'nova.conf'
    url = url or f'sqlite:///{folder}/main.sqlite'
    # The tests' servers answer with one row and in German. Nova does not tell them otherwise.
    parameters = ''
    if api_url.startswith('mysql'):
        said = f"SET sql_select_limit = {2**64 - 1}, lc_messages = 'en_US'"
        parameters = f'connection_parameters = init_command={said}\n'
    file.write_text(
        f'[DEFAULT]\nstate_path = {folder}\ntransport_url = rabbit://u:p@mq:5672/\n'
        f'[api_database]\nconnection = {api_url.replace("$", "$$")}\n{parameters}'
        f'[database]\nconnection = {url.replace("$", "$$")}\n'
    )
    return file


def run(config_file: pathlib.Path, *arguments: str) -> 'subprocess.CompletedProcess[str]':
    """Run ``nova-manage``; answer how it ended and what it said."""
    return subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', _PROGRAM, '--config-file', config_file, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
    )


def sync(api_url: str) -> None:
    """Have Nova make its API database."""
    with tempfile.TemporaryDirectory() as folder:
        check(run(write_config(pathlib.Path(folder), api_url), 'api_db', 'sync'))


def sync_cell(url: str) -> None:
    """Have Nova make a cell's database."""
    with tempfile.TemporaryDirectory() as folder:
        config_file = write_config(pathlib.Path(folder), 'sqlite://', url)
        check(run(config_file, 'db', 'sync', '--local_cell'))


def check(done: 'subprocess.CompletedProcess[str]') -> None:
    """:raises: AssertionError where it failed"""
    if done.returncode:
        raise AssertionError(done.stdout + done.stderr)
