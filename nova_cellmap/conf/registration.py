# SPDX-License-Identifier: Apache-2.0
"""Registering options on a configuration that is not ours alone.

A service has options of the same names on its own ``ConfigOpts``: oslo.db's in
``[database]``, Nova's ``[api_database]`` and ``state_path``. oslo.config refuses a second
option of a name that is not equal to the first. Here the first one is kept, with its
default, in either order: what operators configure under that name is meant for both.
"""

from collections.abc import Iterable
import copy
import functools
from typing import Any

from oslo_config import cfg

from nova_cellmap import exception


class _Shared(cfg.Opt):
    """An option that is the same as any of its name: registering that one keeps ours."""

    def __ne__(self, another: object) -> bool:
        return not self == another

    def __eq__(self, another: object) -> bool:
        return isinstance(another, cfg.Opt) and _are_alike(self, another)

    __hash__ = cfg.Opt.__hash__


def register(conf: cfg.ConfigOpts, opts: Iterable[cfg.Opt], group: cfg.OptGroup | None) -> None:
    """Register options, but for those whose names are taken by options of the same type.

    :param group: None: ``[DEFAULT]``
    :raises: InvalidOption where one is taken by an option of another type
    """
    if group is not None:
        # A copy: a group keeps its options' values, and oslo.config would share them between
        # two configurations.
        conf.register_group(copy.deepcopy(group))
    for opt in opts:
        try:
            conf.register_opt(_shared(opt), group=group and group.name)
        except cfg.DuplicateOptError:
            _check(conf, opt, group)


def _shared(opt: cfg.Opt) -> cfg.Opt:
    shared = copy.copy(opt)
    cls: Any = type(opt)
    shared.__class__ = _shared_class(cls)
    return shared


@functools.cache
def _shared_class(cls: type[cfg.Opt]) -> Any:
    return type(f'Shared{cls.__name__}', (_Shared, cls), {})


def _check(conf: cfg.ConfigOpts, opt: cfg.Opt, group: cfg.OptGroup | None) -> None:
    # There is no public way to an option that somebody else has registered.
    existing = conf._get_opt_info(opt.dest, group and group.name)['opt']
    if not _are_alike(opt, existing):
        name = f'[{group.name if group else "DEFAULT"}] {opt.name}'
        raise exception.InvalidOption(
            option=name,
            reason='the program has registered an option of this name that is a '
            f'{type(existing).__name__}, and nova_cellmap needs a {type(opt).__name__}',
        )


def _are_alike(one: cfg.Opt, other: cfg.Opt) -> bool:
    """Whether what is configured for one can be read as the other."""
    return (one.dest, one.multi, type(one.type)) == (other.dest, other.multi, type(other.type))
