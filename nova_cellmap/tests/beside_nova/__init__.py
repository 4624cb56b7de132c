# SPDX-License-Identifier: Apache-2.0
"""Tests that need Nova itself installed beside the package: ``tox -e nova``."""
