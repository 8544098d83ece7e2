"""The envelope of a call, and its answer told apart: one message for each thing asked, or a fault of the whole."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from engine.mailbox.exchange.errors import fault_of
from engine.mailbox.exchange.settings import PROVIDER
from engine.mailbox.exchange.xml import ERRORS, MESSAGES, SOAP, TYPES, M, T, element, leaf, name_of
from engine.net.errors import ErrorKind, ProviderError

#: What each version of the setting is called on the wire; later ones speak 2016's (providers.md section 3).
API_VERSIONS = {
    "Exchange2010": "Exchange2010_SP2",
    "Exchange2013": "Exchange2013_SP1",
    "Exchange2016": "Exchange2016",
    "Exchange2019": "Exchange2016",
    "ExchangeSE": "Exchange2016",
}

_REFERENCE = re.compile(rb"&#(x[0-9a-fA-F]+|[0-9]+);")


@dataclass(frozen=True, slots=True)
class Message:
    """The answer to one thing that a call asked for.

    Attributes:
        code: ``NoError``, or Exchange's response code (``ErrorItemNotFound``).
        text: what Exchange says of it.
        node: the response message.
        back_off: seconds that Exchange asks to wait (``BackOffMilliseconds``).
    """

    code: str
    text: str
    node: Any
    back_off: float | None = None

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return self.code == "NoError"

    def items(self) -> list[Any]:
        """The items, folders or ids in it."""
        for name in ("Items", "Folders"):
            found = self.node.find(M + name)
            if found is not None:
                return list(found)
        return []


def envelope(body: str, version: str, mailbox: str) -> bytes:
    """A whole request.

    Args:
        body: the operation's element.
        version: of the setting.
        mailbox: who is impersonated; empty for nobody.

    Times are asked for in UTC, so that none depends on where we or the server are.
    """
    header = element("t:RequestServerVersion", Version=API_VERSIONS[version])
    if mailbox:
        header += element(
            "t:ExchangeImpersonation", element("t:ConnectingSID", leaf("t:PrimarySmtpAddress", mailbox))
        )
    header += element("t:TimeZoneContext", element("t:TimeZoneDefinition", Id="UTC"))
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:t="{TYPES}" xmlns:m="{MESSAGES}">'
        f"<s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def parse(content: bytes, operation: str, host: str) -> list[Message]:
    """The messages of an answer, in the order of what was asked.

    Raises:
        ProviderError: the server refused the call as a whole, or its answer is no answer to it.
    """
    root = _tree(content)
    body = None if root is None else root.find(f"{{{SOAP}}}Body")
    if body is None or not len(body):
        raise _unreadable(operation, host)
    fault = body.find(f"{{{SOAP}}}Fault")
    if fault is not None:
        raise _fault(fault)
    messages = body[0].find(f"{M}ResponseMessages")
    if messages is None or name_of(body[0]) != f"{operation}Response":
        raise _unreadable(operation, host)
    return [_message(node) for node in messages]


def server_version(content: bytes) -> str:
    """The version that the server gives itself in the answer's header; empty when it gives none."""
    root = _tree(content)
    info = None if root is None else root.find(f"{{{SOAP}}}Header/{T}ServerVersionInfo")
    if info is None:
        return ""
    numbers = [info.get(f"{part}Version", "?") for part in ("Major", "Minor")]
    numbers += [info.get(f"{part}BuildNumber", "?") for part in ("Major", "Minor")]
    return ".".join(numbers)


def _tree(content: bytes) -> Any:
    """The document; ``None`` when it is none. Exchange writes references that XML forbids where people pasted such signs."""
    # Not before the first answer: those without an Exchange connection need not wait for it.
    from lxml import etree

    for text in (content, _REFERENCE.sub(_legal, content)):
        # Made anew each time: a parser must not be used by two threads. Nothing outside of the answer is ever read.
        parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True, remove_comments=True)
        try:
            return etree.fromstring(text, parser)
        except (etree.XMLSyntaxError, ValueError):
            continue
    return None


def _legal(match: re.Match[bytes]) -> bytes:
    said = match[1].decode()
    number = int(said[1:], 16) if said[0] == "x" else int(said)
    good = number in {9, 10, 13} or 0x20 <= number <= 0xD7FF or 0xE000 <= number <= 0xFFFD or number >= 0x10000
    return match[0] if good else b""


def _unreadable(operation: str, host: str) -> ProviderError:
    return ProviderError(
        ErrorKind.MALFORMED,
        PROVIDER,
        f"the answer of {host} to {operation} cannot be read",
        advice="Check that the url of the connection is EWS itself (/EWS/Exchange.asmx) and no other server",
        maybe_applied=True,
    )


def _fault(fault: Any) -> ProviderError:
    detail = fault.find("detail")
    code = text = ""
    back_off = None
    if detail is not None:
        for node in detail.iter():
            name = name_of(node)
            if name == "ResponseCode":
                code = (node.text or "").strip()
            elif name == "Message" and node.tag == f"{{{ERRORS}}}Message":
                text = (node.text or "").strip()
            elif name == "Violation":
                text = f"{text} {(node.text or '').strip()}".strip()
        back_off = _back_off(detail)
    said = fault.findtext("faultstring") or ""
    return fault_of(code or _code_in(fault.findtext("faultcode") or ""), text or said, back_off)


def _code_in(fault_code: str) -> str:
    name = fault_code.rpartition(":")[2]
    return name if name.startswith("Error") else ""


def _back_off(node: Any) -> float | None:
    for value in node.iter(f"{T}Value"):
        if value.get("Name") == "BackOffMilliseconds" and (value.text or "").strip().isdigit():
            return int(value.text) / 1000
    return None


def _message(node: Any) -> Message:
    code = (node.findtext(f"{M}ResponseCode") or "").strip()
    if node.get("ResponseClass") == "Success" and code in {"", "NoError"}:
        return Message("NoError", "", node)
    text = (node.findtext(f"{M}MessageText") or "").strip()
    return Message(code or "no response code", text, node, _back_off(node))
