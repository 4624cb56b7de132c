# SPDX-License-Identifier: Apache-2.0
"""Tests of the URLs of cells: plain examples, and laws that hold for any text."""

import re
import subprocess
import sys
import traceback
from unittest import mock
import urllib.parse

import fixtures
import hypothesis
from hypothesis import strategies as st
from oslo_config import cfg
import oslo_messaging
import sqlalchemy

from nova_cellmap import url
from nova_cellmap.tests import base as tests_base

DATABASE = '{scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}'
# What may be a template's field and not a secret, also before another parameter.
FIELD = re.compile(r'\{[a-z]+[0-9]*\}(&|\Z)')
RABBIT = 'rabbit://u1:p1@h1:5672,u2:p2@h2:5673/vhost?ssl=1'

# A busy machine is slow, and of raw logins a library rejects most: neither fails a law.
LAW = hypothesis.settings(
    deadline=None,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.filter_too_much,
    ],
)

# Characters that mean something in a URL or in a template, among those that do not.
_NASTY = st.text(st.sampled_from('/#?@:,%{}[]&=;+* \n\t\\\'"Aä😀0'), min_size=3, max_size=12)
_ANY = st.text(st.characters(), min_size=3, max_size=20)
SECRETS = st.one_of(_ANY, _NASTY)
# What can be quoted: no surrogates.
TEXTS = st.one_of(_NASTY, st.text(max_size=20))
URL_LIKE = st.lists(
    st.sampled_from(
        ('mysql', 'rabbit', '://', '/', '//', '?', '#', '@', ':', ',', '&', '=', '%3A', '%40', ';')
        + ('password', 'charset', 'h1', '12', '[', ']', '[::1]', ' ', '\n', '***', 'ä', '{query}')
        + ('{scheme}', '{username}', '{password}', '{hostname}', '{port1}', '{', '}', '', '*')
    ),
    max_size=16,
).map(''.join)
URLS = st.one_of(URL_LIKE, st.builds('{}://{}'.format, st.sampled_from(['a', 'rabbit']), URL_LIKE))

# Each place of a secret, with what a test puts in for {}.
PLACES = (
    'mysql+pymysql://nova:{}@db.example.org:3306/nova_cell1?charset=utf8',
    'mysql://nova:{}@/x',
    'mysql://:{}@h',
    'postgresql://nova:{}@[2001:db8::1]:5432/x#y',
    'rabbit://nova:{}@mq:5672/',
    'rabbit://u1:{}@h1:5672,u2:p2@h2:5672/vhost?ssl=1',
    'rabbit://u1:p1@h1:5672,u2:{}@h2:5672/vhost?ssl=1',
    'rabbit://u1:p1@h1:5672,u2:{}@h2',
    '{{scheme}}://{{username}}:{}@{{hostname}}:{{port}}/{{path}}?{{query}}',
    'postgresql://h/x?password={}',
    'postgresql://h/x?sslmode=require&sslpassword={}&charset=utf8',
    'postgresql://u:p@h:5432/x?%70assword={}&{{query}}',
    'mssql+pyodbc:///?odbc_connect=DRIVER=x;UID=nova;PWD={}',
    'kafka://h1:9092,h2:9092/?access_token={}#f',
    'sqlite:////var/lib/x.sqlite?pass_phrase={}',
    '//nova:{}@db.example.org/x',
    'password={}',
)


