# SPDX-License-Identifier: Apache-2.0
"""Options on a configuration that has options of the same names."""

from oslo_config import cfg

from nova_cellmap import exception
from nova_cellmap.conf import registration
from nova_cellmap.tests import base

_GROUP = cfg.OptGroup('ours')


class Register(base.TestCase):
    def test_who_was_first_sets_the_default(self) -> None:
        for first, second in ((1, 2), (2, 1)):
            conf = cfg.ConfigOpts()
            for value in (first, second):
                registration.register(conf, [cfg.IntOpt('number', default=value)], _GROUP)
            conf([])
            self.assertEqual(first, conf.ours.number)

    def test_a_service_may_be_first_or_second(self) -> None:
        theirs = cfg.IntOpt('number', default=1, help='As theirs.')
        ours = cfg.IntOpt('number', default=2, help='As ours.')
        first = cfg.ConfigOpts()
        first.register_opt(theirs, group='ours')
        registration.register(first, [ours], _GROUP)
        first([])
        self.assertEqual(1, first.ours.number)
        second = cfg.ConfigOpts()
        registration.register(second, [ours], _GROUP)
        second.register_opt(theirs, group='ours')
        second([])
        self.assertEqual(2, second.ours.number)

    def test_another_type_is_refused_by_name(self) -> None:
        for theirs in (cfg.StrOpt('number'), cfg.ListOpt('number'), cfg.MultiStrOpt('number')):
            conf = cfg.ConfigOpts()
            conf.register_opt(theirs, group='ours')
            error = self.assertRaises(
                exception.InvalidOption,
                registration.register,
                conf,
                [cfg.IntOpt('number')],
                _GROUP,
            )
            self.assertIn('[ours] number', str(error))
            self.assertIn('needs a IntOpt', str(error))

    def test_the_default_group_has_no_name(self) -> None:
        conf = cfg.ConfigOpts()
        registration.register(conf, [cfg.StrOpt('name', default='x')], None)
        conf([])
        self.assertEqual('x', conf.name)

    def test_two_configurations_share_no_value(self) -> None:
        one, two = cfg.ConfigOpts(), cfg.ConfigOpts()
        option = cfg.IntOpt('number', default=1)
        for conf in (one, two):
            registration.register(conf, [option], _GROUP)
            conf([])
        one.set_override('number', 5, group='ours')
        self.assertEqual((5, 1), (one.ours.number, two.ours.number))
        self.assertEqual(1, option.default)
