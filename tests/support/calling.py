"""
One request to a running proxy, and what came back.
"""

import http.client
import json
from dataclasses import dataclass
from typing import Any

from tests.support.streams import MODEL
from tests.support.upstream import RunningProxy

CALL: dict[str, Any] = {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": "hello"}]}
BUDGET_PREFIX = "x-posthog-budget"


@dataclass
class Answer:
    """
    What came back: the headers in order, names in lower case.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> str | None:
        """
        A header's only value; None where there is none.
        """
        values = [value for other, value in self.headers if other == name]
        assert len(values) <= 1, self.headers
        return values[0] if values else None

    @property
    def budget(self) -> dict[str, str]:
        """
        The budget headers, without their prefix, each once.
        """
        found = [
            (name.removeprefix(BUDGET_PREFIX).lstrip("-"), value)
            for name, value in self.headers
            if BUDGET_PREFIX in name
        ]
        assert len(found) == len(dict(found)), found
        return dict(found)


def send(
    proxy: RunningProxy,
    call: Any = None,
    path: str = "/v1/messages",
    method: str = "POST",
    **headers: str,
) -> Answer:
    """
    One request on a connection of its own (`_` in a header's name stands for `-`).
    """
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, None if method in ("GET", "HEAD") else json.dumps(call or CALL), named)
        answer = connection.getresponse()
        return Answer(answer.status, [(name.lower(), value) for name, value in answer.getheaders()], answer.read())
    finally:
        connection.close()