class MaskExamples(tests_base.TestCase):
    def check(self, expected: str, raw: str) -> None:
        self.assertEqual(expected, url.mask(raw))

    def test_usual_urls(self) -> None:
        self.check(
            'mysql+pymysql://nova:***@db.example.org:3306/nova_cell1?charset=utf8',
            'mysql+pymysql://nova:s3cret@db.example.org:3306/nova_cell1?charset=utf8',
        )
        self.check('postgresql://nova:***@[::1]:5432/x', 'postgresql://nova:s@[::1]:5432/x')
        self.check('rabbit://nova:***@mq:5672//', 'rabbit://nova:s3cret@mq:5672//')

    def test_urls_without_secrets(self) -> None:
        for raw in (
            '',
            'nova',
            '***',
            'none:///',
            'sqlite://',
            'sqlite:///a.sqlite',
            'sqlite:////var/lib/x.sqlite',
            'sqlite:///C:/x.sqlite',
            'sqlite:///file:x?mode=ro&uri=true',
            'mysql://nova@db:3306/x',
            'mysql://db:3306/x?charset=utf8&read_default_file=/etc/compass/my.cnf',
            'mysql://nova@[fe80::1%25eth0]:3306/x',
            'postgresql://%2Fvar%2Frun/x',
            'rabbit://h1:5672,[::1]:5672,h3/vhost',
            'fake://',
        ):
            self.check(raw, raw)

    def test_templates_stay_readable(self) -> None:
        for raw in (
            'mysql://{username}:{password}@{hostname}/x',
            '{scheme}+pymysql://{username}:{password}@[{hostname}]:{port}/{path}?{query}#{fragment}',
            'rabbit://{username1}:{password1}@{hostname1}:{port1},'
            '{username2}:{password2}@{hostname2}:{port2}/{path}?{query}',
            '{scheme}://{hostname1}:{port1},{hostname2}:{port2}/',
            'postgresql://h/x?user={username}&password={password}',
        ):
            self.check(raw, raw)

    def test_password_that_holds_a_field(self) -> None:
        self.check('mysql://u:***@h/x', 'mysql://u:a{password}@h/x')

    def test_special_characters_in_password(self) -> None:
        for character in '/#?@:,%{}[]&= \n\tä':
            self.check('mysql://u:***@h:1/x', f'mysql://u:ab{character}cd@h:1/x')
            self.check('rabbit://u:***@h:1/x', f'rabbit://u:ab{character}cd@h:1/x')
        self.check('mysql://u:***@h/x', 'mysql://u:a://b@h/x')

    def test_several_hosts(self) -> None:
        self.check('rabbit://u1:***@h1:5672,u2:***@h2:5673/vhost?ssl=1', RABBIT)
        self.check('rabbit://u:***@[::1]:5672,v:***@[::2]/', 'rabbit://u:p@[::1]:5672,v:q@[::2]/')
        self.check('kafka://u:***@h1:9092,h2:9092', 'kafka://u:p@h1:9092,h2:9092')

    def test_several_hosts_that_may_be_one_password(self) -> None:
        for password in (
            'a@b,c',
            '12,x',
            '12,x:y',
            'a@b,c/d',
            'a@h1:x,u:b',
            'a b@c,d:e',
            '@c,d:e',
        ):
            self.check('rabbit://u:***@h:1/x', f'rabbit://u:{password}@h:1/x')
        self.check('mysql://u:***@h2/x', 'mysql://u:p1@h1,u2:p2@h2/x')

    def test_query(self) -> None:
        for key in ('password', 'sslPassword', 'PWD', 'a_secret', 'auth_token', 'credentials'):
            self.check(f'x://h/x?a=1&{key}=***&b=2', f'x://h/x?a=1&{key}=xyz&b=2')
        self.check('x://h/x?%70assword=***', 'x://h/x?%70assword=xyz')
        self.check('x://h/x?odbc_connect=***', 'x://h/x?odbc_connect=DRIVER%3Dx%3BPWD%3Dy')
        self.check('x://h/x?a=***&b=2', 'x://h/x?a=UID%3Dx%3BPWD%3Dy&b=2')
        self.check('x://h/x?proxy=***', 'x://h/x?proxy=http%3A%2F%2Fu%3Ap%40h')
        self.check('x://h/x?password=', 'x://h/x?password=')

    def test_raw_characters_in_query_secret(self) -> None:
        for secret in ('a&b', '&ab', 'a&b&c d=e', 'a?b', 'a#b', 'a=b', 'a@b', 'a:b@c'):
            self.check('x://u@h/x?password=***&b=2', f'x://u@h/x?password={secret}&b=2')
        # What follows the last ':' could be the rest of a password.
        self.check('x://u@h/x?password=***', 'x://u@h/x?password=a:b@c:d&b=2')

    def test_query_without_question_mark(self) -> None:
        for separator in ('&', ';', '#', '/', ' '):
            self.check(f'x://h/x{separator}password=***', f'x://h/x{separator}password=y')

    def test_port_that_is_no_number(self) -> None:
        self.check('mysql://nova:***', 'mysql://nova:s3cret')
        self.check('mysql://nova:***', 'mysql://nova:s3/cret?x=1')
        self.check('mysql://nova:***@h:***', 'mysql://nova:x@h:None/x')
        self.check('mysql://nova%3A***', 'mysql://nova%3As3cret%40h/x')

    def test_no_scheme(self) -> None:
        for raw in ('nova:s@h', 'nova:s', 's@h', 'pwd=s', 'u:p://x', 'mysql%3A%2F%2Fu%3Ap', '\n:'):
            self.check('***', raw)

    def test_longer_than_a_url_may_be(self) -> None:
        self.check('a://' + 'x' * 4092, 'a://' + 'x' * 4092)
        self.check('***', 'a://' + 'x' * 4093)
        self.check('***', 'x' * 10_000_000)

    def test_longest_with_much_to_hide(self) -> None:
        for piece in ('pass', 'a:', ':a@', '&pass=', '@', '%3A', ',a:b@c', '{query}', '[::1]'):
            for scheme in ('mysql://', 'rabbit://', '{scheme}://', ''):
                text = scheme + piece * 5000
                masked = url.mask(text[: url.MAX_LENGTH])
                self.assertEqual(masked, url.mask(masked))


