"""The mailbox's own list of categories, so that Outlook shows those that we put on items in their colour.

The list is an XML document in a hidden object of the calendar folder, the user configuration ``CategoryList``. Sources:
Microsoft's [MS-OXOCFG] 2.2.5.2 (the document, the 25 colours), and its pages "GetUserConfiguration operation" and siblings.
Categories are added and nothing else is touched: a person's own keep their names and colours, and so does one of our name that
is there already. Exchange has no versions for such objects, so it is read just before it is written, and written seldom.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping
from typing import Any

from lxml import etree

from engine.mailbox.exchange import errors, props
from engine.mailbox.exchange.client import ExchangeClient
from engine.mailbox.exchange.soap import Message
from engine.mailbox.exchange.xml import M, element, leaf
from engine.model.modules import Module
from engine.model.port import Account, CalendarMode, Finding, Structure
from engine.net.errors import ErrorKind

NAME = "CategoryList"
SPACE = "CategoryList.xsd"
_TAG = f"{{{SPACE}}}category"

#: The colours that Outlook has for categories, by number, as red, green and blue ([MS-OXOCFG] 2.2.5.2.1).
COLOURS = (
    0xD6252E, 0xF06C15, 0xFFCA4C, 0xFFFE3D, 0x4AB63F, 0x40BD95, 0x859A52, 0x3267B8, 0x613DB4, 0xA34E78,
    0xC4CCDD, 0x8C9CBD, 0xC4C4C4, 0xA5A5A5, 0x1C1C1C, 0xAF1E25, 0xB14F0D, 0xAB7B05, 0x999400, 0x35792B,
    0x2E7D64, 0x5F6C3A, 0x2A5191, 0x50328F, 0x82375F,
)  # fmt: skip

#: Groups of contacts have no colour in a policy: steel and dark steel, which stand for nothing else.
_GROUPS = {Module.CONTACT: 10, Module.LEAD: 11}

#: What Outlook writes for a category that was never used.
_NEVER = "1601-01-01T00:00:00.000"
_TIMES = ("Notes", "Journal", "Contacts", "Tasks", "Calendar", "Mail", "")

#: A document of more than so many characters is none that a person has made.
LONGEST = 2_000_000

_ADVICE = "The owner adds them in Outlook, or the next change of the policy's categories does"


def wanted(structure: Structure) -> dict[str, int]:
    """The categories that a policy puts on items: name to Outlook's number of the colour."""
    found = {name: _GROUPS.get(module, 10) for module, name in structure.groups.items()}
    if structure.calendar_mode is CalendarMode.COLOUR:
        found |= {name: nearest(colour) for name, colour in structure.colours.values()}
    return found


def nearest(colour: str) -> int:
    """Outlook's number of the colour that is nearest to ``#rrggbb``."""
    value = int(colour.removeprefix("#"), 16)

    def away(other: int) -> int:
        return sum(((value >> shift & 255) - (other >> shift & 255)) ** 2 for shift in (0, 8, 16))

    return min(range(len(COLOURS)), key=lambda number: away(COLOURS[number]))


async def ensure(client: ExchangeClient, account: Account, names: Mapping[str, int]) -> list[str]:
    """Add what the list lacks. One call when nothing does.

    A mailbox that does not let its list be read or written is synchronised all the same: only the colours are missing, and
    ``missing`` tells so.

    Returns:
        the names that were added.

    Raises:
        ProviderError: the server or the mailbox cannot be reached, or we may not log in.
    """
    if not names:
        return []
    there, root = await _read(client, account)
    lacking = {} if root is None else _lacking(root, names)
    if root is None or not lacking:
        return []
    for name, colour in lacking.items():
        root.append(_entry(name, colour))
    text = etree.tostring(root, xml_declaration=True, encoding="utf-8")
    operation = "UpdateUserConfiguration" if there else "CreateUserConfiguration"
    body = element(
        f"m:{operation}",
        element(
            "m:UserConfiguration",
            element("t:UserConfigurationName", _FOLDER, Name=NAME)
            + leaf("t:XmlData", base64.b64encode(text).decode("ascii")),
        ),
    )
    # A repeat writes the same once more; a second create is refused.
    messages = await client.call(account, operation, body, idempotent=True)
    return list(lacking) if _good(messages) else []


