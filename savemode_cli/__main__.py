"""
`python -m savemode_cli` is the command `savemode`.
"""

import sys

if not sys.flags.safe_path:
    # Python has put the working directory first in the search path, and whoever wrote that folder must not run code here. What
    # Python itself imports before this line is beyond our reach: `savemode` and `python -P -m savemode_cli` do not have that.
    del sys.path[0]

from savemode_cli.entry import main

main()
