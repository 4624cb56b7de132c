# SPDX-License-Identifier: Apache-2.0
"""Nova's own configuration file, with every option of Nova and of its libraries, is taken."""

from importlib import metadata
import pathlib
from typing import Any

import fixtures

from nova_cellmap import conf
from nova_cellmap.tests import base


def _options() -> dict[str, set[str]]:
    """The names that a file of Nova's may hold, by group: those of former releases too."""
    found: dict[str, set[str]] = {}
    for point in metadata.entry_points(group='oslo.config.opts'):
        listed: Any = [] if point.name == 'nova_cellmap' else point.load()()
        for group, options in listed:
            name = str(getattr(group, 'name', group) or 'DEFAULT')
            for option in options:
                found.setdefault(name, set()).update((option.name, option.dest))
                for old in option.deprecated_opts:
                    found.setdefault(old.group or name, set()).add(old.name or option.dest)
    return found


class Options(base.TestCase):
    def test_none_is_taken_for_one_of_ours_misspelt(self) -> None:
        options = _options()
        self.assertIn('instances_path', options['DEFAULT'])
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'nova.conf'
        values = {'connection': 'sqlite://', 'transport_url': 'rabbit://'}
        lines = []
        for group, names in options.items():
            lines.append(f'[{group}]')
            lines += [f'{name} = {values.get(name, "1")}' for name in sorted(names)]
        path.write_text('\n'.join(lines))
        made = conf.new(config_files=[str(path)])
        self.assertEqual('sqlite://', made.api_database.connection)
