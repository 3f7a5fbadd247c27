"""
What can go wrong, by who is to blame.

Rule of this file: an error is a surprise; an expected outcome (a skip, a refusal) is a value and lives elsewhere.

    SavemodeError
      |- BadInput             the person at the keyboard: a file or body that cannot be read      exit 2
      |- ConfigError          the person at the keyboard: a flag, variable or config file          exit 2
      |- LedgerUnavailable    the disk, or another process: the ledger cannot be read or written     exit 2
      |- CaptureUnavailable   the disk, or another process: the captures cannot be read or written    exit 2
           |- CaptureTooNew     a newer savemode: it wrote what is to be read                           exit 2
      |- BadHeader            the client: a header or path of ours with a value that is not allowed   HTTP 400
           |- BodyTooLarge      the client: a body that the API would not take                       HTTP 413
      |- UnknownModel         the price table: it has no row for a model; ours to mend, or --price-file's   exit 2
      |- UpstreamUnreachable  the upstream or the network in between                                HTTP 502
           |- UpstreamTimeout   the same, after waiting                                             HTTP 504
"""


class SavemodeError(Exception):
    """
    The parent of all; never raised itself. `code` is stable and meant for machines, the text for people.
    """

    code = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        """
        Keep `message` (what was being done and what was found) and `hint` (what to do next).
        """
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInput(SavemodeError):
    """
    A file or a body that cannot be used; the message names the place.
    """

    code = "bad_input"


class ConfigError(SavemodeError):
    """
    A flag, an environment variable or a line of a config file that cannot be used.
    """

    code = "config_error"


class BadHeader(SavemodeError):
    """
    A header or a path of ours whose value is not one of the allowed ones; the client sees a 400.
    """

    code = "bad_header"
    status = 400
    api_type = "invalid_request_error"


class BodyTooLarge(BadHeader):
    """
    A body larger than the API takes, which could be neither judged nor counted.
    """

    code = "body_too_large"
    status = 413
    api_type = "request_too_large"


class LedgerUnavailable(SavemodeError):
    """
    The ledger cannot be read or written. The proxy turns it into a decision (`unaccounted`); a command stops with exit 2.
    """

    code = "ledger_unavailable"


class CaptureUnavailable(SavemodeError):
    """
    The captures cannot be read or written. The proxy goes on and says so once; a command stops with exit 2.
    """

    code = "capture_unavailable"


class CaptureTooNew(CaptureUnavailable):
    """
    A store or a record with a schema that a later version of savemode brought.
    """

    code = "capture_too_new"


class UnknownModel(SavemodeError):
    """
    A model that no row of the price table is for; the hint names the nearest ones that it has.
    """

    code = "unknown_model"


class UpstreamUnreachable(SavemodeError):
    """
    No answer came from the upstream: refused, reset, no such host, bad TLS.
    """

    code = "upstream_unreachable"
    status = 502
    api_type = "api_error"


class UpstreamTimeout(UpstreamUnreachable):
    """
    The upstream took longer than the configured limit.
    """

    code = "upstream_timeout"
    status = 504
    api_type = "timeout_error"
