"""The text of a team's file, or what the file is instead, and what to do about it."""

import codecs
from pathlib import Path
from typing import NoReturn

from flywheel_assets.errors import SourceError

_OTHERS = (
    (b"\x1f\x8b", "a gzip file", "unpack it first: gunzip -c"),
    (b"PK\x03\x04", "a zip archive, or a workbook", "unpack it, or save its sheet as CSV:"),
)
"""How files begin that are no text, whatever they are called."""
_WIDE = (b"\xff\xfe", b"\xfe\xff")
_LETTERS = 8
"""How many bytes of a file are looked at for what has no mark."""


def decoded(path: Path, encoding: str) -> str:
    """Read a file as text, without the mark it may begin with.

    Raises
    ------
    SourceError
        For a file that is no text, or text in another encoding.
    """
    content = path.read_bytes()
    for magic, what, remedy in _OTHERS:
        if content.startswith(magic):
            refuse(path, "text", what, f"{remedy} {path}")
    if wide := _wide(content, encoding):
        refuse(path, f"text in {encoding}", f"text in {wide}", f"declare encoding={wide!r}")
    if (
        content.startswith(codecs.BOM_UTF8)
        and not _is_utf8(encoding)
        and _decodes(content, "utf-8")
    ):
        found = "the mark that text in utf-8 begins with"
        refuse(path, f"text in {encoding}", found, "declare encoding='utf-8'")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        fits = "utf-8" if _decodes(content, "utf-8") else "latin-1"  # which takes any bytes
        refuse(
            path,
            f"text in {encoding}",
            f"byte {content[error.start]:#04x} at offset {error.start}, line {line}",
            f"declare the encoding that the file is in, perhaps encoding={fits!r}",
        )
    except LookupError:
        refuse(path, "text", f"encoding={encoding!r}", "declare an encoding that Python knows")
    return text.removeprefix(byte_order_mark(text))


def byte_order_mark(text: str) -> str:
    """Give the mark a text begins with, as UTF-8 or a one-byte encoding read it; else nothing."""
    return next((mark for mark in ("\ufeff", "\u00ef\u00bb\u00bf") if text.startswith(mark)), "")


def refuse(path: Path, expected: str, found: str, remedy: str) -> NoReturn:
    """Say of a file that it cannot be read as declared.

    Raises
    ------
    SourceError
    """
    raise SourceError(expected=f"{expected} in {path}", found=found, remedy=remedy)


def _wide(content: bytes, encoding: str) -> str:
    """Name the encoding of a text in two bytes a character, where it is declared to be another."""
    if encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32", "utf16", "utf32")):
        return ""
    if content.startswith(_WIDE):
        return "utf-16"
    # Without its mark every other byte of what begins a header is nothing.
    first = content[:_LETTERS]
    if len(first) < _LETTERS or (any(first[1::2]) and any(first[::2])):
        return ""
    return "utf-16-be" if any(first[1::2]) else "utf-16-le"


def _is_utf8(encoding: str) -> bool:
    try:
        return codecs.lookup(encoding).name.startswith("utf-8")
    except LookupError:
        return True  # said of the text below


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
