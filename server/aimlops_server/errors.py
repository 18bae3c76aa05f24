"""The one error tree, and how an error reads.

AimlopsError
├── ConfigurationError   this server is not set up; nothing was sent
├── InvalidArguments     the call is malformed; nothing was sent
├── NotSent              the guard held a change back; nothing was sent
│   └── UnknownState     the answer to a question that is not open
├── Unreachable          no answer to a read, or no connection for a change
├── Refused              the service said no (4xx)
├── ServiceFailed        the service failed on a read (5xx)
├── BadAnswer            a read's answer cannot be used
├── NotApplied           a change was sent, its answer lost, and reading back shows that it did not happen
└── OutcomeUnknown       a change was sent and its outcome is not known

Every error says what happened, whether anything changed, and what to do next.
"""

from enum import StrEnum


class Changed(StrEnum):
    """What is known about the account after the error."""

    NOTHING = "nothing was changed"
    UNKNOWN = "unknown: the change may or may not have happened"


class AimlopsError(Exception):
    """The root. `next_step` is advice to the reader, an assistant or a person."""

    changed = Changed.NOTHING

    def __init__(self, happened: str, next_step: str) -> None:
        super().__init__(happened)
        self.happened = happened
        self.next_step = next_step

    def explain(self, attempted: str) -> str:
        """The whole message: attempted, happened, changed, next."""
        return f"{attempted} failed. {self.happened}\nChanged: {self.changed}.\nNext: {self.next_step}"


class ConfigurationError(AimlopsError):
    """A setting is missing or malformed."""


class InvalidArguments(AimlopsError):
    """The arguments do not make a request."""


class NotSent(AimlopsError):
    """A change was held back before the wire."""

    def explain(self, attempted: str) -> str:
        return f"{attempted} was not sent. {self.happened}\nChanged: {self.changed}.\nNext: {self.next_step}"


class UnknownState(NotSent):
    """An answer came with a request state that stands for no open question: used, expired, altered or invented."""


class Unreachable(AimlopsError):
    """The service did not answer a read, or a change never reached it."""


class Refused(AimlopsError):
    """The service refused (4xx)."""

    def __init__(self, happened: str, next_step: str, *, status: int, code: str = "") -> None:
        super().__init__(happened, next_step)
        self.status = status
        self.code = code


class ServiceFailed(AimlopsError):
    """The service failed on a read (5xx)."""


class BadAnswer(AimlopsError):
    """A read's answer is not what the API promises."""


class NotApplied(AimlopsError):
    """A change went out, its answer was lost, and a look shows that it did not happen."""


class OutcomeUnknown(AimlopsError):
    """A change went out and no usable answer came back. It is never sent again."""

    changed = Changed.UNKNOWN
