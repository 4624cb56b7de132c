# SPDX-License-Identifier: Apache-2.0
"""Connections to message queues."""

from collections.abc import Sequence
import contextlib
import importlib
import os
from typing import NoReturn

from oslo_concurrency import lockutils
from oslo_concurrency import opts as concurrency_opts
from oslo_config import cfg
import oslo_messaging
from oslo_messaging import opts as messaging_opts

from nova_cellmap import exception
from nova_cellmap import url as url_module
from nova_cellmap.conf import base as base_conf
from nova_cellmap.conf import registration


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
    :raises: InvalidURL; InvalidOption where ``[oslo_messaging_rabbit]`` cannot be followed
    """
    register_opts(conf)
    _check_options(conf)
    if url is None and base_conf.transport_url(conf) is None:
        raise exception.InvalidURL(reason=f'{whose} is not set')
    try:
        return oslo_messaging.get_rpc_transport(conf, url, allowed_remote_exmods=list(exceptions))
    except (oslo_messaging.DriverLoadFailure, oslo_messaging.InvalidTransportURL) as error:
        raise exception.InvalidURL(reason=f'{whose}: {error}') from None
    except ValueError:
        # What it says may hold a piece of the password.
        raise exception.InvalidURL(reason=f'{whose} is no URL') from None


def refusal(error: BaseException, transport_url: str | None) -> exception.BrokerRefused | None:
    """What is to be raised for an error of the message queue that will not pass; else None."""
    from amqp import exceptions as amqp  # type: ignore[import-untyped]

    refused = (amqp.IrrecoverableConnectionError, amqp.IrrecoverableChannelError)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, refused):
            reason = getattr(cause, 'reply_text', None) or str(cause)
            return exception.BrokerRefused(url=url_module.mask(transport_url or ''), reason=reason)
        cause = cause.__cause__ or cause.__context__
    return None


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of oslo.messaging that have to be there before it registers them."""
    for group, options in (*messaging_opts.list_opts(), *concurrency_opts.list_opts()):
        if group in (_RABBIT, _LOCKS):
            registration.register(conf, options, cfg.OptGroup(group))
    _register_global_options(conf)


# oslo.messaging registers these on the process' global configuration alone, and looks for
# them on the one that it was given.
_GLOBAL_OPTIONS = {
    'oslo_messaging_metrics': 'oslo_messaging._metrics.client',
    'oslo_messaging_tracing': 'oslo_messaging._tracing.client',
}
_RABBIT = 'oslo_messaging_rabbit'
_LOCKS = 'oslo_concurrency'


def _register_global_options(conf: cfg.ConfigOpts) -> None:
    for group, module in _GLOBAL_OPTIONS.items():
        # Older releases have no tracing.
        with contextlib.suppress(ImportError):
            conf.register_opts(getattr(importlib.import_module(module), group), group=group)


def _check_options(conf: cfg.ConfigOpts) -> None:
    """Check what oslo.messaging stumbles over only when it connects, at each try again.

    :raises: InvalidOption
    """
    options = conf[_RABBIT]
    for name in ('ssl_ca_file', 'ssl_cert_file', 'ssl_key_file') if options.ssl else ():
        path = options[name]
        if path and not os.access(path, os.R_OK):
            _refuse(name, f'there is no file {path} that can be read')
    if options.rabbit_stream_fanout and options.rabbit_qos_prefetch_count <= 0:
        _refuse('rabbit_stream_fanout', 'it needs rabbit_qos_prefetch_count, a number above 0')
    if options.rabbit_stream_fanout and not options.rabbit_transient_quorum_queue:
        _refuse('rabbit_stream_fanout', 'it needs rabbit_transient_quorum_queue = true')
    if options.use_queue_manager:
        path = conf.oslo_concurrency.lock_path
        if not path:
            _refuse(
                'use_queue_manager',
                'it needs [oslo_concurrency] lock_path, a folder that the processes of this '
                'machine share',
            )
        # oslo.messaging asks the process' global configuration. lockutils.set_defaults would
        # give the path to every other configuration of the process, too.
        lockutils.get_lock_path(cfg.CONF)  # registers the option
        cfg.CONF.set_default('lock_path', path, group='oslo_concurrency')


def _refuse(name: str, reason: str) -> NoReturn:
    raise exception.InvalidOption(option=f'[{_RABBIT}] {name}', reason=reason)
