"""Files in the Telegram simulator: what the bot sends, what people send, and how the bot gets at that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tools.simulators.multipart import Part
from tools.simulators.telegram_state import ApiError, ChatState, JsonDict, SentFile

DOWNLOAD = "download"
"""What the download of a file is called among the methods."""
CAPTION_LIMIT = 1024
DOWNLOAD_BYTES = 20 * 1024 * 1024
UPLOAD_BYTES: Mapping[str, int] = {
    "photo": 10 * 1024 * 1024,
    "document": 50 * 1024 * 1024,
    "voice": 50 * 1024 * 1024,
    "video": 50 * 1024 * 1024,
}
PHOTO_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"GIF8")
FOLDERS = {"photo": "photos", "document": "documents", "voice": "voice", "video": "videos"}
MIME_TYPES = {"voice": "audio/ogg", "video": "video/mp4", "animation": "video/mp4", "audio": "audio/mpeg"}

Params = Mapping[str, Any]
Write = Callable[[Params, str, SentFile], JsonDict]
"""Writes a message with a file: parameters, caption, file."""


class FileApi:
    """The methods about files."""

    def __init__(self, state: ChatState, write: Write) -> None:
        self._state = state
        self._write = write

    async def send_photo(self, params: Params) -> JsonDict:
        """Write a photo."""
        part = self._part(params, "photo")
        if not part.content.startswith(PHOTO_STARTS):
            raise ApiError(400, "Bad Request: IMAGE_PROCESS_FAILED")
        return self._sent(params, "photo", part)

    async def send_document(self, params: Params) -> JsonDict:
        """Write a file of any kind."""
        return self._sent(params, "document", self._part(params, "document"))

    async def send_voice(self, params: Params) -> JsonDict:
        """Write a voice message."""
        return self._sent(params, "voice", self._part(params, "voice"))

    async def send_video(self, params: Params) -> JsonDict:
        """Write a video."""
        return self._sent(params, "video", self._part(params, "video"))

    async def get_file(self, params: Params) -> JsonDict:
        """Tell where a file that a person sent can be downloaded."""
        file_id = str(params.get("file_id", ""))
        found = self._state.files.get(file_id)
        if found is None:
            raise ApiError(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
        if len(found.content) > DOWNLOAD_BYTES:
            raise ApiError(400, "Bad Request: file is too big")
        size = len(found.content)
        return {"file_id": file_id, "file_unique_id": f"u{file_id}", "file_size": size, "file_path": path_of(found)}

    def download(self, path: str) -> bytes:
        """Return what stands under a path.

        Raises:
            ApiError: nothing does.
        """
        for found in self._state.files.values():
            if path_of(found) == path:
                return found.content
        raise ApiError(404, "Not Found")

    def _part(self, params: Params, kind: str) -> Part:
        part = params.get(kind)
        if not isinstance(part, Part) or not part.content:
            raise ApiError(400, f"Bad Request: there is no {kind} in the request")
        if len(part.content) > UPLOAD_BYTES[kind]:
            raise ApiError(413, "Request Entity Too Large")
        return part

    def _sent(self, params: Params, kind: str, part: Part) -> JsonDict:
        caption = str(params.get("caption", ""))
        if len(caption.encode("utf-16-le")) // 2 > CAPTION_LIMIT:
            raise ApiError(400, "Bad Request: message caption is too long")
        file_id = self._state.new_file_id()
        file = SentFile(file_id=file_id, kind=kind, name=part.file_name, content=part.content)
        return self._write(params, caption, file)


def path_of(file: SentFile) -> str:
    """Where a file can be downloaded."""
    ending = file.name.rpartition(".")[2] or "dat"
    return f"{FOLDERS.get(file.kind, 'documents')}/file_{file.file_id}.{ending}"


def fields_of(file: SentFile, *, size: int | None = None, mime_type: str = "") -> JsonDict:
    """Describe a file as messages do."""
    told = len(file.content) if size is None else size
    fields: JsonDict = {"file_id": file.file_id, "file_unique_id": f"u{file.file_id}", "file_size": told}
    if file.kind == "photo":
        small = {**fields, "file_id": f"{file.file_id}-small", "width": 90, "height": 60, "file_size": 900}
        return {"photo": [small, {**fields, "width": 1280, "height": 853}]}
    if file.kind in {"video", "animation"}:
        fields |= {"width": 640, "height": 360, "duration": 3}
    elif file.kind in {"voice", "audio"}:
        fields |= {"duration": 3}
    elif file.kind == "video_note":
        fields |= {"length": 240, "duration": 3}
    if file.name and file.kind not in {"voice", "video_note"}:
        fields["file_name"] = file.name
    if mime := mime_type or MIME_TYPES.get(file.kind, ""):
        fields["mime_type"] = mime
    # Telegram tells an animation twice.
    return {file.kind: fields, **({"document": fields} if file.kind == "animation" else {})}
