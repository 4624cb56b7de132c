# SPDX-License-Identifier: Apache-2.0
"""What is kept of the mapping's rows between one read of the database and the next."""
