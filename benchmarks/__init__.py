# SPDX-License-Identifier: Apache-2.0
"""What the package costs, measured beside Nova itself."""
