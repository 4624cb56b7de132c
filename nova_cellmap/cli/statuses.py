# SPDX-License-Identifier: Apache-2.0
"""The exit statuses that all programs share."""

import enum


class Status(enum.IntEnum):
    """Exit statuses that every command may have; a command's own come first.

    Those of sysexits.h, so that none is taken for a command's own.
    """

    USAGE = 64  # a wrong command, option, value or configuration
    NO_INPUT = 66  # what the command names is not there
    UNAVAILABLE = 69  # a database, a cell or the broker cannot be reached, or does not serve
    UNFORESEEN = 255
