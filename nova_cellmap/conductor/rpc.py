# SPDX-License-Identifier: Apache-2.0
"""Where the conductor is called, and what the two sides agree on."""

import contextlib
import importlib

from oslo_config import cfg
import oslo_messaging

from nova_cellmap import exception

NAMESPACE = 'nova_cellmap'
# Of the conductor's own methods; the objects have versions of their own.
VERSION = '1.0'

# The modules whose exceptions cross as themselves.
_EXCEPTIONS = ['nova_cellmap.exception', 'oslo_versionedobjects.exception']


def transport(conf: cfg.ConfigOpts) -> oslo_messaging.Transport:
    """A connection to the message queue of ``[DEFAULT] transport_url``.

    :raises: InvalidURL
    """
    _register_global_options(conf)
    try:
        return oslo_messaging.get_rpc_transport(conf, allowed_remote_exmods=_EXCEPTIONS)
    except (oslo_messaging.DriverLoadFailure, oslo_messaging.InvalidTransportURL) as error:
        raise exception.InvalidURL(reason=f'[DEFAULT] transport_url: {error}') from None
    except ValueError:
        # What it says may hold a piece of the password.
        raise exception.InvalidURL(reason='[DEFAULT] transport_url is no URL') from None


# oslo.messaging registers these on the process' global configuration alone, and looks for
# them on the one that it was given.
_GLOBAL_OPTIONS = {
    'oslo_messaging_metrics': 'oslo_messaging._metrics.client',
    'oslo_messaging_tracing': 'oslo_messaging._tracing.client',
}


def _register_global_options(conf: cfg.ConfigOpts) -> None:
    for group, module in _GLOBAL_OPTIONS.items():
        # Older releases have no tracing.
        with contextlib.suppress(ImportError):
            conf.register_opts(getattr(importlib.import_module(module), group), group=group)


def target(conf: cfg.ConfigOpts, server: str | None = None) -> oslo_messaging.Target:
    """Whom a client calls, or what a *server* of that name listens to."""
    return oslo_messaging.Target(
        exchange='nova_cellmap',
        topic=conf.conductor.topic,
        namespace=None if server else NAMESPACE,
        version=None if server else VERSION,
        server=server,
    )
