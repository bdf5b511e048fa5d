"""What the Telegram client raises, as errors of the desk with a line on how to mend them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from prometheus_client import Counter
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, NetworkError, TelegramError

from tools.errors import DeskError, DeskSetupError, DeskUnavailableError, TopicGoneError
from tools.telegram_http import SlowDownError

ERRORS = Counter("kefu_telegram_errors", "Calls that Telegram refused or left unanswered, by kind", ["kind"])


@contextlib.contextmanager
def desk_errors(chat_id: int) -> Iterator[None]:
    """Raise what Telegram says as a `DeskError`."""
    try:
        yield
    except TelegramError as error:
        ERRORS.labels(type(error).__name__).inc()
        raise _translated(error, chat_id) from error


@contextlib.contextmanager
def topic_errors() -> Iterator[None]:
    """Raise a deleted topic as `TopicGoneError`; one that is as wanted already is no error."""
    try:
        yield
    except BadRequest as error:
        words = error.message.lower()
        if "topic_not_modified" in words:
            return
        if "message thread not found" in words or "topic_deleted" in words or "topic_id_invalid" in words:
            raise TopicGoneError("the conversation's topic was deleted at the desk") from error
        raise


def no_topic_right(chat_id: int) -> str:
    """Say that the bot lacks the right to have topics."""
    return f"the Telegram bot lacks a right in chat {chat_id}: make it an administrator with 'Manage topics'"


def _translated(error: TelegramError, chat_id: int) -> DeskError:
    # BadRequest first: the client counts it among the network errors.
    if isinstance(error, BadRequest):
        return _refused(error.message, chat_id)
    if isinstance(error, InvalidToken | ChatMigrated | Forbidden):
        return DeskSetupError(_lockout(error, chat_id))
    if isinstance(error, SlowDownError):
        return DeskUnavailableError("Telegram asks to slow down", retry_after=error.retry_after)
    if isinstance(error, Conflict):
        return DeskUnavailableError(
            f"something else receives this Telegram bot's updates: one program a bot token ({error.message})"
        )
    words = "does not answer" if isinstance(error, NetworkError) else "gave an unreadable answer"
    return DeskUnavailableError(f"Telegram {words}: {error.message}")


def _lockout(error: TelegramError, chat_id: int) -> str:
    if isinstance(error, InvalidToken):
        return "Telegram refuses TELEGRAM_BOT_TOKEN: copy it again from @BotFather (/token), or mend TELEGRAM_API_BASE"
    if isinstance(error, ChatMigrated):
        return f"Telegram chat {chat_id} became a supergroup: set NOTIFICATION_CHANNEL=telegram:{error.new_chat_id}"
    return f"the Telegram bot may not write to chat {chat_id}: add it to the chat ({error.message})"


def _refused(description: str, chat_id: int) -> DeskError:
    words = description.lower()
    if "chat not found" in words:
        return DeskSetupError(
            f"the Telegram bot does not see chat {chat_id}: add it there and check NOTIFICATION_CHANNEL"
        )
    # Not "not enough rights to send photos": the words get there all the same.
    is_about_media = "rights to send" in words and "text" not in words
    if not is_about_media and any(
        sign in words for sign in ("not enough rights", "chat_admin_required", "topic_closed")
    ):
        return DeskSetupError(no_topic_right(chat_id))
    return DeskError(f"Telegram refused: {description}")
