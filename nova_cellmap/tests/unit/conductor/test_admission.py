# SPDX-License-Identifier: Apache-2.0
"""How much a worker takes on at once."""

import threading
import time

from nova_cellmap.conductor import admission
from nova_cellmap.tests import base


class Room(base.TestCase):
    def test_what_is_left_can_be_taken_again(self) -> None:
        room = admission.Room(1000, patience=0)
        taken = [room.enter(400), room.enter(600)]
        self.assertEqual(1000, room.taken)
        for size in taken:
            room.leave(size)
        self.assertEqual(0, room.taken)

    def test_a_small_call_takes_a_part_all_the_same(self) -> None:
        room = admission.Room(256_000, patience=0)
        self.assertEqual(1000, room.enter(1))

    def test_one_that_is_too_large_takes_all_of_it_and_no_more(self) -> None:
        room = admission.Room(1000, patience=0)
        self.assertEqual(1000, room.enter(5000))
        room.leave(1000)
        self.assertEqual(0, room.taken)

    def test_one_that_does_not_fit_waits_until_there_is_room(self) -> None:
        room = admission.Room(1000, patience=60)
        first = room.enter(800)
        entered = threading.Event()

        def enter() -> None:
            room.enter(300)
            entered.set()

        threading.Thread(target=enter, daemon=True).start()
        self.assertFalse(entered.wait(0.2))
        room.leave(first)
        self.assertTrue(entered.wait(30))
        self.assertEqual(300, room.taken)

    def test_none_waits_for_ever(self) -> None:
        room = admission.Room(1000, patience=0.2)
        room.enter(1000)
        before = time.monotonic()
        room.enter(1000)
        self.assertGreaterEqual(time.monotonic() - before, 0.2)
        self.assertEqual(2000, room.taken)
