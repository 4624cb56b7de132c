# SPDX-License-Identifier: Apache-2.0
"""What crosses the boundary between the mapping and the cells."""
