# SPDX-License-Identifier: Apache-2.0
"""How long ago something was changed."""

import datetime

from nova_cellmap.tests import base
from nova_cellmap.upkeep import age

_MINUTE = datetime.timedelta(minutes=1)
_DAY = datetime.timedelta(days=1)


class Ages(base.TestCase):
    def test_the_least_of_those_that_are_known(self) -> None:
        self.assertIsNone(age.least([]))
        self.assertIsNone(age.least([None]))
        self.assertEqual(_MINUTE, age.least([_DAY, None, _MINUTE]))

    def test_since(self) -> None:
        now = datetime.datetime(2026, 1, 2)
        self.assertEqual(_DAY, age.since(now, now - _DAY))
        self.assertIsNone(age.since(None, now))
        self.assertIsNone(age.since(now, None))

    def test_as_words(self) -> None:
        for seconds, words in (
            (0, '0 seconds'),
            (1, '1 second'),
            (119, '119 seconds'),
            (120, '2 minutes'),
            (86_400, '24 hours'),
            (200_000, '2 days'),
            (10**8, '1,157 days'),
        ):
            self.assertEqual(words, age.shown(datetime.timedelta(seconds=seconds)))


class Patience(base.TestCase):
    def test_what_is_young(self) -> None:
        patience = age.Patience(15 * _MINUTE, _DAY)
        for of, is_young in (
            (14 * _MINUTE, True),
            (15 * _MINUTE, False),
            (-_MINUTE, True),
            (-_DAY, False),
            (None, False),
        ):
            self.assertEqual(is_young, patience.is_young(of), str(of))
        self.assertFalse(age.Patience().is_young(-_MINUTE))

    def test_when_it_is_over(self) -> None:
        patience = age.Patience(stuck_after=_DAY)
        self.assertEqual([False, False, True], [*map(patience.is_over, (None, _MINUTE, _DAY))])
