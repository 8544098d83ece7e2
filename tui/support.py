"""``syncline support``: one file for somebody who helps; no secrets, no contents of items, no addresses unless wanted."""

from __future__ import annotations

import asyncio
import io
import zipfile
from argparse import Namespace
from collections.abc import Mapping

from engine.service import Service
from tui import exits
from tui.out import Out


async def support(service: Service, given: Namespace, out: Out) -> int:
    """Write the bundle, and tell what is in it."""
    files = await service.support(anonymise=given.anonymise)
    data = await asyncio.to_thread(packed, files)
    await out.write(given.file, data)
    names = ", ".join(sorted(files))
    out.print(f"{given.file}: {len(data):,} bytes: {names}")
    kept = "addresses and quoted names are replaced" if given.anonymise else "addresses are as they are"
    out.print(f"Secrets are taken out, contents of items are not in it, {kept}. Look at it before you send it.")
    return exits.OK


def packed(files: Mapping[str, str]) -> bytes:
    """A zip file; the same files give the same bytes."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(f"syncline-support/{name}"), files[name].encode("utf-8"))
    return data.getvalue()
