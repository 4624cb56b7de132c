# SPDX-License-Identifier: Apache-2.0
"""Templates are filled with what the base URL means to the libraries."""

import urllib.parse

import fixtures
import hypothesis
from hypothesis import strategies as st
from oslo_config import cfg
import oslo_messaging
import sqlalchemy

from nova_cellmap import url
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests.unit.url import texts


class FillExamples(tests_base.TestCase):
    def check(self, expected: str, template: str, base: str) -> None:
        self.assertEqual(expected, url.fill(template, base))

    def test_every_field(self) -> None:
        self.check(
            'mysql+pymysql|nova|s3|db|3306|x/y|a=1&b=2|f',
            '{scheme}|{username}|{password}|{hostname}|{port}|{path}|{query}|{fragment}',
            'mysql+pymysql://nova:s3@db:3306/x/y?a=1&b=2#f',
        )

    def test_missing_port(self) -> None:
        self.check(
            'mysql://u:p@h/x', 'mysql://{username}:{password}@{hostname}:{port}/x', 'a://u:p@h'
        )
        self.check('h|', '{hostname}|{port}', 'mysql://h:/x')

    def test_missing_login(self) -> None:
        for base, expected in (
            ('a://u:p@h', 'u:p@h'),
            ('a://u@h', 'u@h'),
            ('a://h', 'h'),
            ('a://:p@h', ':p@h'),
            ('a://u:@h', 'u:@h'),
        ):
            self.check(f'a://{expected}', 'a://{username}:{password}@{hostname}', base)
            self.check(
                f'rabbit://{expected}', 'rabbit://{username1}:{password1}@{hostname1}', base
            )
        self.check('a://h', 'a://{username}@{hostname}', 'a://h')
        self.check('a://nova@h', 'a://nova:{password}@{hostname}', 'a://h')
        self.check('a://:x@h', 'a://{username}:x@{hostname}', 'a://h')

    def test_missing_query_and_fragment(self) -> None:
        self.check('a://h/x', '{scheme}://{hostname}/{path}?{query}#{fragment}', 'a://h/x')
        self.check('a://h/x#f', '{scheme}://{hostname}/{path}?{query}#{fragment}', 'a://h/x#f')
        self.check('/?&a=1', '/?{query}&a=1', 'a://h')

    def test_missing_host(self) -> None:
        self.check('a:///x', 'a://{username}:{password}@{hostname}:{port}/{path}', 'sqlite:///x')
        self.check(
            'rabbit:///', 'rabbit://{username}:{password}@{hostname1}:{port1}/', 'rabbit:///'
        )

    def test_path_keeps_all_but_its_first_slash(self) -> None:
        self.check('sqlite:////var/x_cell', 'sqlite:///{path}_cell', 'sqlite:////var/x')
        # RabbitMQ's usual virtual host is '/'.
        self.check('rabbit://h//', 'rabbit://{hostname}/{path}', 'rabbit://h//')

    def test_ipv6(self) -> None:
        base = 'mysql://u:p@[2001:db8::1]:3306/x'
        self.check('a://[2001:db8::1]:3306', 'a://{hostname}:{port}', base)
        self.check('a://[2001:db8::1]:3306', 'a://[{hostname}]:{port}', base)
        self.check('a://h', 'a://[{hostname}]', 'mysql://h')
        self.check(
            '[::1]:5672,[::2]',
            '{hostname1}:{port1},{hostname2}:{port2}',
            'rabbit://[::1]:5672,u:p@[::2]/',
        )
        self.check('[fe80::1]', '{hostname}:{port}', 'rabbit://u:p@fe80::1/')

    def test_several_hosts(self) -> None:
        self.check(
            'rabbit://u1:p1@h1:5672,u2:p2@h2:5673/cell?ssl=1',
            'rabbit://{username1}:{password1}@{hostname1}:{port1},'
            '{username2}:{password2}@{hostname2}:{port2}/cell?{query}',
            texts.RABBIT,
        )
        self.check('rabbit://u1:p1@h1:5672/vhost?ssl=1', texts.DATABASE, texts.RABBIT)
        self.check('h2', '{hostname2}', 'unknown://u:p@h1:1,u:p@h2:2')

    def test_one_host_has_number_one(self) -> None:
        self.check('u:p@h:1', '{username1}:{password1}@{hostname1}:{port1}', 'rabbit://u:p@h:1')

    def test_comma_in_database_password(self) -> None:
        self.check('u|a%2Cb|h', '{username}|{password}|{hostname}', 'mysql://u:a,b@h/x')

    def test_raw_characters_of_queue_password(self) -> None:
        for character in '/#?':
            quoted = urllib.parse.quote(f'a{character}b', safe='')
            self.check(f'{quoted}|h', '{password}|{hostname}', f'rabbit://u:a{character}b@h:1/v')

    def test_other_braces_stay(self) -> None:
        self.check('a://{x}:{h{}{0}{', 'a://{x}:{{hostname}{}{0}{', 'b://h')

    def test_one_pass(self) -> None:
        self.check(
            '{password}|%7Bhostname%7D', '{path}|{password}', 'a://u:{hostname}@h/{password}'
        )

    def test_no_field(self) -> None:
        for base in (None, '', 'nonsense', texts.RABBIT):
            self.assertEqual('a://u:{p}@h', url.fill('a://u:{p}@h', base))