class MaskLaws(tests_base.TestCase):
    @hypothesis.given(st.sampled_from(PLACES), SECRETS)
    @hypothesis.settings(LAW, max_examples=500)
    def test_secret_never_appears(self, place: str, secret: str) -> None:
        # '*&b=c' would be found in 'password=***&b=c'.
        hypothesis.assume(not secret.startswith('*') and not FIELD.match(secret))
        hypothesis.assume(secret not in url.mask(place.format('\0')))
        self.assertNotIn(secret, url.mask(place.format(secret)))

    @hypothesis.given(SECRETS.filter(lambda secret: secret[0].isalpha() and '***' not in secret))
    @LAW
    def test_secret_in_the_place_of_a_port_never_appears(self, secret: str) -> None:
        for place in ('mysql://user:{}', 'rabbit://user:{}'):
            hypothesis.assume(secret not in place.format('***'))
            self.assertNotIn(secret, url.mask(place.format(secret)))

    @hypothesis.given(st.one_of(st.text(st.characters()), URLS))
    @hypothesis.settings(LAW, max_examples=300)
    def test_idempotent(self, raw: str) -> None:
        masked = url.mask(raw)
        self.assertEqual(masked, url.mask(masked))

    @hypothesis.given(TEXTS, TEXTS)
    @LAW
    def test_all_but_a_quoted_password_stays(self, username: str, password: str) -> None:
        username, password = (urllib.parse.quote(text, safe='') for text in (username, password))
        hypothesis.assume('%3A' not in username)
        for rest in ('@db.example.org:3306/x?charset=utf8#y', '@[::1]:5672/'):
            for scheme in ('mysql+pymysql', 'rabbit'):
                self.assertEqual(
                    f'{scheme}://{username}:***{rest}',
                    url.mask(f'{scheme}://{username}:{password}{rest}'),
                )


