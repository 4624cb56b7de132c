# SPDX-License-Identifier: Apache-2.0
"""What a runtime owns, who has which, and what becomes of it."""

from collections.abc import Callable
import copy
import gc
import os
import threading
from typing import Any

from oslo_context import context as oslo_context
import testtools

from nova_cellmap import conf
from nova_cellmap import exception
from nova_cellmap import runtime
from nova_cellmap.context import RequestContext
from nova_cellmap.context import get_admin_context
from nova_cellmap.tests import base


class _Kept(runtime.Part):
    """A part that a child makes again."""

    closed: list['_Kept'] = []

    def __init__(self, owner: Any) -> None:
        self.lock = threading.Lock()

    def close(self) -> None:
        self.closed.append(self)


class _Shared(_Kept):
    """A part that goes on in a child."""

    def after_fork(self) -> bool:
        self.lock = threading.Lock()
        return True


class _Outer(runtime.Part):
    """A part that asks for another as it is made."""

    def __init__(self, owner: runtime.Parts) -> None:
        self.inner = owner.part(_Kept)


class _Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(_Kept.closed.clear)
        self.runtime = self.new_runtime()

    def new_runtime(self) -> runtime.Runtime:
        return runtime.Runtime(conf.new(args=[], config_files=[]))


class Parts(_Case):
    def test_there_is_one_of_each_kind(self) -> None:
        kept, shared = self.runtime.part(_Kept), self.runtime.part(_Shared)
        self.assertIsInstance(kept, _Kept)
        self.assertIsNot(kept, shared)
        self.assertIs(kept, self.runtime.part(_Kept))
        self.assertIs(shared, self.runtime.part(_Shared))

    def test_each_runtime_has_its_own(self) -> None:
        other = self.new_runtime()
        self.assertIsNot(self.runtime.part(_Kept), other.part(_Kept))

    def test_one_may_ask_for_another(self) -> None:
        self.assertIs(self.runtime.part(_Outer).inner, self.runtime.part(_Kept))

    def test_threads_that_ask_at_once_have_the_same(self) -> None:
        start = threading.Barrier(8)
        found: list[_Kept] = []

        def ask() -> None:
            start.wait(10)
            found.append(self.runtime.part(_Kept))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual({self.runtime.part(_Kept)}, set(found))

    def test_they_are_closed_with_it_and_stay(self) -> None:
        kept = self.runtime.part(_Kept)
        self.runtime.close()
        self.assertIn(kept, _Kept.closed)
        self.assertIs(kept, self.runtime.part(_Kept))

    def test_they_are_closed_when_nobody_has_it_any_longer(self) -> None:
        kept = self.runtime.part(_Kept)
        context = get_admin_context(runtime=self.runtime)
        del self.runtime
        self.assertNotIn(kept, _Kept.closed)
        del context
        gc.collect()
        self.assertIn(kept, _Kept.closed)

    def test_the_process_has_parts_too(self) -> None:
        self.assertIs(runtime.process.part(_Kept), runtime.process.part(_Kept))


class Default(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.patch(runtime.Carrier, 'runtime', runtime.Carrier.runtime)
        runtime.set_default(None)

    def test_there_is_none_before_one_is_made(self) -> None:
        for context in (get_admin_context(), oslo_context.RequestContext(overwrite=False), None):
            with testtools.ExpectedException(exception.NotConfigured):
                runtime.of(context).conf  # noqa: B018
        self.assertRaises(exception.NotConfigured, runtime.default)

    def test_it_is_that_of_whoever_has_no_other(self) -> None:
        runtime.set_default(self.runtime)
        for context in (get_admin_context(), oslo_context.RequestContext(overwrite=False), None):
            self.assertIs(self.runtime, runtime.of(context))

    def test_a_context_learns_of_another_one(self) -> None:
        runtime.set_default(self.runtime)
        context = get_admin_context()
        other = self.new_runtime()
        runtime.set_default(other)
        self.assertIs(other, runtime.of(context))

    def test_another_one_closes_it(self) -> None:
        runtime.set_default(self.runtime)
        kept = self.runtime.part(_Kept)
        runtime.set_default(self.new_runtime())
        self.assertIn(kept, _Kept.closed)


class Contexts(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.patch(runtime.Carrier, 'runtime', self.new_runtime())

    def test_one_that_was_given_another_works_with_that(self) -> None:
        for context in (
            get_admin_context(runtime=self.runtime),
            RequestContext('token', 'user', overwrite=False, runtime=self.runtime),
            RequestContext.from_dict({'user_id': 'user'}, runtime=self.runtime, overwrite=False),
        ):
            self.assertIs(self.runtime, runtime.of(context))
            self.assertIs(self.runtime, context.runtime)

    def test_what_is_made_of_it_does_too(self) -> None:
        context = get_admin_context(runtime=self.runtime)
        for other in (
            context.copy(),
            context.redacted_copy(overwrite=False),
            copy.copy(context),
            copy.deepcopy(context),
        ):
            self.assertIs(self.runtime, runtime.of(other))

    def test_there_is_no_second_one_of_the_same_parts(self) -> None:
        self.assertIs(self.runtime, copy.copy(self.runtime))
        self.assertIs(self.runtime, copy.deepcopy(self.runtime))

    def test_it_does_not_travel(self) -> None:
        sent = get_admin_context(runtime=self.runtime).to_dict()
        self.assertEqual(get_admin_context().to_dict().keys(), sent.keys())
        arrived = RequestContext.from_dict({**sent, 'runtime': 'x'}, overwrite=False)
        self.assertIs(runtime.default(), runtime.of(arrived))

    def test_what_else_calls_itself_a_runtime_is_none(self) -> None:
        context: Any = oslo_context.RequestContext(overwrite=False)
        context.runtime = 'fast'
        self.assertIs(runtime.default(), runtime.of(context))


class Forks(_Case):
    def in_child(self, holds: Callable[[], bool]) -> None:
        """Check that something holds in a child of a fork."""
        pid = os.fork()
        if pid == 0:
            status = 2
            try:
                status = 0 if holds() else 1
            finally:
                os._exit(status)
        self.assertEqual(0, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    def test_a_child_makes_its_own_and_closes_none_of_the_parents(self) -> None:
        kept = self.runtime.part(_Kept)

        def makes_its_own() -> bool:
            own = self.runtime.part(_Kept)
            self.runtime.close()
            return own in _Kept.closed and kept not in _Kept.closed

        self.in_child(makes_its_own)
        self.assertIs(kept, self.runtime.part(_Kept))

    def test_one_that_can_go_on_does(self) -> None:
        shared = self.runtime.part(_Shared)
        with shared.lock:
            self.in_child(
                lambda: self.runtime.part(_Shared) is shared and shared.lock.acquire(timeout=5)
            )

    def test_of_every_runtime_there_is(self) -> None:
        runtimes = [self.runtime, self.new_runtime(), runtime.process]
        parts = [each.part(_Kept) for each in runtimes]
        self.in_child(lambda: not {each.part(_Kept) for each in runtimes} & set(parts))

    def test_a_part_that_a_thread_was_making_does_not_hold_it_up(self) -> None:
        begun, end = threading.Event(), threading.Event()

        class Slow(runtime.Part):
            def __init__(self, owner: Any) -> None:
                begun.set()
                end.wait(30)

        thread = threading.Thread(target=self.runtime.part, args=(Slow,))
        thread.start()
        try:
            begun.wait(30)
            self.in_child(lambda: self.runtime.part(_Kept) is not None)
        finally:
            end.set()
            thread.join()