class FillErrors(tests_base.TestCase):
    def check(self, expected: str, template: str, base: str | None) -> None:
        error = self.assertRaises(url.TemplateError, url.fill, template, base)
        self.assertIsInstance(error, ValueError)
        self.assertIn(expected, str(error))
        self.assertNotIn('s3cret', str(error))

    def test_no_base(self) -> None:
        for base in (None, ''):
            self.check('Cannot fill {hostname}, {port} in', '{hostname}{port}{hostname}', base)
            self.check('a://u:***@{hostname}: the options', 'a://u:s3cret@{hostname}', base)

    def test_no_such_host(self) -> None:
        base = 'rabbit://u:s3cret@h'
        self.check('Cannot fill {hostname2}, {port9} in', '{hostname}{hostname2}{port9}', base)
        self.check('rabbit://u:***@h', 'a://u:s3cret@{hostname2}', base)
        for field in ('{hostname0}', '{hostname01}'):
            self.check(f'Cannot fill {field} in', field, base)

    def test_longer_than_a_url_may_be(self) -> None:
        for template, base in (
            ('{path}' + 'x' * 4096, 'a://h/x'),
            ('{path}', 'a://h/' + 'x' * 4096),
            ('{path}' * 600, 'a://h/' + 'x' * 4000),
        ):
            self.check('at most 4096 characters', template, base)

    def test_base_that_cannot_be_parsed(self) -> None:
        for base in ('u:s3cret@h', ' ', 'mysql://u:p@h:s3cret/x', 'rabbit://h:s3cret,[x/'):
            self.check('cannot be parsed: ', '{hostname}', base)


class FillLaws(tests_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.conf = cfg.ConfigOpts()
        # oslo.messaging warns of hosts without a login.
        self.useFixture(fixtures.FakeLogger())

    def logins(self, transport: str) -> list[tuple[str | None, str | None]]:
        parsed = oslo_messaging.TransportURL.parse(self.conf, transport)
        # Not what it takes for a host in 'rabbit://:;:#@h'.
        hypothesis.assume(parsed.hosts and all(host.hostname == 'h' for host in parsed.hosts))
        return [(host.username, host.password) for host in parsed.hosts]

    @hypothesis.given(texts.TEXTS, texts.TEXTS)
    @texts.LAW
    def test_quoted_login_arrives(self, username: str, password: str) -> None:
        login = f'{urllib.parse.quote(username)}:{urllib.parse.quote(password)}'.replace(
            '/', '%2F'
        )
        for scheme in ('mysql', 'rabbit'):
            base = f'{scheme}://{login}@h:1/x'
            database = sqlalchemy.make_url(url.fill(f'mysql{texts.DATABASE[8:]}', base))
            self.assertEqual((username, password), (database.username, database.password))
            self.assertEqual(('h', 1, 'x'), (database.host, database.port, database.database))
            transport = url.fill(f'rabbit{texts.DATABASE[8:]}', base)
            self.assertEqual([(username, password)], self.logins(transport))

    @hypothesis.given(texts.TEXTS, texts.TEXTS)
    @texts.LAW
    def test_raw_login_means_what_sqlalchemy_reads(self, username: str, password: str) -> None:
        base = f'mysql://{username}:{password}@h:1/x'
        try:
            meant = sqlalchemy.make_url(base)
        except ValueError:
            hypothesis.reject()
        hypothesis.assume(meant.host == 'h' and meant.port == 1)
        database = sqlalchemy.make_url(url.fill(texts.DATABASE, base))
        self.assertEqual((meant.username, meant.password), (database.username, database.password))
        self.assertEqual(
            [(meant.username or '', meant.password)],
            self.logins(url.fill('rabbit://{username}:{password}@{hostname}', base)),
        )

    @hypothesis.given(st.lists(st.tuples(texts.TEXTS, texts.TEXTS), min_size=1, max_size=3))
    @texts.LAW
    def test_raw_logins_mean_what_oslo_messaging_reads(self, raw: list[tuple[str, str]]) -> None:
        base = 'rabbit://' + ','.join(f'{name}:{secret}@h:1' for name, secret in raw) + '/x'
        try:
            meant = self.logins(base)
        except ValueError:
            hypothesis.reject()
        template = ','.join(
            f'{{username{n}}}:{{password{n}}}@{{hostname{n}}}' for n in range(1, len(meant) + 1)
        )
        self.assertEqual(meant, self.logins(url.fill(f'rabbit://{template}/', base)))

    @hypothesis.given(texts.TEXTS, texts.TEXTS)
    @texts.LAW
    def test_filling_all_fields_gives_the_base(self, username: str, password: str) -> None:
        username, password = (urllib.parse.quote(text, safe='') for text in (username, password))
        for base in (
            f'mysql+pymysql://{username}:{password}@db:3306/x?a=1',
            f'rabbit://{username}:{password}@[::1]:5672//',
            f'postgresql://{username}@%2Fvar%2Frun/x',
            'sqlite:////var/lib/x',
        ):
            self.assertEqual(base, url.fill(texts.DATABASE, base))

    @hypothesis.given(st.one_of(texts.TEXTS, texts.URLS), texts.URLS)
    @texts.LAW
    def test_fills_or_raises_template_error(self, template: str, base: str) -> None:
        try:
            filled = url.fill(template, base)
        except url.TemplateError:
            self.assertTrue(url.is_template(template))
        else:
            self.assertTrue(url.is_template(template) or filled == template)
