"""Office files are ZIP archives: what is told, and refused, before a library opens one."""

from __future__ import annotations

import io
import zipfile
import zlib

from kb.errors import DocumentError

_OLD_OFFICE = b"\xd0\xcf\x11\xe0"
"""The container of Office before 2007, and of any Office file with a password."""


def check_archive(data: bytes, file: str, *, suffix: str, part: str, largest: int) -> None:
    """Look whether an Office file is what its name says, whole, and of a size that can be unpacked.

    Args:
        data: the file.
        file: its name, for messages.
        suffix: the format it should have.
        part: the part every file of that format has.
        largest: bytes its texts may have when unpacked; pictures are never unpacked.

    Raises:
        DocumentError: it is something else.
    """
    if data.startswith(_OLD_OFFICE):
        raise DocumentError(f"{file}: it has a password or an old format; save it without a password as {suffix}")
    damaged = f"{file}: this is not a whole {suffix} file; open it in Word, Excel or WPS and save it as {suffix} again"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            texts = [info for info in archive.infolist() if info.filename.lower().endswith((".xml", ".rels"))]
            if part not in archive.namelist():
                raise DocumentError(damaged)
            # The sizes an archive declares bind: Python unpacks no more, and then the checksum is wrong.
            if sum(info.file_size for info in texts) > largest:
                raise DocumentError(f"{file}: its text is larger than {largest >> 20} MB when unpacked; split it")
            for info in texts:
                with archive.open(info) as unpacked:
                    while unpacked.read(2**20):
                        pass
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DocumentError(damaged) from error
