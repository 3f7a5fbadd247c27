"""
The receipt of a proxy that has ended.
"""

import json

from tests.cli.test_serve import BODY
from tests.support.processes import post, serving
from tests.support.upstream import Upstream


def test_receipt_of_serve_as_json(upstream: Upstream) -> None:
    """
    With `--log-format json` the last line is one JSON object with the sums, the budgets, and what `--save` would have changed.
    """
    with serving(upstream.url, "--log-format", "json", "--budget", "1") as (server, url):
        assert post(url, BODY)[0] == 200
        assert server.end() == 0

    receipt = json.loads(server.err.all().splitlines()[-1])
    assert (receipt["event"], receipt["requests"], receipt["no_call"]) == ("serve.done", 1, None)
    assert [budget["limit_usd"] for budget in receipt["budgets"]] == ["1.000000000"]
    assert receipt["save"]["command"] == "savemode serve --save"
