# SPDX-License-Identifier: Apache-2.0
"""The version of the package; without imports, so that a build can read it."""

__version__ = '0.1.0'