class FillExamples(tests_base.TestCase):
    def check(self, expected: str, template: str, base: str) -> None:
        self.assertEqual(expected, url.fill(template, base))

    def test_is_template(self) -> None:
        for template in ('{scheme}', 'a{port12}b', '{{path}}', 'x://{username}@h'):
            self.assertTrue(url.is_template(template), template)
        for text in ('', 'mysql://u:{x}@h', '{}', '{scheme1}', '{port', '{ port }', '{Port}'):
            self.assertFalse(url.is_template(text), text)

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
            RABBIT,
        )
        self.check('rabbit://u1:p1@h1:5672/vhost?ssl=1', DATABASE, RABBIT)
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
        for base in (None, '', 'nonsense', RABBIT):
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

    @hypothesis.given(TEXTS, TEXTS)
    @LAW
    def test_quoted_login_arrives(self, username: str, password: str) -> None:
        login = f'{urllib.parse.quote(username)}:{urllib.parse.quote(password)}'.replace(
            '/', '%2F'
        )
        for scheme in ('mysql', 'rabbit'):
            base = f'{scheme}://{login}@h:1/x'
            database = sqlalchemy.make_url(url.fill(f'mysql{DATABASE[8:]}', base))
            self.assertEqual((username, password), (database.username, database.password))
            self.assertEqual(('h', 1, 'x'), (database.host, database.port, database.database))
            transport = url.fill(f'rabbit{DATABASE[8:]}', base)
            self.assertEqual([(username, password)], self.logins(transport))

    @hypothesis.given(TEXTS, TEXTS)
    @LAW
    def test_raw_login_means_what_sqlalchemy_reads(self, username: str, password: str) -> None:
        base = f'mysql://{username}:{password}@h:1/x'
        try:
            meant = sqlalchemy.make_url(base)
        except ValueError:
            hypothesis.reject()
        hypothesis.assume(meant.host == 'h' and meant.port == 1)
        database = sqlalchemy.make_url(url.fill(DATABASE, base))
        self.assertEqual((meant.username, meant.password), (database.username, database.password))
        self.assertEqual(
            [(meant.username or '', meant.password)],
            self.logins(url.fill('rabbit://{username}:{password}@{hostname}', base)),
        )

    @hypothesis.given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3))
    @LAW
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

    @hypothesis.given(TEXTS, TEXTS)
    @LAW
    def test_filling_all_fields_gives_the_base(self, username: str, password: str) -> None:
        username, password = (urllib.parse.quote(text, safe='') for text in (username, password))
        for base in (
            f'mysql+pymysql://{username}:{password}@db:3306/x?a=1',
            f'rabbit://{username}:{password}@[::1]:5672//',
            f'postgresql://{username}@%2Fvar%2Frun/x',
            'sqlite:////var/lib/x',
        ):
            self.assertEqual(base, url.fill(DATABASE, base))

    @hypothesis.given(st.one_of(TEXTS, URLS), URLS)
    @LAW
    def test_fills_or_raises_template_error(self, template: str, base: str) -> None:
        try:
            filled = url.fill(template, base)
        except url.TemplateError:
            self.assertTrue(url.is_template(template))
        else:
            self.assertTrue(url.is_template(template) or filled == template)


