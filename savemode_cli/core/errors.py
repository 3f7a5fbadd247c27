"""
The errors that savemode raises, by who can correct them.

Rule of this file: an error is unexpected. An expected result, such as a skip or a refusal, is a value and is defined elsewhere.

    SavemodeError
    |- BadInput             the user: a file or a body that cannot be read                            exit 2
    |- ConfigError          the user: a flag, a variable or a config file                             exit 2
    |- LedgerUnavailable    the disk or another process: the ledger cannot be read or written         exit 2
    |   |- LedgerBusy       another process, which keeps the ledger locked                            exit 2
    |- CaptureUnavailable   the disk or another process: the captures cannot be read or written       exit 2
    |   |- CaptureTooNew    a newer savemode, which wrote the captures                                exit 2
    |- BadHeader            the client: one of savemode's headers or paths has a wrong value          HTTP 400
    |   |- BodyTooLarge     the client: the body is larger than the API accepts                       HTTP 413
    |- ServiceUnavailable   systemd or launchd: it is not there, does not answer, or refuses          exit 2
    |- UnknownModel         the price table or --price-file: it has no row for a model                exit 2
    |- UpstreamUnreachable  the upstream, or the network on the way to it                             HTTP 502
        |- UpstreamTimeout  the same, after the time limit                                            HTTP 504
"""


class SavemodeError(Exception):
    """
    The parent of all errors. It is not raised itself.

    `code` does not change and is for machines. The message is for people.
    """

    code = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        """
        Create an error.

        Args:
            message: what savemode was doing, and what it found.
            hint: what the user can do next.
        """
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInput(SavemodeError):
    """
    A file or a body that cannot be used. The message names the place.
    """

    code = "bad_input"


class ConfigError(SavemodeError):
    """
    A flag, an environment variable or a line of a config file that cannot be used.
    """

    code = "config_error"


class BadHeader(SavemodeError):
    """
    One of savemode's own headers or paths has a value that is not allowed. The client receives a 400.
    """

    code = "bad_header"
    status = 400
    api_type = "invalid_request_error"


class BodyTooLarge(BadHeader):
    """
    A body that is larger than the API accepts. savemode cannot judge or count it.
    """

    code = "body_too_large"
    status = 413
    api_type = "request_too_large"


class LedgerUnavailable(SavemodeError):
    """
    The ledger cannot be read or written. The proxy then decides from memory; a command exits with 2.
    """

    code = "ledger_unavailable"


class LedgerBusy(LedgerUnavailable):
    """
    Another process keeps the ledger locked. Nothing was changed, and the call may succeed a moment later.
    """

    code = "ledger_busy"


class CaptureUnavailable(SavemodeError):
    """
    The captures cannot be read or written. The proxy continues and reports it once; a command exits with 2.
    """

    code = "capture_unavailable"


class CaptureTooNew(CaptureUnavailable):
    """
    A store or a record has a schema of a later version of savemode.
    """

    code = "capture_too_new"


class ServiceUnavailable(SavemodeError):
    """
    The service manager (systemd or launchd) is not there, does not answer, or refuses.
    """

    code = "service_unavailable"


class UnknownModel(SavemodeError):
    """
    The price table has no row for a model. The hint names the most similar models that it has.
    """

    code = "unknown_model"


class UpstreamUnreachable(SavemodeError):
    """
    The upstream sent no answer: the connection was refused or reset, the host is unknown, or TLS failed.

    `served` is False where something on the way refused the request, so that it did not reach the upstream.
    """

    served = True

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


def reason(error: OSError) -> str:
    """
    Why the operating system refused something, as messages print it: `permission denied`.
    """
    return (error.strerror or str(error)).lower()
