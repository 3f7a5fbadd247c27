"""
The official Python SDK, whatever its version, told what to do in lines of JSON.

Rule of this file: it runs alone, in an interpreter that sees that SDK and the standard library; it judges nothing. Its
twin is `driver.mjs`. One call a line comes in; pieces of a stream, and then the result or what was raised, go out.
"""

import json
import sys
from typing import Any

import anthropic


def tell(**said: Any) -> None:
    """
    One line for whoever drives.
    """
    print(json.dumps(said), flush=True)


def streamed(client: anthropic.Anthropic, call: dict[str, Any], stop_after: int | None) -> Any:
    """
    The final message of a stream; nothing if it was left after so many pieces.
    """
    told = 0
    with client.messages.stream(**call) as stream:
        for event in stream:
            if event.type == "content_block_delta" and event.delta.type in ("text_delta", "thinking_delta"):
                tell(piece=event.delta.text if event.delta.type == "text_delta" else event.delta.thinking)
                told += 1
                if told == stop_after:
                    return None
        return stream.get_final_message().to_dict(mode="json")


def done(asked: dict[str, Any]) -> Any:
    """
    What the SDK returns, as JSON.
    """
    with anthropic.Anthropic(api_key="made-up", **asked["client"]) as client:
        match asked["op"]:
            case "create":
                return client.messages.create(**asked["call"]).to_dict(mode="json")
            case "stream":
                return streamed(client, asked["call"], asked.get("stop_after"))
            case "count_tokens":
                return client.messages.count_tokens(**asked["call"]).to_dict(mode="json")
            case "models":
                return [model.id for model in client.models.list(**asked["call"])]
    raise AssertionError(asked["op"])


def raised(error: Exception) -> dict[str, Any]:
    """
    What an exception says; the body as it came in.
    """
    response = getattr(error, "response", None)
    return {
        "type": type(error).__name__,
        "message": str(error),
        "status": getattr(error, "status_code", None),
        "request_id": getattr(error, "request_id", None),
        "body": None if response is None else body_of(response),
    }


def body_of(response: Any) -> str | None:
    """
    An answer's bytes, one character each; nothing if they were a stream that was not kept.
    """
    try:
        return response.content.decode("latin-1")  # type: ignore[no-any-return]
    except RuntimeError:  # httpx.ResponseNotRead
        return None


def main() -> None:
    """
    Answer every line until there are no more.
    """
    tell(version=anthropic.__version__)
    for line in sys.stdin:
        try:
            tell(result=done(json.loads(line)))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            tell(raised=raised(error))


main()
