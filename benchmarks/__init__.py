# SPDX-License-Identifier: Apache-2.0
"""What the package costs, measured beside Nova itself."""

import logging
import warnings

# Before oslo.messaging is imported, and with it eventlet, which nobody uses here.
warnings.filterwarnings('ignore', message=r'\s*Eventlet is deprecated')
# What libraries log, as that a message queue went away, would go to standard error.
logging.getLogger().addHandler(logging.NullHandler())
