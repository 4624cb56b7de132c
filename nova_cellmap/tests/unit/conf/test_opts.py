# SPDX-License-Identifier: Apache-2.0
"""What oslo-config-generator asks for."""

import pathlib

import fixtures
from oslo_config import cfg
from oslo_config import generator

from nova_cellmap import conf
from nova_cellmap.conf import opts
from nova_cellmap.tests import base


class Opts(base.TestCase):
    def test_a_sample_can_be_generated(self) -> None:
        sample = cfg.ConfigOpts()
        generator.register_cli_opts(sample)
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'sample'
        sample(['--namespace', 'nova_cellmap', '--output-file', str(path)])
        generator.generate(sample)
        text = path.read_text()
        for expected in ('[DEFAULT]', 'state_path', '[api_database]', '[database]', '#connection'):
            self.assertIn(expected, text)

    def test_each_option_is_registered_and_in_one_group(self) -> None:
        made = conf.new(args=[], config_files=[])
        seen: set[tuple[str, str]] = set()
        for group, options in opts.list_opts():
            name = group.name if isinstance(group, cfg.OptGroup) else group
            values = made if name == 'DEFAULT' else made[name]
            for opt in options:
                self.assertNotIn((name, opt.dest), seen)
                seen.add((name, opt.dest))
                self.assertIn(opt.dest, values)
        self.assertEqual(
            {'DEFAULT', 'api_database', 'database', 'cells', 'conductor'},
            {name for name, _ in seen},
        )
