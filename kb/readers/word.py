"""DOCX to sections: styles become headings, by way of HTML."""

from __future__ import annotations

import io

import mammoth

from kb.errors import DocumentError
from kb.plain_text import Section
from kb.readers.archive import check_archive
from kb.readers.web_page import html_sections

_LARGEST_TEXT = 32 * 2**20
"""Bytes; the library keeps the whole text as a tree, many times as large."""

_STYLES = "\n".join(
    [
        "p[style-name='Title'] => h1:fresh",
        "p[style-name='标题'] => h1:fresh",
        *(f"p[style-name='标题 {level}'] => h{level}:fresh" for level in range(1, 7)),
        *(f"p[style-name='toc {level}'] => !" for level in range(1, 7)),
        "p[style-name='TOC Heading'] => !",
    ]
)


def read_docx(data: bytes, file: str) -> list[Section]:
    """Read a Word document: headings by style, lists, tables and links; pictures only by their description.

    Raises:
        DocumentError: it is not a document, is damaged, has a password, or unpacks to too much.
    """
    check_archive(data, file, suffix=".docx", part="word/document.xml", largest=_LARGEST_TEXT)
    try:
        result = mammoth.convert_to_html(
            io.BytesIO(data),
            style_map=_STYLES,
            convert_image=mammoth.images.img_element(lambda _image: {}),
            include_embedded_style_map=False,
            external_file_access=False,
        )
    except Exception as error:  # a damaged document fails anywhere in the library
        raise DocumentError(
            f"{file}: this document cannot be read ({type(error).__name__}); open it in Word or WPS and save it again"
        ) from error
    return html_sections(str(result.value), file)
