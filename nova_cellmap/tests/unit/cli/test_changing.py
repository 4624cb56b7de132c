# SPDX-License-Identifier: Apache-2.0
"""What the commands share that change many mappings."""

from nova_cellmap.cli import base as cli_base
from nova_cellmap.cli import changing
from nova_cellmap.tests import base
from nova_cellmap.upkeep import limits
from nova_cellmap.upkeep.limits import MostChanges

_UUID = '74f0b3a6-c576-4930-a749-35624f38b6bc'


class MostChangesOption(base.TestCase):
    def test_numbers_and_parts(self) -> None:
        for text, most in (
            (None, limits.DEFAULT),
            ('0', MostChanges()),
            ('12', MostChanges(12)),
            ('5%', MostChanges(percent=5)),
            ('0.5%', MostChanges(percent=0.5)),
            ('100%', MostChanges(percent=100)),
        ):
            self.assertEqual(most, changing.most_changes(text))

    def test_what_is_none(self) -> None:
        for text in ('', '-1', '1.5', '%', '101%', '1e3', '5 %', '\u0663', '9' * 19):
            self.assertRaises(cli_base.CommandError, changing.most_changes, text)


class InstanceOption(base.TestCase):
    def test_each_once(self) -> None:
        self.assertEqual([_UUID], changing.instances([_UUID, _UUID.upper()]))
        self.assertEqual([], changing.instances([]))
        self.assertRaises(cli_base.CommandError, changing.instances, [_UUID, 'x'])
