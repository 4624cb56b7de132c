# SPDX-License-Identifier: Apache-2.0
"""Which cell holds this instance?"""

import importlib
from typing import TYPE_CHECKING, Any

from nova_cellmap.version import __version__

if TYPE_CHECKING:
    from oslo_config import cfg

    from nova_cellmap import conf
    from nova_cellmap import context
    from nova_cellmap import exception
    from nova_cellmap import objects
    from nova_cellmap import runtime

__all__ = ['__version__', 'conf', 'configure', 'context', 'exception', 'objects', 'runtime']

_SUBMODULES = ('conf', 'context', 'exception', 'objects', 'runtime')


def __getattr__(name: str) -> Any:
    # Imported when they are first used: a program that asks for its version does not
    # wait for SQLAlchemy.
    if name in _SUBMODULES:
        return importlib.import_module(f'{__name__}.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def configure(conf: 'cfg.ConfigOpts') -> 'runtime.Runtime':
    """Bind the process to the databases that *conf* names, and to the cache.

    May be called again, with another configuration or the same: connections of
    the previous one are closed.

    :param conf: an ``oslo_config.cfg.ConfigOpts``, such as :func:`nova_cellmap.conf.new` gives,
        or a service's own: :func:`nova_cellmap.conf.register_opts` adds what it lacks
    :returns: the default runtime from here on: what every context works with that is given
        no other
    :raises: :exc:`nova_cellmap.exception.InvalidURL` and
        :exc:`nova_cellmap.exception.InvalidOption`, where an option cannot be followed
    """
    from nova_cellmap import runtime
    from nova_cellmap.db import engine
    from nova_cellmap.db.caching import cache

    made = runtime.Runtime(conf)
    # What cannot be followed is told of now, and not at the first call.
    made.part(engine.Engines)
    cache.of(made)
    runtime.set_default(made)
    return made
