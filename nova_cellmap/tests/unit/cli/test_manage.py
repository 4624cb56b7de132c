# SPDX-License-Identifier: Apache-2.0
"""The commands of nova-cellmap-manage."""

from nova_cellmap.cli import base as cli_base
from nova_cellmap.cli import manage
from nova_cellmap.tests import base


class Commands(base.TestCase):
    def test_each_is_there_and_says_what_it_does(self) -> None:
        program = manage.program()
        for words in manage.COMMANDS:
            factory, name, rest = program.command_manager.find_command(words.split())
            self.assertTrue(issubclass(factory, cli_base.Command), words)
            self.assertEqual((words, []), (name, rest))
            self.assertTrue((factory.__doc__ or '').strip().splitlines()[0].endswith('.'), words)

    def test_they_have_the_names_of_novas(self) -> None:
        for words in ('db sync', 'cell_v2 map_instances', 'cell_v2 verify_instance'):
            self.assertIn(words, manage.COMMANDS)
        self.assertEqual({'db', 'cell_v2'}, {words.split()[0] for words in manage.COMMANDS})
