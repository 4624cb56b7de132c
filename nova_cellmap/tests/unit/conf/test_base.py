# SPDX-License-Identifier: Apache-2.0
"""The ``[DEFAULT]`` group."""

import pathlib

import fixtures

from nova_cellmap import conf
from nova_cellmap.conf import base as base_conf
from nova_cellmap.tests import base


class Default(base.TestCase):
    def test_files_are_kept_in_the_working_folder(self) -> None:
        self.assertEqual('.', conf.new(args=[], config_files=[]).state_path)

    def test_a_message_queue_that_nobody_named_is_none(self) -> None:
        made = conf.new(args=[], config_files=[])
        self.assertEqual('rabbit://', made.transport_url)
        self.assertIsNone(base_conf.transport_url(made))

    def test_one_that_a_file_or_a_program_named_is_it(self) -> None:
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'x.conf'
        path.write_text('[DEFAULT]\ntransport_url = rabbit://file/\n')
        made = conf.new(args=[], config_files=[str(path)])
        self.assertEqual('rabbit://file/', base_conf.transport_url(made))
        made.set_override('transport_url', 'rabbit://program/')
        self.assertEqual('rabbit://program/', base_conf.transport_url(made))
