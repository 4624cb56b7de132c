# SPDX-License-Identifier: Apache-2.0
"""What is tried again, and what is not."""

from collections.abc import Callable, Iterator
from typing import Any

from nova_cellmap import exception
from nova_cellmap import runtime
from nova_cellmap.db import attempts
from nova_cellmap.db import errors
from nova_cellmap.db.errors import Kind
from nova_cellmap.tests.functional import base


class Attempts(base.TestCase):
    def repeat(self, failures: Iterator[Kind], **kwargs: Any) -> int:
        """Fail in these ways, and then answer how many tries there were."""
        tries = 0

        def attempt() -> int:
            nonlocal tries
            tries += 1
            kind = next(failures, None)
            if kind is not None:
                raise errors.DriverError(ValueError('it fails'), kind)
            return tries

        return attempts.repeat(attempt, runtime.default(), **kwargs)

    def test_what_may_pass_is_tried_again(self) -> None:
        for kind in attempts.PASSING:
            self.assertEqual(3, self.repeat(iter([kind, kind])))

    def test_what_stays_so_is_not(self) -> None:
        failures = iter([Kind.FULL, Kind.LOCKED])
        self.assertRaises(exception.DatabaseFull, self.repeat, failures)
        self.assertEqual([Kind.LOCKED], list(failures))

    def test_the_last_is_not(self) -> None:
        failures = iter([Kind.LOCKED, Kind.LOCKED])
        self.assertRaises(exception.DatabaseBusy, self.repeat, failures, is_last=True)
        self.assertEqual([Kind.LOCKED], list(failures))

    def test_there_is_an_end(self) -> None:
        endless = iter(lambda: Kind.LOCKED, None)
        self.assertRaises(exception.DatabaseBusy, self.repeat, endless)

    def test_a_commit_in_doubt_is_tried_again_and_remains_in_doubt(self) -> None:
        doubt: Callable[[], BaseException] = lambda: ValueError('the commit')  # noqa: E731
        self.assertEqual(2, self.repeat(iter([Kind.FULL]), doubt=doubt))
        endless = iter(lambda: Kind.FULL, None)
        error = self.assertRaises(
            exception.DatabaseOutcomeUnknown, self.repeat, endless, doubt=doubt
        )
        self.assertIn('the commit', str(error))
