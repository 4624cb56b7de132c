# SPDX-License-Identifier: Apache-2.0
"""Every option of nova_cellmap, one module a group.

The library never parses the command line and keeps no configuration of its
own: a program makes one with :func:`new` (or brings an oslo.config
``ConfigOpts`` and calls :func:`register_opts`) and passes it to
:func:`nova_cellmap.configure`.
"""

from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from nova_cellmap import version
from nova_cellmap.conf import api_database
from nova_cellmap.conf import base
from nova_cellmap.conf import cache
from nova_cellmap.conf import cells
from nova_cellmap.conf import conductor
from nova_cellmap.conf import database
from nova_cellmap.conf import files
from nova_cellmap.conf import spelling

_GROUPS = (base, api_database, database, cells, conductor, cache)
_GROUP_NAMES = ('api_database', 'database', 'cells', 'conductor', 'cache')


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register every option on *conf*. Doing it twice does no harm.

    It may be a service's own, which registers options of the same names before or after: oslo.db's
    in ``[database]``, Nova's ``[api_database]``. Each of them is there once, and the one
    that was first has set its default.

    :raises: :exc:`nova_cellmap.exception.InvalidOption` where one is of another type
    """
    for group in _GROUPS:
        group.register_opts(conf)


def new(
    args: Sequence[str] = (),
    config_files: Sequence[str] | None = None,
    config_dirs: Sequence[str] | None = None,
) -> cfg.ConfigOpts:
    """Make a configuration with every option registered.

    :param args: what a command line gives to oslo.config (``--config-file`` ...);
        none by default
    :param config_files: the files to read, later ones win; where it is None, those
        that oslo.config finds for ``nova-cellmap`` (``~/.nova-cellmap/``,
        ``/etc/nova-cellmap/``, ...) are read; pass ``[]`` for none at all
    :param config_dirs: folders whose ``*.conf`` files are read after the files
    :raises: ``oslo_config.cfg.Error``: ``ConfigFilesNotFoundError`` where a file is missing;
        :exc:`nova_cellmap.conf.files.ConfigurationError` where one cannot be read or has a
        group or an option that is nearly one of ours, or a folder is missing
    """
    conf = cfg.ConfigOpts()
    register_opts(conf)
    read(conf, args, config_files, config_dirs)
    return conf


def read(
    conf: cfg.ConfigOpts,
    args: Sequence[str],
    config_files: Sequence[str] | None = None,
    config_dirs: Sequence[str] | None = None,
    **more: Any,
) -> list[str]:
    """Have *conf*, on which every option is registered, read what :func:`new` describes.

    :param more: further arguments of ``oslo_config.cfg.ConfigOpts``
    :returns: the files that were read
    :raises: as :func:`new`
    """
    named = files.named(args)
    names = files.to_read(
        files.Named(
            config_files if named.files is None else named.files,
            config_dirs if named.folders is None else named.folders,
        )
    )
    known = spelling.Names(conf, _GROUP_NAMES, _former_names())
    for name in names:
        known.check(name, files.sections(name))
    known.check_environment()
    conf(
        list(args),
        project=files.PROJECT,
        version=version.__version__,
        default_config_files=None if config_files is None else list(config_files),
        default_config_dirs=None if config_dirs is None else list(config_dirs),
        **more,
    )
    files.check_urls(conf)
    return names


def _former_names() -> dict[str, set[str]]:
    """Names that options of oslo.db had once, and names in [database] that are Nova's."""
    former = {
        old.name.replace('-', '_')
        for opt in api_database.OPTS
        for old in opt.deprecated_opts
        if old.name
    }
    return {
        'api_database': former,
        'database': former | {opt.dest for opt in api_database.OPTS},
    }
