# SPDX-License-Identifier: Apache-2.0
"""The spellings of a uuid, of which the tables have one."""

import re

# As the tables have it.
FORM = re.compile('[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}')

_HEX = re.compile('[0-9a-f]{32}')
# Where the hyphens are.
_PARTS = (slice(8), slice(8, 12), slice(12, 16), slice(16, 20), slice(20, None))


def canonical(value: object) -> str | None:
    """The uuid as the tables spell it: 36 characters, lower case, hyphenated.

    It may be in upper case, without hyphens, in braces, after ``urn:uuid:`` and with blanks
    around it. Python's own ``uuid.UUID`` takes more, and takes it for another uuid: digits of
    other scripts, and numbers with an underscore.

    :returns: None for what is no uuid
    """
    if not isinstance(value, str):
        return None
    if FORM.fullmatch(value):
        return value
    text = value.strip().lower().removeprefix('urn:').removeprefix('uuid:')
    if text.startswith('{') and text.endswith('}'):
        text = text[1:-1]
    digits = text.replace('-', '')
    if not _HEX.fullmatch(digits):
        return None
    return '-'.join(digits[part] for part in _PARTS)


def spellings(uuid: str) -> list[str]:
    """How else others may have written a uuid that is spelled as the tables do."""
    plain = uuid.replace('-', '')
    forms = [uuid, plain, f'{{{uuid}}}', f'{{{plain}}}', f'urn:uuid:{uuid}', f'urn:uuid:{plain}']
    upper = [uuid.upper(), plain.upper(), f'{{{uuid.upper()}}}', f'{{{plain.upper()}}}']
    mixed = [f'urn:uuid:{uuid.upper()}', f'urn:uuid:{plain.upper()}']
    return [form for form in forms + upper + mixed if form != uuid]
