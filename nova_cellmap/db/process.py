# SPDX-License-Identifier: Apache-2.0
"""Which process this is, in a text that another one on the same machine can look up."""

import os
import pathlib
import socket


def identity() -> str:
    """A text that no other process has, on this machine or another, now or later."""
    pid = os.getpid()
    return f'{_kernel()}/{pid}/{_started(pid) or ""}'


def described() -> str:
    """The process, for people."""
    return f'process {os.getpid()} on {socket.gethostname()}'


def is_gone(identity: str) -> bool:
    """Whether that was a process of this machine, and is no more. False where nobody can tell."""
    kernel, _, process = identity.partition('/')
    pid, _, started = process.partition('/')
    if not started or not kernel or kernel != _kernel() or not pid.isdecimal():
        return False
    now = _started(int(pid))
    return now != started if now is not None else not _is_there(int(pid))


def _kernel() -> str:
    """Which machine, since which start of it, and whose process ids: containers have their own."""
    try:
        boot = pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()
        return f'{boot}-{pathlib.Path("/proc/self/ns/pid").readlink()}'
    except OSError:
        return ''


def _started(pid: int) -> str | None:
    """When the process of that id began, in the kernel's ticks; None where it is not seen."""
    try:
        stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return None
    # Behind the program's name, which may have spaces and parentheses.
    fields = stat.rpartition(')')[2].split()
    # One that has ended and was not waited for yet is a zombie.
    return '' if fields[0] in 'ZX' else fields[19]


def _is_there(pid: int) -> bool:
    """Whether there is a process of that id: another user's may be hidden in /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
