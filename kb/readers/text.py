"""Bytes to text, as editors, spreadsheets and web sites in China write it."""

from __future__ import annotations

import codecs
import re

from kb.errors import DocumentError

_DECLARED = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w-]+)|<\?xml[^>]{0,100}encoding=["']([\w-]+)""", re.IGNORECASE
)
_DECLARED_WITHIN = 4096
"""Browsers look into the first 1024 bytes; pages put their scripts there."""

_CODECS = {
    "big5": "big5hkscs",
    "big5-hkscs": "big5hkscs",
    "gb18030": "gb18030",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso-8859-1": "cp1252",
    "us-ascii": "utf-8",
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "windows-1252": "cp1252",
    "x-gbk": "gb18030",
}


def decode(data: bytes, name: str) -> str:
    """Decode a text file.

    Raises:
        DocumentError: it is not a text.
    """
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ["utf-16"] if is_utf16 else ["utf-8-sig", "gb18030"]:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise DocumentError(f"{name}: this is not a text file in UTF-8 or GB18030; save it as UTF-8")


def decode_html(data: bytes, name: str) -> str:
    """Decode a web page by the charset it declares; one that declares none, or lies, as any other text.

    Raises:
        DocumentError: it is not a text.
    """
    declared = _DECLARED.search(data[:_DECLARED_WITHIN])
    encoding = _CODECS.get((declared[1] or declared[2]).decode().lower()) if declared else None
    if encoding and b"\0" not in data and not data.startswith(codecs.BOM_UTF8):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            pass
    return decode(data, name)
