# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the mapping of a host, and whether that is beyond doubt."""

from typing import Any

from nova_cellmap.cells.hosts import Host
from nova_cellmap.tests import base
from nova_cellmap.upkeep.host_case import HostCase


def _case(named: str | None, *found: str, **values: Any) -> HostCase:
    mapping = None if named is None else {'cell_uuid': named or None}
    return HostCase('host', mapping, {uuid: Host('host') for uuid in found}, **values)


class Verdicts(base.TestCase):
    def check(self, kind: str | None, is_clear: bool, case: HostCase) -> None:
        found = case.difference and case.difference.kind.value
        self.assertEqual(kind, found)
        if kind is not None:
            self.assertEqual(is_clear, case.is_clear)

    def test_what_is_clear(self) -> None:
        self.check(None, False, _case('A', 'A'))
        self.check(None, False, _case(None))
        self.check('unmapped', True, _case(None, 'A'))
        self.check('stale', True, _case('A'))
        self.check('wrong_cell', True, _case('A', 'B'))

    def test_what_is_not(self) -> None:
        self.check('in_two_cells', False, _case('A', 'A', 'B'))
        self.check('in_two_cells', False, _case(None, 'A', 'B'))
        self.check('stale', False, _case('A', is_cell_empty=True))
        self.check('stale', False, _case('A', has_instances=True))
        self.check('wrong_cell', False, _case('A', 'B', has_instances=True))
        self.check('wrong_cell', False, _case('A', 'B', unread=['C']))
        self.check('unmapped', False, _case(None, 'B', unread=['C']))

    def test_of_a_cell_that_is_not_there(self) -> None:
        self.check('stale', False, _case(''))
        self.check('wrong_cell', False, _case('', 'B'))

    def test_what_a_cell_that_was_not_read_may_have(self) -> None:
        self.check(None, False, _case('A', unread=['A']))
        self.check(None, False, _case('A', 'B', unread=['A']))
        self.check(None, False, _case('A', unread=['B']))
