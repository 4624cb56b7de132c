# SPDX-License-Identifier: Apache-2.0
"""Connections to message queues."""

from collections.abc import Sequence
import contextlib
import importlib

from oslo_config import cfg
import oslo_messaging

from nova_cellmap import exception
from nova_cellmap.conf import base as base_conf


def transport(
    conf: cfg.ConfigOpts,
    url: str | None = None,
    *,
    whose: str = '[DEFAULT] transport_url',
    exceptions: Sequence[str] = (),
) -> oslo_messaging.Transport:
    """A connection to a message queue, which its first use opens.

    :param url: that of the queue; by default ``[DEFAULT] transport_url``
    :param whose: the name of the URL, for messages
    :param exceptions: the modules whose exceptions cross as themselves
    :raises: InvalidURL
    """
    _register_global_options(conf)
    if url is None and base_conf.transport_url(conf) is None:
        raise exception.InvalidURL(reason=f'{whose} is not set')
    try:
        return oslo_messaging.get_rpc_transport(conf, url, allowed_remote_exmods=list(exceptions))
    except (oslo_messaging.DriverLoadFailure, oslo_messaging.InvalidTransportURL) as error:
        raise exception.InvalidURL(reason=f'{whose}: {error}') from None
    except ValueError:
        # What it says may hold a piece of the password.
        raise exception.InvalidURL(reason=f'{whose} is no URL') from None


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
