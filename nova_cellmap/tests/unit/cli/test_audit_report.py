# SPDX-License-Identifier: Apache-2.0
"""The summary of an audit."""

import io
from typing import Any

from nova_cellmap.cli import audit_report
from nova_cellmap.tests import base

_NONE: dict[str, Any] = {
    'status': 0,
    'instances': 7,
    'problems': 0,
    'left': 0,
    'in_flight': 0,
    'seconds': 1,
    'cells': [],
    'other_cells_not_read': {},
}


class Verdict(base.TestCase):
    def shown(self, **values: Any) -> str:
        stream = io.StringIO()
        audit_report.show({**_NONE, **values}, stream)
        return stream.getvalue()

    def test_of_a_whole_run(self) -> None:
        self.assertIn('The mapping is correct', self.shown())
        self.assertIn('2 problems left', self.shown(status=1, problems=3, left=2))
        self.assertIn('3 problems repaired, none left', self.shown(problems=3))

    def test_of_a_part(self) -> None:
        self.assertIn('no problem left up to B, where', self.shown(status=1, stopped_at='B'))
        self.assertIn('no problem left from A on', self.shown(began_after='A'))
        both = self.shown(status=1, problems=1, left=1, began_after='A', stopped_at='B')
        self.assertIn('1 problem left from A on up to B, where the time was over', both)

    def test_of_one_that_was_refused(self) -> None:
        self.assertIn('Nothing was changed', self.shown(status=3, left=9, refused={'most': 3}))

    def test_what_is_in_flight(self) -> None:
        self.assertIn('2 in flight', self.shown(in_flight=2))
