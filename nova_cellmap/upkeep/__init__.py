# SPDX-License-Identifier: Apache-2.0
"""Keeping the table correct: what the cells have, brought into it and compared with it."""
