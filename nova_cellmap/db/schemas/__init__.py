# SPDX-License-Identifier: Apache-2.0
"""The tables that the function layer can work on."""
