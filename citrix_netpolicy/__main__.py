"""`python -m citrix_netpolicy`."""

import sys

from citrix_netpolicy.cli import main

sys.exit(main())
