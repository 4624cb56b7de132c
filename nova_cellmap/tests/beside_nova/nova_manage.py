# SPDX-License-Identifier: Apache-2.0
"""Nova's own command, in a process of its own."""

import pathlib
import subprocess
import sys
import tempfile

_PROGRAM = 'import sys; from nova.cmd.manage import main; sys.exit(main())'


def run(api_url: str, *arguments: str) -> 'subprocess.CompletedProcess[str]':
    """Run ``nova-manage`` on an API database; answer how it ended and what it said."""
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, 'nova.conf')
        config.write_text(
            f'[DEFAULT]\nstate_path = {folder}\ntransport_url = fake:///\n'
            f'[api_database]\nconnection = {api_url.replace("$", "$$")}\n'
            f'[database]\nconnection = sqlite:///{folder}/main.sqlite\n'
        )
        return subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', _PROGRAM, '--config-file', config, *arguments],
            capture_output=True,
            text=True,
            timeout=240,
        )


def sync(api_url: str) -> None:
    """Have Nova make its API database."""
    done = run(api_url, 'api_db', 'sync')
    if done.returncode:
        raise AssertionError(done.stdout + done.stderr)
