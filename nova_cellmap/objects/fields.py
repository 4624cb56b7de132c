# SPDX-License-Identifier: Apache-2.0
"""The kinds of field that oslo.versionedobjects does not have.

They refuse what a database could not hold, so that an object with a bad value
never comes to be, whichever database is behind it.
"""

import datetime
from typing import Any

from oslo_utils import strutils
from oslo_versionedobjects import fields

from nova_cellmap import text
from nova_cellmap import url
from nova_cellmap import uuids

# What the widest string columns hold.
MAX_LENGTH = 255
# What is made together has one time: so many are memoized.
TIMES = 4096
# A uuid as the tables spell it.
UUID_FORM = uuids.FORM


class UUID(fields.UUID):
    """A uuid, in any of its spellings; kept in the one that the tables use."""

    @staticmethod
    def coerce(obj: Any, attr: str, value: Any) -> str:
        if type(value) is str and UUID_FORM.fullmatch(value):
            return value
        found = uuids.canonical(str(value))
        if found is None:
            raise ValueError(f'{attr}: {text.shown(value)} is not a uuid')
        return found


class Text(fields.String):
    """Text that every supported database can keep and compare exactly."""

    def __init__(self, max_length: int | None = None) -> None:
        super().__init__()
        self.max_length = max_length

    def coerce(self, obj: Any, attr: str, value: Any) -> str:
        coerced: str = super().coerce(obj, attr, value)
        if '\0' in coerced or not text.is_encodable(coerced):
            raise ValueError(f'{attr}: holds a character that no database can keep')
        if self.max_length is not None and len(coerced) > self.max_length:
            raise ValueError(f'{attr}: longer than {self.max_length} characters')
        return coerced


class URL(Text):
    """A connection URL: whole in the object, masked wherever it is shown."""

    def stringify(self, value: Any) -> str:
        return repr(url.mask(value))


class Integer(fields.Integer):
    """A whole number; of infinity the library says that it overflows."""

    @staticmethod
    def coerce(obj: Any, attr: str, value: Any) -> int:
        try:
            return int(value)
        except OverflowError:
            raise ValueError(f'{attr}: {text.shown(value)} is no whole number') from None


class Boolean(fields.Boolean):
    """True or false; the library's takes any text, 'False' too, for true."""

    @staticmethod
    def coerce(obj: Any, attr: str, value: Any) -> bool:
        try:
            return bool(strutils.bool_from_string(value, strict=True))
        except ValueError:
            raise ValueError(f'{attr}: {text.shown(value)} is neither true nor false') from None


class DateTime(fields.DateTime):
    """A moment, kept as UTC.

    The library writes other zones, and years of less than four digits, so that none can
    read them.
    """

    def coerce(self, obj: Any, attr: str, value: Any) -> datetime.datetime:
        moment = super().coerce(obj, attr, value)
        try:
            return moment.astimezone(datetime.UTC)
        except OverflowError:
            raise ValueError(f'{attr}: {value} is out of range') from None

    def to_primitive(self, obj: Any, attr: str, value: datetime.datetime) -> object:
        return str(super().to_primitive(obj, attr, value)).rjust(_TIME_WIDTH, '0')


_TIME_WIDTH = len('YYYY-MM-DDTHH:MM:SSZ')


class UUIDField(fields.AutoTypedField[str]):
    AUTO_TYPE = UUID()


class StringField(fields.AutoTypedField[str]):
    AUTO_TYPE = Text(max_length=MAX_LENGTH)


class URLField(fields.AutoTypedField[str]):
    AUTO_TYPE = URL()


class IntegerField(fields.AutoTypedField[int]):
    AUTO_TYPE = Integer()


class BooleanField(fields.AutoTypedField[bool]):
    AUTO_TYPE = Boolean()


class DateTimeField(fields.AutoTypedField[datetime.datetime]):
    AUTO_TYPE = DateTime()
