# SPDX-License-Identifier: Apache-2.0
"""The far side of the remotable methods.

A service without a database sends them to the conductor (:mod:`.rpcapi`), which has
one and runs them (:mod:`.manager`, in the processes of :mod:`.service`).
"""
