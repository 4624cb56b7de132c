# SPDX-License-Identifier: Apache-2.0
"""Contexts of ours, and what is made of those of others."""

import gc
from typing import Any

from oslo_context import context as oslo_context

from nova_cellmap import context
from nova_cellmap import exception
from nova_cellmap.tests import base

WHO: dict[str, Any] = {
    'user_id': 'alice',
    'user_name': 'Alice',
    'project_id': 'demo',
    'project_name': 'Demo',
    'user_domain_id': 'users',
    'project_domain_id': 'projects',
    'roles': ['member', 'reader'],
    'request_id': 'req-1',
    'global_request_id': 'req-00000000-0000-4000-8000-000000000000',
    'is_admin': False,
}


class Service(oslo_context.RequestContext):
    """A service's own context: equal to others, with more in it, and not to be hashed."""

    def __init__(self, *, quota: str = 'small', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.quota = quota

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Service) and self.request_id == other.request_id

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {'user_id': self.user_id, 'quota': self.quota}


FOREIGN: tuple[type[Any], ...] = (oslo_context.RequestContext, Service)
# What is mistaken for one.
NONE: tuple[Any, ...] = (
    None,
    {},
    {'user_id': 'alice'},
    'ctxt',
    object(),
    context.get_admin_context,
)
NONE += (context.RequestContext, oslo_context.RequestContext, 0)


def of_service(cls: type[Any] = Service, **more: Any) -> Any:
    return cls(overwrite=False, **{**WHO, **more})


class Foreign(base.TestCase):
    def test_who_asks_is_the_same(self) -> None:
        for cls in FOREIGN:
            theirs = of_service(cls)
            for ours in (context.of(theirs), context.copy_of(theirs)):
                self.assertIs(context.RequestContext, type(ours))
                for name, value in WHO.items():
                    self.assertEqual(value, getattr(ours, name), name)

    def test_it_stays_the_same_context_as_long_as_theirs_lives(self) -> None:
        for cls in FOREIGN:
            theirs = of_service(cls)
            ours = context.of(theirs)
            self.assertIs(ours, context.of(theirs))
            self.assertIs(ours, context.of(ours))
            # Nothing is left in theirs.
            self.assertNotIn('nova_cellmap', repr(vars(theirs)))
            number = id(theirs)
            self.assertIn(number, context._stand_ins)
            del theirs
            gc.collect()
            self.assertNotIn(number, context._stand_ins)

    def test_each_has_its_own_however_equal_they_are(self) -> None:
        one, other = of_service(), of_service()
        self.assertEqual(one, other)
        self.assertIsNot(context.of(one), context.of(other))

    def test_copies_share_nothing(self) -> None:
        theirs = of_service()
        context.copy_of(theirs).roles.append('admin')
        self.assertEqual(['member', 'reader'], theirs.roles)
        self.assertIsNot(context.copy_of(theirs), context.copy_of(theirs))

    def test_the_one_that_logs_name_stays(self) -> None:
        current = oslo_context.RequestContext(request_id='req-current')
        for cls in FOREIGN:
            context.of(of_service(cls))
            self.assertIs(current, oslo_context.get_current())

    def test_an_admin_stays_one(self) -> None:
        for is_admin in (True, False, None):
            theirs = of_service(is_admin=is_admin)
            self.assertEqual(theirs.is_admin, context.of(theirs).is_admin)

    def test_what_is_none_is_refused_and_it_is_said_what_to_pass(self) -> None:
        for given in NONE:
            for function in (context.of, context.copy_of):
                error = self.assertRaises(exception.InvalidInput, function, given)
                self.assertIn('nova_cellmap.context.get_admin_context()', str(error))
                self.assertNotIn('alice', str(error))


class Dicts(base.TestCase):
    def test_there_and_back(self) -> None:
        ours = context.RequestContext(overwrite=False, **WHO)
        again = context.RequestContext.from_dict(ours.to_dict(), overwrite=False)
        for name, value in WHO.items():
            self.assertEqual(value, getattr(again, name), name)

    def test_of_others(self) -> None:
        for cls in FOREIGN:
            again = context.RequestContext.from_dict(of_service(cls).to_dict(), overwrite=False)
            self.assertEqual(('alice', 'demo'), (again.user_id, again.project_id))

    def test_for_others(self) -> None:
        ours = context.RequestContext(overwrite=False, **WHO).to_dict()
        theirs = oslo_context.RequestContext.from_dict(ours, overwrite=False)
        self.assertEqual(('alice', 'demo'), (theirs.user_id, theirs.project_id))

    def test_under_any_of_their_names(self) -> None:
        dicts: tuple[dict[str, str | None], ...] = (
            {'user': 'alice', 'tenant': 'demo'},
            {'user_id': 'alice', 'project': 'demo'},
            {'user_id': 'alice', 'user': None, 'project_id': 'demo', 'tenant': None},
            {'user_id': None, 'user': 'alice', 'project_id': None, 'project': 'demo'},
        )
        for values in dicts:
            ours = context.RequestContext.from_dict(values, overwrite=False)
            self.assertEqual(('alice', 'demo'), (ours.user_id, ours.project_id))

    def test_of_nobody(self) -> None:
        ours = context.RequestContext.from_dict({}, overwrite=False)
        self.assertEqual((None, None), (ours.user_id, ours.project_id))
