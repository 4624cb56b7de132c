# SPDX-License-Identifier: Apache-2.0
"""Texts that a URL, a password or a template may be, for laws that hold of any."""

import re

import hypothesis
from hypothesis import strategies as st

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
