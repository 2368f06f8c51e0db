"""The bytes of a text in a TIFF as text, in whichever encoding it was written."""

from __future__ import annotations

import codecs
import re

# UTF-16 by its mark, or by how XML begins; UTF-8 by its mark.
BEGINNINGS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
    b"<\0": "utf-16-le", b"\0<": "utf-16-be",
}  # fmt: skip
# .NET declares what its strings were before they were written as bytes; the others are no
# encodings of documents.
UNLIKELY = re.compile("(?i)utf-?(16|32)|ucs|unicode|idna|punycode|.*escape")
DECLARED = re.compile(rb"""\s*<\?xml\s[^>]*?\bencoding\s*=\s*["']([A-Za-z][\w.-]*)["']""")


def decode(stored: bytes) -> str:
    """The text up to its end: what its beginning or XML's declaration says, UTF-8, or Latin-1."""
    for beginning, encoding in BEGINNINGS.items():
        if stored.startswith(beginning):
            text = stored[: len(stored) & ~1 if "16" in encoding else None]
            return text.decode(encoding, "replace").split("\0", 1)[0]
    end = stored.find(b"\0")
    part = memoryview(stored)[: len(stored) if end < 0 else end]  # not copied: it may be long
    declared = DECLARED.match(part)
    for encoding in ([declared[1].decode()] if declared else []) + ["utf-8"]:
        if not UNLIKELY.match(encoding):
            try:
                return str(part, encoding)
            except (LookupError, ValueError):
                continue
    return str(part, "latin-1")
