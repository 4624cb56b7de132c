# SPDX-License-Identifier: Apache-2.0
"""The ``[cells]`` group."""

from nova_cellmap import conf
from nova_cellmap.conf import cells
from nova_cellmap.tests import base

# What may be 0, which then means never, or nothing.
_FROM_ZERO = {'max_overflow', 'timeout', 'failures_before_skip', 'cache_time'}


class Cells(base.TestCase):
    def test_no_number_may_be_one_that_means_nothing(self) -> None:
        made = conf.new(args=[], config_files=[])
        numbers = [opt.dest for opt in cells.OPTS if isinstance(opt.default, int | float)]
        for name in numbers:
            if isinstance(made.cells[name], bool):
                continue
            least = 0 if name in _FROM_ZERO else 1
            made.set_override(name, least, group='cells')
            self.assertEqual(least, made.cells[name])
            self.assertRaises(ValueError, made.set_override, name, least - 1, group='cells')

    def test_nothing_more_is_let_through_to_drivers_by_default(self) -> None:
        made = conf.new(args=[], config_files=[])
        self.assertEqual([], made.cells.more_url_parameters)

    def test_each_option_says_what_it_is_for(self) -> None:
        for opt in cells.OPTS:
            self.assertTrue(opt.help and opt.help.endswith('.'), opt.name)
