# SPDX-License-Identifier: Apache-2.0
"""The configuration files: which are read, whether they can be, and where a value comes from.

oslo.config goes on where a folder is missing, waits for ever at a named pipe, and reads with the
locale's encoding. So each file is looked at before.
"""

import argparse
import codecs
from collections.abc import Iterable, Mapping, Sequence
import glob
import io
import itertools
import locale
import os
import pathlib
import stat
from typing import NamedTuple, NoReturn

from oslo_config import cfg
from oslo_config import iniparser

PROJECT = 'nova-cellmap'
# Where oslo.config looks for files and folders, where none is named.
PLACES = ('~/.nova-cellmap', '~', '/etc/nova-cellmap', '/etc')

# In bytes. Nova's own sample, with every option of every library, has a twentieth of it.
_LARGEST = 10_000_000

# What a file says: by group and option, the text of each assignment.
Sections = Mapping[str, Mapping[str, Sequence[str]]]


class ConfigurationError(cfg.Error):
    """A configuration that cannot be followed; the message names the place and what to do."""


class Named(NamedTuple):
    """What a program was told to read; None where it looks in the usual places."""

    files: Sequence[str] | None
    folders: Sequence[str] | None


def named(args: Sequence[str]) -> Named:
    """The files and folders that the arguments of a program name for oslo.config."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument('--config-file', action='append')
    parser.add_argument('--config-dir', action='append')
    try:
        found, _ = parser.parse_known_args(list(args))
    except argparse.ArgumentError:
        # oslo.config is to say what is wrong with them.
        return Named(None, None)
    return Named(found.config_file, found.config_dir)


def to_read(what: Named) -> list[str]:
    """The files that will be read; of two that set an option, the later one wins.

    :raises: ConfigurationError where a folder is not there or cannot be looked into
    """
    files, folders = what
    if files is None:
        files = cfg.find_config_files(project=PROJECT)
    if folders is None:
        folders = cfg.find_config_dirs(project=PROJECT)
    in_folders = itertools.chain.from_iterable(map(_in_folder, folders))
    return [*map(_absolute, files), *in_folders]


def _in_folder(name: str) -> list[str]:
    path = _absolute(name)
    try:
        with os.scandir(path):
            pass
    except OSError as error:
        raise ConfigurationError(f'--config-dir {name}: {_reason(error)}') from None
    # As oslo.config does it.
    return sorted(glob.glob(os.path.join(glob.escape(path), '*.conf')))  # noqa: PTH118, PTH207


def _absolute(name: str) -> str:
    return os.path.abspath(os.path.expanduser(name))  # noqa: PTH100, PTH111


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def sections(name: str) -> Sections:
    """What a file says.

    :raises: ConfigurationError; ``oslo_config.cfg.ConfigFilesNotFoundError``
    """
    # The line ends that oslo.config goes by, and no others.
    found: Sections = _Parser(name, io.StringIO(_text(name), newline=None)).sections
    if not _is_utf8(locale.getpreferredencoding(False)):
        _check_ascii(name, found)
    return found


class _Parser(cfg.ConfigParser):
    """Parses lines that were read already. Its errors quote none: it may hold a password."""

    def __init__(self, filename: str, lines: Iterable[str]) -> None:
        super().__init__(filename, {})
        iniparser.BaseParser.parse(self, lines)

    def parse_exc(  # type: ignore[override]
        self, msg: str, lineno: int, line: str | None = None
    ) -> NoReturn:
        raise ConfigurationError(f'{self.filename}, line {lineno}: {msg[0].lower()}{msg[1:]}')


def _text(name: str) -> str:
    path = pathlib.Path(name)
    try:
        _check_kind(name, path.stat())
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise cfg.ConfigFilesNotFoundError([name]) from None
    except OSError as error:
        raise ConfigurationError(f'{name}: {_reason(error)}') from None
    if data.startswith(codecs.BOM_UTF8):
        raise ConfigurationError(f'{name} begins with a byte order mark. Save it without one.')
    if b'\0' in data:
        line = data.count(b'\n', 0, data.index(b'\0')) + 1
        raise ConfigurationError(f'{name}, line {line}: byte 0x00 is no text.')
    try:
        return data.decode('utf-8')
    except UnicodeDecodeError as error:
        line = data.count(b'\n', 0, error.start) + 1
        raise ConfigurationError(
            f'{name}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8. '
            'Save the file as UTF-8.'
        ) from None


def _check_kind(name: str, found: os.stat_result) -> None:
    if os.path.samestat(found, pathlib.Path(os.devnull).stat()):
        return
    if not stat.S_ISREG(found.st_mode):
        kind = 'a folder: --config-dir reads one' if stat.S_ISDIR(found.st_mode) else 'no file'
        raise ConfigurationError(f'{name} is {kind}')
    if found.st_size > _LARGEST:
        raise ConfigurationError(f'{name} has {found.st_size:,} bytes: it is no configuration')


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace('-', '').replace('_', '') == 'utf8'


def _check_ascii(name: str, found: Sections) -> None:
    """oslo.config reads in the locale's encoding, in which a password becomes another."""
    for group, options in found.items():
        for option, texts in options.items():
            if not all(map(str.isascii, (option, *texts))):
                raise ConfigurationError(
                    f'{name}: [{group}] {shown(option)} has characters beyond ASCII, and the '
                    f'encoding of the locale is {locale.getpreferredencoding(False)}. '
                    'Set LC_ALL=C.UTF-8 or PYTHONUTF8=1.'
                )


def shown(option: str) -> str:
    """The name of an option for people, without what comes behind where a = is forgotten."""
    return next(iter(option.split()), repr(option))


# Values


_URLS = (
    ('api_database', 'connection'),
    ('api_database', 'slave_connection'),
    ('database', 'connection'),
    ('DEFAULT', 'transport_url'),
)


def check_urls(conf: cfg.ConfigOpts) -> None:
    """Read the URLs, of which oslo.config would quote a part of the password in an error.

    :raises: ConfigurationError
    """
    for group, option in _URLS:
        try:
            conf[option] if group == 'DEFAULT' else conf[group][option]
        except cfg.Error:
            raise ConfigurationError(
                f'[{group}] {option}: a $ begins the name of another option, and here no option '
                'has the name that comes behind. Write $$ for a $ in a password.'
            ) from None


def variable(group: str, option: str) -> str:
    """The name of the environment variable of an option."""
    return f'OS_{group.upper()}__{option.upper()}'


def is_default(conf: cfg.ConfigOpts, group: str, option: str) -> bool:
    """Whether nobody has set an option."""
    location = conf.get_location(option, group)
    return location is None or location.location in _DEFAULTS


def origin(conf: cfg.ConfigOpts, group: str, option: str, read: Sequence[str]) -> str:
    """Where an option's value comes from, for people.

    :param read: the files that were read
    """
    if is_default(conf, group, option):
        if read:
            return f'the default: [{group}] {option} is not set in {", ".join(read)}'
        return (
            'the default: no configuration file was read, there is no nova-cellmap.conf in '
            f'{", ".join(PLACES)}'
        )
    location = conf.get_location(option, group)
    assert location is not None
    if location.location == cfg.Locations.environment:
        return f'from the environment variable {variable(group, option)}'
    return f'from {location.detail}' if location.detail else 'from the program'


_DEFAULTS = (cfg.Locations.opt_default, cfg.Locations.set_default)
