# SPDX-License-Identifier: Apache-2.0
"""No secret of a URL is shown, however its URL is written."""

import urllib.parse

import hypothesis
from hypothesis import strategies as st

from nova_cellmap import url
from nova_cellmap.tests import base as tests_base
from nova_cellmap.tests.unit.url import texts


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
        self.check('rabbit://u1:***@h1:5672,u2:***@h2:5673/vhost?ssl=1', texts.RABBIT)
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
    @hypothesis.given(st.sampled_from(texts.PLACES), texts.SECRETS)
    @hypothesis.settings(texts.LAW, max_examples=500)
    def test_secret_never_appears(self, place: str, secret: str) -> None:
        # '*&b=c' would be found in 'password=***&b=c'.
        hypothesis.assume(not secret.startswith('*') and not texts.FIELD.match(secret))
        hypothesis.assume(secret not in url.mask(place.format('\0')))
        self.assertNotIn(secret, url.mask(place.format(secret)))

    @hypothesis.given(
        texts.SECRETS.filter(lambda secret: secret[0].isalpha() and '***' not in secret)
    )
    @texts.LAW
    def test_secret_in_the_place_of_a_port_never_appears(self, secret: str) -> None:
        for place in ('mysql://user:{}', 'rabbit://user:{}'):
            hypothesis.assume(secret not in place.format('***'))
            self.assertNotIn(secret, url.mask(place.format(secret)))

    @hypothesis.given(st.one_of(st.text(st.characters()), texts.URLS))
    @hypothesis.settings(texts.LAW, max_examples=300)
    def test_idempotent(self, raw: str) -> None:
        masked = url.mask(raw)
        self.assertEqual(masked, url.mask(masked))

    @hypothesis.given(texts.TEXTS, texts.TEXTS)
    @texts.LAW
    def test_all_but_a_quoted_password_stays(self, username: str, password: str) -> None:
        username, password = (urllib.parse.quote(text, safe='') for text in (username, password))
        hypothesis.assume('%3A' not in username)
        for rest in ('@db.example.org:3306/x?charset=utf8#y', '@[::1]:5672/'):
            for scheme in ('mysql+pymysql', 'rabbit'):
                self.assertEqual(
                    f'{scheme}://{username}:***{rest}',
                    url.mask(f'{scheme}://{username}:{password}{rest}'),
                )