async def missing(client: ExchangeClient, account: Account, categories: Mapping[str, int]) -> list[str]:
    """The names that the list lacks; all of them where it cannot be read.

    Raises:
        ProviderError: as ``ensure``.
    """
    if not categories:
        return []
    _, root = await _read(client, account)
    return list(categories if root is None else _lacking(root, categories))


async def verify(client: ExchangeClient, account: Account, structure: Structure) -> list[Finding]:
    """One finding for the categories of a policy.

    Raises:
        ProviderError: as ``ensure``.
    """
    names = wanted(structure)
    if not names:
        return []
    lacking = await missing(client, account, names)
    if not lacking:
        return [Finding(True, "categories", f"{len(names)} in the mailbox's list, with their colours")]
    # Nothing that is synchronised depends on it, and a person may have taken it out: it is told, and is no fault.
    detail = f"not in the mailbox's list, so that Outlook shows them without their colour: {', '.join(lacking)}"
    return [Finding(True, "categories", detail, _ADVICE)]


_FOLDER = element("t:DistinguishedFolderId", Id="calendar")


async def _read(client: ExchangeClient, account: Account) -> tuple[bool, Any | None]:
    """Whether the object is there, and its document; None where that is none, and must not be written over."""
    body = element(
        "m:GetUserConfiguration",
        element("m:UserConfigurationName", _FOLDER, Name=NAME)
        + leaf("m:UserConfigurationProperties", "XmlData"),
    )
    messages = await client.call(account, "GetUserConfiguration", body, idempotent=True)
    if messages and messages[0].code == "ErrorItemNotFound":
        return False, _empty()
    if not _good(messages):
        return True, None
    holder = messages[0].node.find(f"{M}UserConfiguration")
    coded = "" if holder is None else holder.findtext("{*}XmlData") or ""
    return True, _document(coded) if coded.strip() else _empty()


def _good(messages: list[Message]) -> bool:
    """Whether a call was done.

    Raises:
        ProviderError: it was not, for a reason that is not about this one object.
    """
    if messages and messages[0].ok:
        return True
    if messages:
        error = errors.fault_of(messages[0].code, messages[0].text, messages[0].back_off)
        if error.kind in {ErrorKind.THROTTLED, ErrorKind.UNAVAILABLE, ErrorKind.DELEGATION}:
            raise error
    return False


def _empty() -> Any:
    return etree.Element(f"{{{SPACE}}}categories", nsmap={None: SPACE})


def _document(coded: str) -> Any | None:
    """The list; None for anything else."""
    if len(coded) > LONGEST:
        return None
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(base64.b64decode(coded), parser)
    except (binascii.Error, ValueError, etree.XMLSyntaxError):
        return None
    return root if root.tag == f"{{{SPACE}}}categories" else None


def _lacking(root: Any, categories: Mapping[str, int]) -> dict[str, int]:
    """Those that are not in the list; Outlook compares names without case."""
    there = {str(one.get("name", "")).casefold() for one in root.iter(_TAG)}
    return {name: colour for name, colour in categories.items() if name.casefold() not in there}


def _entry(name: str, colour: int) -> Any:
    """A new category; its id is always the same for a name, so that no race makes two."""
    made = etree.Element(_TAG, nsmap={None: SPACE})
    identity = uuid.uuid5(uuid.UUID(props.GUID), name.casefold())
    made.set("name", name)
    made.set("color", str(colour))
    made.set("keyboardShortcut", "0")
    made.set("usageCount", "0")
    for kind in _TIMES:
        made.set(f"lastTimeUsed{kind}", _NEVER)
    made.set("lastSessionUsed", "0")
    made.set("guid", f"{{{str(identity).upper()}}}")
    return made
