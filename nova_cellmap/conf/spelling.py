# SPDX-License-Identifier: Apache-2.0
"""Names in the configuration that may be one of ours misspelt.

oslo.config passes over what it does not know, as it has to: the file may be Nova's own. A group
or an option that is nearly one of ours has no effect either, and the work would be done on a
database that nobody meant.
"""

from collections.abc import Iterable, Mapping
import difflib
import logging
import os

from oslo_config import cfg

from nova_cellmap.conf import files

LOG = logging.getLogger(__name__)

# How alike two names are, from 0 to 1, above which one may be the other misspelt. Of all options
# of Nova and of OpenStack's libraries none is so near to one of ours: a test sees to that.
_ALIKE = 0.8

# Where only some of the names are ours; of the other groups all are.
_OURS = {
    'DEFAULT': ('state_path', 'transport_url'),
    'database': ('connection',),
    'cache': ('enabled', 'backend', 'memcache_servers'),
}
# What oslo.db's options were called long ago, and is left in files; oslo.cache need not be there.
_FORMER = tuple(
    f'sql_{name}'
    for name in (
        'connection',
        'connection_debug',
        'connection_trace',
        'idle_timeout',
        'max_overflow',
        'max_pool_size',
        'max_retries',
        'min_pool_size',
        'retry_interval',
    )
)
_THEIRS = {'api_database': _FORMER, 'database': _FORMER, 'cache': ('tls_enabled',)}
# Groups with no options but ours, in Nova's files too.
_OURS_ALONE = ('api_database', 'cells')


class Names:
    """The names of a configuration's options, by group.

    :param conf: every option is registered on it
    :param others: names that oslo.config knows besides, by group: those of former releases
    """

    def __init__(
        self, conf: cfg.ConfigOpts, groups: Iterable[str], others: Mapping[str, Iterable[str]]
    ) -> None:
        self._known = {
            group: {*conf[group], *others.get(group, ()), *_THEIRS.get(group, ())}
            for group in groups
        }
        self._known['DEFAULT'] = set(conf)
        self._ours = {group: _OURS.get(group, sorted(conf[group])) for group in groups}
        self._ours['DEFAULT'] = _OURS['DEFAULT']

    def check(self, where: str, sections: files.Sections) -> None:
        """Check the names that a file has.

        :param where: the file, for messages
        :raises: ConfigurationError
        """
        for section, options in sections.items():
            # As oslo.config does it.
            group = section if section == 'DEFAULT' else section.lower()
            if group not in self._known:
                near = nearest(group, self._known)
                if near:
                    raise files.ConfigurationError(
                        f'{where}: there is no group [{section}]. Did you mean [{near}]?'
                    )
                continue
            for option in options:
                self._check_option(f'{where}: [{section}]', group, option)

    def _check_option(self, where: str, group: str, option: str) -> None:
        if option in self._known[group]:
            return
        if group == 'DEFAULT' and option == 'connection':
            raise files.ConfigurationError(f'{where} {option} belongs to [api_database].')
        near = nearest(files.shown(option), self._ours[group])
        if near and option.split() != [option]:
            raise files.ConfigurationError(f'{where} {near}: the = is missing.')
        if near:
            raise files.ConfigurationError(f'{where} has no option {option}. Did you mean {near}?')
        if group in _OURS_ALONE:
            LOG.warning('%s has no option %s: it has no effect.', where, files.shown(option))

    def check_environment(self) -> None:
        """Check the names of environment variables, which are read where they are exact.

        :raises: ConfigurationError
        """
        right = {
            files.variable(group, name) for group in self._known for name in self._known[group]
        }
        ours = {files.variable(group, name) for group in self._ours for name in self._ours[group]}
        by_letters = {_letters(name): name for name in ours}
        for name in os.environ:
            if not name.upper().startswith('OS_') or name in right:
                continue
            if _letters(name) in by_letters:
                raise files.ConfigurationError(
                    f'The environment variable {name} has no effect. '
                    f'Did you mean {by_letters[_letters(name)]}?'
                )
            group, separator, option = name[3:].partition('__')
            if separator and option:
                group = group if group == 'DEFAULT' else group.lower()
                self.check(f'Environment variable {name}', {group: {option.lower(): ()}})


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of *names* that *name* may be a misspelling of."""
    wanted = _letters(name)
    rated = [
        (difflib.SequenceMatcher(None, wanted, _letters(each)).ratio(), each) for each in names
    ]
    ratio, near = max(rated, default=(0.0, ''))
    return near if ratio > _ALIKE else None


def _letters(name: str) -> str:
    return name.lower().replace('-', '').replace('_', '')
