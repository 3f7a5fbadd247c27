"""
The sizes of content that the API stores and that requests refer to by an ID.

Rule of this file: it only uses what answers reported. The prompt of an answer contains everything that its request refers
to, so the prompt's tokens are an upper limit for each item.
"""

from collections import OrderedDict

from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.usage import Usage

_REMEMBERED = 10_000
"""How many threads, and how many files, are remembered. A thread lives for 5 minutes after its last request."""


class ServerHeld:
    """
    The sizes of message threads and files in tokens, as far as this process has seen them in a prompt.
    """

    def __init__(self) -> None:
        """
        Start with no known sizes.
        """
        self._threads: OrderedDict[str, int] = OrderedDict()
        self._files: OrderedDict[str, int] = OrderedDict()

    def tokens(self, known: Facts) -> int | None:
        """
        The most tokens that a request refers to by IDs.

        Returns:
            The number of tokens: 0 if the request refers to nothing; None if the number is not known.
        """
        added = known.added
        if added.container:
            return None  # its content changes with each use
        sizes = [self._files.get(_keyed(known, name)) for name in added.files]
        if added.thread == "continue":
            sizes.append(self._threads.get(_keyed(known, added.previous_id)))
        known_sizes = [size for size in sizes if size is not None]
        return sum(known_sizes) if len(known_sizes) == len(sizes) else None

    def note(self, known: Facts, message_id: str | None, usage: Usage) -> None:
        """
        Remember what an answer showed.

        Args:
            known: the facts of its request.
            message_id: the answer's ID, by which the next turn of a thread refers to it.
            usage: its final usage.
        """
        if known.added.thread and message_id is not None:
            _remember(self._threads, _keyed(known, message_id), usage.tokens.prompt + usage.tokens.output)
        for name in known.added.files:
            key = _keyed(known, name)
            _remember(self._files, key, min(usage.tokens.prompt, self._files.get(key, usage.tokens.prompt)))


def _keyed(known: Facts, name: str) -> str:
    """
    A key with the model, because models count tokens differently.
    """
    return f"{known.model} {name}"


def _remember(sizes: OrderedDict[str, int], key: str, tokens: int) -> None:
    sizes[key] = tokens
    sizes.move_to_end(key)
    if len(sizes) > _REMEMBERED:
        sizes.popitem(last=False)
