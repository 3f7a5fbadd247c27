"""
`python -m savemode_cli` is the command `savemode`.
"""

from savemode_cli.cli import main

main()
