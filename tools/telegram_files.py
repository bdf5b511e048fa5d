"""Files through the Bot API: what the customer sent into the chat, what people sent out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from telegram import Bot, InputFile, Message
from telegram.constants import ParseMode
from telegram.error import BadRequest, InvalidToken

from tools.errors import DeskError
from tools.files import FILE_BYTES, file_name, format_of
from tools.messages import File, Media

PHOTO_BYTES = 10 * 1024 * 1024
UPLOAD_BYTES = 50 * 1024 * 1024
TRANSFER_SECONDS = 60
"""How long a file may be on its way before the connection counts as dead."""

PHOTO_REFUSED = ("photo_invalid_dimensions", "image_process_failed", "photo_save_file_invalid", "photo_ext_invalid")
"""What Telegram says of pictures that it takes as documents only."""

VOICE_FORMATS = frozenset({"ogg", "mp3", "m4a"})


async def send_file(bot: Bot, chat_id: int, file: File, caption: str, options: Mapping[str, Any]) -> Message:
    """Send a file as what it is; as a document when Telegram does not take it as that.

    Raises:
        DeskError: it is larger than a bot may send.
        TelegramError: as for every call.
    """
    size, found = len(file.content), format_of(file.content)
    if size > UPLOAD_BYTES:
        raise DeskError(f"the file is larger than Telegram takes ({UPLOAD_BYTES} bytes)")
    upload = InputFile(file.content, filename=file_name(file.kind, file.name, file.content))
    timeouts = {"read_timeout": TRANSFER_SECONDS, "write_timeout": TRANSFER_SECONDS}
    arguments = {"caption": caption, "parse_mode": ParseMode.HTML, **timeouts, **options}
    if file.kind == "image" and found in {"jpg", "png"} and size <= PHOTO_BYTES:
        try:
            return await bot.send_photo(chat_id, upload, **arguments)
        except BadRequest as error:
            if not any(sign in error.message.lower() for sign in PHOTO_REFUSED):
                raise
    elif file.kind == "video" and found == "mp4":
        return await bot.send_video(chat_id, upload, **arguments)
    elif file.kind == "voice" and found in VOICE_FORMATS:
        return await bot.send_voice(chat_id, upload, **arguments)
    return await bot.send_document(chat_id, upload, **arguments)


async def fetch_file(bot: Bot, media: Media) -> File:
    """Download what a person sent.

    Raises:
        DeskError: it is gone, or larger than a bot may fetch.
        TelegramError: as for every call.
    """
    found = await bot.get_file(media.ref)
    if (found.file_size or 0) > FILE_BYTES:
        raise DeskError(f"the file is larger than {FILE_BYTES} bytes")
    try:
        content = bytes(await found.download_as_bytearray(read_timeout=TRANSFER_SECONDS))
    except (InvalidToken, RuntimeError) as error:
        # The token was good a moment ago: a 404 here is the file's.
        raise DeskError("Telegram does not have the file any more") from error
    if len(content) > FILE_BYTES:
        raise DeskError(f"the file is larger than {FILE_BYTES} bytes")
    name = media.name or (found.file_path or "").rpartition("/")[2]
    return File(kind=media.kind, name=file_name(media.kind, name, content), content=content)
