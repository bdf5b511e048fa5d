"""The errors of the outside world.

ToolError
├── ConfigurationError
├── OvertakenError
├── ModelUnavailableError         (transient)
├── ChannelError
│   ├── ChannelUnavailableError   (transient)
│   ├── RateLimitedError          (transient)
│   ├── DuplicateMessageError
│   ├── ReplyWindowClosedError
│   ├── BadRequestError
│   │   ├── ChannelSetupError     (transient: waits for an operator)
│   │   └── StaffUnavailableError
│   ├── MalformedCallbackError
│   └── InvalidSignatureError
│       └── ForeignCorpError
└── DeskError
    ├── DeskUnavailableError      (transient)
    ├── DeskSetupError            (transient: waits for an operator)
    └── TopicGoneError
"""

from __future__ import annotations


class ToolError(Exception):
    """Something outside the bot went wrong."""

    transient = False
    """Whether the same call may succeed later without anybody changing anything."""


class ConfigurationError(ToolError):
    """A setting is missing or wrong; the message names it and how to mend it."""


class OvertakenError(ToolError):
    """The customer wrote on before anything of this turn was said; the turn is begun anew with all of it."""


class ModelUnavailableError(ToolError):
    """The chat model's server gave no usable answer, or is not asked because it gave none several times in a row."""

    transient = True


class ChannelError(ToolError):
    """The customers' channel refused or failed."""

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        """The vendor's error code, when it gave one."""


class ChannelUnavailableError(ChannelError):
    """No answer, a server error, or the vendor says it is busy; the outcome of a send is unknown."""

    transient = True


class RateLimitedError(ChannelError):
    """Too many calls (WeCom 45009, 45033)."""

    transient = True


class DuplicateMessageError(ChannelError):
    """The channel already has a message under this key: the earlier attempt was accepted."""


class ReplyWindowClosedError(ChannelError):
    """The channel does not let the bot write to this customer now (WeCom 95001, 95002, 95013, 95018)."""


class BadRequestError(ChannelError):
    """The vendor rejects this call for good: wrong parameter, missing permission, unknown customer."""


class ChannelSetupError(BadRequestError):
    """The vendor refuses until an operator mends something: a secret, a permission, a trusted address."""

    transient = True


class StaffUnavailableError(BadRequestError):
    """Nobody of the staff receives customers in the channel's own client now."""


class InvalidSignatureError(ChannelError):
    """The callback is not signed with our token."""


class ForeignCorpError(InvalidSignatureError):
    """The callback is meant for another corp."""


class MalformedCallbackError(ChannelError):
    """The callback cannot be read."""


class DeskError(ToolError):
    """The desk refused or failed."""


class DeskUnavailableError(DeskError):
    """The desk does not answer or asks to slow down."""

    transient = True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds the desk asked to wait, when it said so."""


class DeskSetupError(DeskError):
    """The desk refuses until an operator mends something: the token, the chat, the bot's rights."""

    transient = True


class TopicGoneError(DeskError):
    """The topic of this conversation was deleted at the desk."""
