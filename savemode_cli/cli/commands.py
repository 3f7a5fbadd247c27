"""
The commands of savemode.

Rule of this file: a command is one file and one line here. The line holds everything that `savemode --help` prints, so the
help of savemode imports no command.

To add a command: write `cli/NAME.py` with one function, and add its line to `COMMANDS`.
"""

from typing import NamedTuple

RUN, LOOK, MONEY, SIMULATE, SET_UP = "Run", "Look", "Money", "Simulate", "Set up"


class CommandLine(NamedTuple):
    """
    A command as it is listed.
    """

    name: str
    """What a person types behind `savemode`: `serve`, `budget show`."""

    summary: str
    """What it does, in at most 50 characters: a line of help is then whole at 80 columns."""

    target: str
    """The function to import, as `module:function`, or a `Definition`; empty for a group of commands."""

    section: str = "Commands"
    """The heading of help under which the command is listed."""


COMMANDS: list[CommandLine] = [
    CommandLine("run", "Run a command behind a proxy of its own", "savemode_cli.cli.run:RUN", RUN),
    CommandLine("serve", "Run a proxy for any number of clients", "savemode_cli.cli.serve:serve", RUN),
    CommandLine("top", "Watch a running proxy on the full screen", "savemode_cli.cli.top:top", LOOK),
    CommandLine("report", "Show what was spent, on what and when", "savemode_cli.cli.report:report", LOOK),
    CommandLine("replay", "Price recorded traffic under other cache TTLs", "savemode_cli.cli.replay:REPLAY", LOOK),
    CommandLine("why", "Show what the prompt cache missed, and why", "savemode_cli.cli.why:why", LOOK),
    CommandLine(
        "diff-request", "Show what savemode changes in a request", "savemode_cli.cli.diff_request:diff_request", LOOK
    ),
    CommandLine(
        "statusline", "Print a line for Claude Code's status line", "savemode_cli.cli.statusline:statusline", LOOK
    ),
    CommandLine("captures", "List, show and export captured requests", "", LOOK),
    CommandLine("captures list", "List captured requests", "savemode_cli.cli.captures:list_captures"),
    CommandLine("captures show", "Show one captured request", "savemode_cli.cli.captures:show"),
    CommandLine("captures export", "Write captures as HAR or JSON Lines", "savemode_cli.cli.captures:export"),
    CommandLine(
        "captures import",
        "Store the requests that transcripts record",
        "savemode_cli.cli.import_captures:import_captures",
    ),
    CommandLine("captures prune", "Delete old captures", "savemode_cli.cli.captures:prune"),
    CommandLine("auto", "Show and teach what the policy auto knows", "", LOOK),
    CommandLine("auto show", "Show what each TTL cost you so far", "savemode_cli.cli.auto:show"),
    CommandLine("auto learn", "Learn from recorded traffic", "savemode_cli.cli.auto:learn"),
    CommandLine("auto forget", "Delete what is known", "savemode_cli.cli.auto:forget"),
    CommandLine("experiment", "Find out what only your own traffic shows", "", LOOK),
    CommandLine("experiment ttl-key", "Is the TTL a part of the cache's key?", "savemode_cli.cli.experiment:ttl_key"),
    CommandLine("budget", "Show, set and lift budgets", "", MONEY),
    CommandLine("budget show", "Show limits, spend and open holds", "savemode_cli.cli.budget:show"),
    CommandLine("budget set", "Set a budget, or the limit of one person", "savemode_cli.cli.budget:SET"),
    CommandLine("budget drop", "Remove a budget, or the limit of one person", "savemode_cli.cli.budget:drop"),
    CommandLine("budget allow", "Let requests pass for some time", "savemode_cli.cli.budget:allow"),
    CommandLine("budget forecast", "Say when a budget is reached", "savemode_cli.cli.forecast:forecast"),
    CommandLine("budget suggest", "Suggest limits from what was spent", "savemode_cli.cli.forecast:suggest"),
    CommandLine("budget release", "Release the holds of dead requests", "savemode_cli.cli.budget:release"),
    CommandLine("ledger", "Move the counts between ledgers", "", MONEY),
    CommandLine("ledger copy", "Copy a ledger to another one, and compare", "savemode_cli.cli.ledger:copy"),
    CommandLine("alerts", "Be told when money runs out", "", MONEY),
    CommandLine("alerts test", "Send a test alert by every channel", "savemode_cli.cli.alerts:send_test"),
    CommandLine("prices", "Show what each model costs", "savemode_cli.cli.prices:prices", MONEY),
    CommandLine("demo", "Compare a day with and without savemode", "savemode_cli.cli.demo:demo", SIMULATE),
    CommandLine(
        "simulate-budget",
        "Try a budget on a spend or a trace",
        "savemode_cli.cli.simulate_budget:simulate_budget",
        SIMULATE,
    ),
    CommandLine(
        "simulate-upstream",
        "Run a Messages API without a model",
        "savemode_cli.cli.simulate_upstream:SIMULATE_UPSTREAM",
        SIMULATE,
    ),
    CommandLine("init", "Write your own config file", "savemode_cli.cli.init:init", SET_UP),
    CommandLine("service", "Keep a proxy running, also after a restart", "", SET_UP),
    CommandLine("service install", "Run savemode serve as a service", "savemode_cli.cli.service:install"),
    CommandLine("service status", "Show whether the service runs", "savemode_cli.cli.service:status"),
    CommandLine("service remove", "Stop the service and delete it", "savemode_cli.cli.service:remove"),
    CommandLine("doctor", "Check config, upstream, ledger and prices", "savemode_cli.cli.doctor:doctor", SET_UP),
    CommandLine("clients", "List clients and how to connect them", "savemode_cli.cli.clients:clients", SET_UP),
    CommandLine("trust", "Trust the savemode.toml of a folder", "savemode_cli.cli.trust:trust", SET_UP),
    CommandLine("tokens", "Give people access tokens of their own", "", SET_UP),
    CommandLine("tokens add", "Create the access token of a person", "savemode_cli.cli.tokens:add"),
    CommandLine("tokens list", "List the people who have a token", "savemode_cli.cli.tokens:list_tokens"),
    CommandLine("tokens revoke", "Revoke the access token of a person", "savemode_cli.cli.tokens:revoke"),
]
