# SPDX-License-Identifier: Apache-2.0
"""Files that nobody else is to read, and that somebody else may not lead elsewhere.

In a folder where others can write, such as /tmp, a symbolic link with the name of our file would
have us write to a file of its maker's choice.
"""

from collections.abc import Iterator
import contextlib
import errno
import os
import pathlib
import stat
import tempfile
from typing import BinaryIO

MODE = 0o600


def replace(path: str | os.PathLike[str], data: bytes, mode: int = MODE) -> None:
    """Write a file as a whole: it has the previous content until it has the new one.

    A symbolic link is replaced, and not followed.

    :param mode: of a file that others are to read
    :raises: ``OSError``
    """
    with replaced(path, mode) as file:
        file.write(data)


@contextlib.contextmanager
def replaced(path: str | os.PathLike[str], mode: int = MODE) -> Iterator[BinaryIO]:
    """The same for what is written in parts: it is there where the block comes to its end."""
    target = pathlib.Path(path)
    # It is made with O_EXCL and 0600.
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f'.{target.name}.')
    try:
        with os.fdopen(descriptor, 'wb') as file:
            yield file
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        pathlib.Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            pathlib.Path(name).unlink()
        raise


def open_to_append(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file that is read and appended to; one that is not there is made, with mode 0600.

    :raises: ``OSError``, also where it is a symbolic link, a pipe or a device
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, MODE)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, 'it is no regular file', str(path))
        return os.fdopen(descriptor, 'r+b', buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Have what is new in a folder be there after a loss of power.

    :raises: ``OSError``
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_place(path: str | os.PathLike[str]) -> None:
    """Find out before the work whether :func:`replace` will find a place.

    :raises: ``OSError``
    """
    target = pathlib.Path(path)
    if target.is_dir() and not target.is_symlink():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f'.{target.name}.')
    os.close(descriptor)
    pathlib.Path(name).unlink()


def make(path: str | os.PathLike[str]) -> None:
    """Make an empty file with the mode 0600; one that is there stays as it is.

    :raises: ``OSError``
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE))


def check_log(path: str) -> None:
    """Find out whether a log file can be opened: without waiting, and in no trap.

    :raises: ``OSError``
    """
    if _is_trap(path):
        raise OSError(errno.ELOOP, "it is somebody else's symbolic link", path)
    # A named pipe that nobody reads is an error so, and not waited for.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    os.close(os.open(path, flags, 0o666))


def _is_trap(path: str) -> bool:
    """A symbolic link that somebody else has made in a folder where everybody may.

    Linux does not follow it either, where ``fs.protected_symlinks`` is set.
    """
    if not os.path.islink(path):  # noqa: PTH114
        return False
    folder = pathlib.Path(path).parent.stat()
    is_shared = folder.st_mode & stat.S_ISVTX and folder.st_mode & stat.S_IWOTH
    return bool(is_shared) and os.lstat(path).st_uid not in (os.geteuid(), folder.st_uid)
