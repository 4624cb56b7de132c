# SPDX-License-Identifier: Apache-2.0
"""What hiding, filling and checking know of URLs alike.

Every pattern of this package takes time in proportion to the text: who stores a URL may not
choose one that keeps others busy.
"""

import re

# In characters. What is longer is no URL.
MAX_LENGTH = 4096

# Schemes whose URLs may list several hosts, each with a password of its own. A template's
# {scheme} may become any of them.
QUEUES = frozenset(
    ('amqp', 'amqps', 'fake', 'kafka', 'kombu', 'pulsar', 'qpid', 'rabbit', 'zmq', '{scheme}')
)
SCHEME = re.compile(r'(?P<name>[A-Za-z0-9_.-]++|\{scheme\})(?:\+[A-Za-z0-9_.+-]*+)?+://')
FIELD = re.compile(
    r'\{(?P<field>scheme|path|query|fragment|(?:username|password|hostname|port)[0-9]*+)\}'
)


def is_template(url: str) -> bool:
    """Return whether ``url`` holds a field to be filled."""
    # The first test is a tenth of the second, and few have fields.
    return '{' in url and FIELD.search(url) is not None


def is_none(url: str) -> bool:
    """Return whether ``url`` (``none:///``) says that there is no database, or no queue."""
    return url[:7].lower() == 'none://'