class Check(tests_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.FakeLogger())

    def assert_invalid(self, expected: str, check: str, raw: str) -> None:
        try:
            getattr(url, check)(raw)
        except url.InvalidURL as error:
            self.assertIsInstance(error, ValueError)
            self.assertIn(expected, str(error))
            self.assertIn(f': {url.mask(raw)}: ', str(error))
            self.assertIsNone(error.__context__)
            # Not the lines of this file.
            shown = ''.join(traceback.format_exception(error, limit=0))
            self.assertNotIn('s3cret', shown)
        else:
            self.fail(f'{check} accepts {raw}')

    def test_none(self) -> None:
        for raw in ('none:///', 'none://', 'NONE:///'):
            self.assertTrue(url.is_none(raw))
            url.check_database(raw)
            url.check_transport(raw)
        for raw in ('', 'none', 'none:/', 'nonesuch:///', 'sqlite:///none:///'):
            self.assertFalse(url.is_none(raw))

    def test_good_databases(self) -> None:
        for raw in (
            'sqlite://',
            'sqlite:////var/lib/x.sqlite',
            'mysql+pymysql://nova:s3cret@db:3306/x?charset=utf8',
            'mysql+pymysql://nova:a/b#c?d@[::1]:3306/x',
        ):
            url.check_database(raw)

    def test_bad_databases(self) -> None:
        for raw in ('', 'mysql', 'u:s3cret@h/x', 'mysql+pymysql://u:p@h:s3cret/x', '://s3cret'):
            self.assert_invalid('mysql+pymysql://user:password@', 'check_database', raw)
            self.assert_invalid('cannot be parsed', 'check_database', raw)
        self.assert_invalid('%40', 'check_database', 'mysql+pymysql://u:p@s3cret@h/x')

    def test_unknown_dialects_and_drivers(self) -> None:
        for name in ('mysq', 'mysql+pymysq', 'mysql+types', 'mysql+a+b', 'rabbit'):
            self.assert_invalid(f'driver {name}.', 'check_database', f'{name}://u:s3cret@h/x')

    def test_driver_that_is_not_installed(self) -> None:
        for name, module, package in (
            ('mysql', 'MySQLdb', 'mysqlclient'),
            ('mysql+pymysql', 'pymysql', 'PyMySQL'),
            ('postgresql+psycopg2', 'psycopg2', 'psycopg2-binary'),
            ('mssql+pyodbc', 'pyodbc', 'pyodbc'),
        ):
            with mock.patch.dict('sys.modules', {module: None}):
                raw = f'{name}://u:s3cret@h/x'
                self.assert_invalid(f'package {package},', 'check_database', raw)

    def test_postgresql_alone_means_the_driver_that_is_installed(self) -> None:
        # To SQLAlchemy 2.1 it means psycopg, to 2.0 psycopg2.
        with mock.patch.dict('sys.modules', {'psycopg': None}):
            parsed = url.parse_database('postgresql://u:s3cret@h/x')
            self.assertEqual('postgresql+psycopg2', parsed.drivername)
            self.assertEqual('s3cret', parsed.password)
        with mock.patch.dict('sys.modules', {'psycopg': None, 'psycopg2': None}):
            raw = 'postgresql://u:s3cret@h/x'
            self.assert_invalid('package psycopg2-binary,', 'check_database', raw)

    def test_good_transports(self) -> None:
        for raw in ('rabbit://', RABBIT, 'fake:///', 'kafka://[::1]:9092', 'rabbit://u:%2F@h//'):
            url.check_transport(raw)

    def test_bad_transports(self) -> None:
        for raw in ('', 'rabbit', 'rabbit:', 'u:s3cret@h', '://u:s3cret@h'):
            self.assert_invalid('scheme and ://', 'check_transport', raw)
        for raw in ('rabbit://u:s3cret#x@h', 'rabbit://u:p@h:s3cret', 'rabbit://u:s3cret@[::1'):
            self.assert_invalid('rabbit://user:password@', 'check_transport', raw)
            self.assert_invalid('cannot be parsed', 'check_transport', raw)

    @hypothesis.given(st.one_of(st.text(), URLS))
    @LAW
    def test_nothing_but_invalid_url_is_raised(self, raw: str) -> None:
        for check in (url.check_database, url.check_transport):
            try:
                check(raw)
            except url.InvalidURL as error:
                self.assertIsNone(error.__context__)


class Import(tests_base.TestCase):
    def test_is_cheap(self) -> None:
        code = (
            'import sys, nova_cellmap.url; '
            'print(*{"sqlalchemy", "oslo_config", "oslo_messaging"} & set(sys.modules))'
        )
        shown = subprocess.run([sys.executable, '-c', code], capture_output=True, check=True)
        self.assertEqual(b'', shown.stdout.strip())
