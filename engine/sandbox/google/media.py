"""Media uploads of Gmail: simple and multipart (the resumable protocol is not spoken)."""

from __future__ import annotations

import json
import re
from typing import Any

from engine.sandbox.google.batch import Request
from engine.sandbox.google.call import ApiError

LARGEST = 157_286_400
"""Bytes; ``maxSize`` of Gmail's insert and import in the discovery document."""


def split_upload(kind: str, request: Request) -> tuple[dict[str, Any], bytes]:
    """Metadata and media of an upload.

    Args:
        kind: ``uploadType``: ``media`` (the body is the media) or ``multipart`` (JSON part, media part).
        request: the upload.

    Raises:
        ApiError: 400 for another type or a body that cannot be read, 413 when it is too large.
    """
    if len(request.body) > LARGEST:
        raise ApiError(413, "uploadTooLarge", f"Uploads may hold {LARGEST} bytes.")
    if kind == "media":
        return {}, request.body
    if kind != "multipart":
        raise ApiError(400, "badRequest", f"Unsupported uploadType '{kind}'; allowed: media, multipart.")
    match = re.search(r'boundary="?([^";]+)"?', request.headers.get("content-type", ""))
    pieces = (b"\n" + request.body).split(b"\n--" + match[1].encode("latin-1")) if match else []
    if len(pieces) != 4:
        raise ApiError(400, "badRequest", "Malformed multipart body.")
    contents = [re.split(rb"\r?\n\r?\n", piece, maxsplit=1)[-1] for piece in pieces[1:3]]
    media = contents[1].removesuffix(b"\r")
    encoding = re.search(rb"(?i)content-transfer-encoding:\s*base64", pieces[2].split(b"\n\n", 1)[0])
    if encoding is not None:
        import base64

        media = base64.b64decode(media)
    try:
        metadata = json.loads(contents[0] or b"{}")
    except ValueError:
        raise ApiError(400, "parseError", "Parse Error") from None
    return metadata, media
