"""
`savemode statusline`: one line for the status line of Claude Code.

Rule of this file: it is for help. `savemode_cli.entry` runs the command itself without this file.
"""


def statusline() -> None:
    """
    Print money left, session cost, how long the cache is warm, and the last miss.

    Claude Code runs it after each answer and passes JSON on stdin. Put this into its settings.json:

    "statusLine": {"type": "command", "command": "savemode statusline"}
    """
    from savemode_cli.statusline import main

    main()
