"""
The last answer of each conversation, for the API's cache diagnostics.

Rule of this file: it contains a limited number of the API's message IDs, and no content.
"""

from collections import OrderedDict

MOST_LANES = 1024
_LONGEST_ID = 200


class PreviousAnswers:
    """
    The ID of the last answer of each lane: a session or sub-agent, and a model.
    """

    def __init__(self) -> None:
        self._ids: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._models: dict[str, str] = {}

    def of(self, session: str | None, model: str | None) -> str | None:
        """
        The ID of the previous answer of the same model; if this model has not answered yet, of the model before it.

        Args:
            session: the key of the session.
            model: the model that is asked.
        """
        if session is None:
            return None
        own = self._ids.get((session, model or ""))
        return own or self._ids.get((session, self._models.get(session, "")))

    def note(self, session: str | None, model: str | None, message_id: str | None) -> None:
        """
        An answer has ended.

        Args:
            session: the key of its session.
            model: the model that was asked.
            message_id: the ID of the answer; None if it has none.
        """
        if session is None or not message_id or len(message_id) > _LONGEST_ID:
            return
        lane = session, model or ""
        self._ids[lane] = message_id
        self._ids.move_to_end(lane)
        self._models[session] = lane[1]
        if len(self._ids) > MOST_LANES:
            (oldest, old_model), _ = self._ids.popitem(last=False)
            if self._models.get(oldest) == old_model:
                del self._models[oldest]
