# SPDX-License-Identifier: Apache-2.0
"""The ``[cache]`` group: oslo.cache's own options, where that library is installed."""

from oslo_config import cfg

GROUP = 'cache'
# All that there is without the library: a cache that is asked for and cannot be had is told of.
_ENABLED = cfg.BoolOpt('enabled', default=False, help='Global toggle for caching.')


def register_opts(conf: cfg.ConfigOpts) -> None:
    try:
        import oslo_cache
    except ImportError:
        conf.register_opt(_ENABLED, group=GROUP)
    else:
        oslo_cache.configure(conf)
