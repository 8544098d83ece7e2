"""SOAP envelopes: requests taken apart and checked, answers and faults put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lxml import etree

from engine.sandbox.exchange import grammar
from engine.sandbox.exchange.errors import EwsError, SoapFault
from engine.sandbox.exchange.names import BUILDS, SCHEMA_NAMES, VERSIONS, E, M, S, T, m, t
from engine.sandbox.exchange.nodes import elements, escape, local, quoted

_PARSER_OPTIONS = {"resolve_entities": False, "no_network": True, "remove_comments": True, "huge_tree": True}
_DEEP = 200


@dataclass(frozen=True, slots=True)
class Request:
    """A request that matches the schema.

    Attributes:
        operation: local name of the body's element, e.g. ``GetItem``.
        element: that element.
        headers: SOAP headers by local name.
        version: ``RequestServerVersion``; the server's own when the client names none.
    """

    operation: str
    element: etree._Element
    headers: dict[str, etree._Element]
    version: str


def read(body: bytes, server_version: str) -> Request:
    """Parse and check a request.

    Raises:
        SoapFault: no XML, no SOAP, an unknown version or operation, or a breach of the schema.
    """
    try:
        root = etree.fromstring(body, etree.XMLParser(**_PARSER_OPTIONS))
    except etree.XMLSyntaxError as error:
        raise _schema_fault(f"The request failed schema validation: {error.msg}", error.lineno or 0) from None
    if root.tag != f"{{{S}}}Envelope":
        raise _schema_fault(
            "The request failed schema validation: The root element is not a SOAP 1.1 envelope.", 1
        )
    header = root.find(f"{{{S}}}Header")
    headers = {} if header is None else {local(one): one for one in elements(header)}
    body_element = root.find(f"{{{S}}}Body")
    found = [] if body_element is None else list(elements(body_element))
    if len(found) != 1:
        raise _schema_fault("The request failed schema validation: The body must hold one element.", 1)
    asked = headers.get("RequestServerVersion")
    version = server_version if asked is None else asked.get("Version", "")
    _check_version(version, server_version)
    for one in headers.values():
        _check(one)
    element = found[0]
    _check(element, known=True)
    return Request(local(element), element, headers, version)


def _check_version(version: str, server_version: str) -> None:
    # Exchange ignores nothing here: a version that it does not know or does not yet speak is refused before all else.
    if version not in VERSIONS or VERSIONS.index(version) > VERSIONS.index(server_version):
        raise SoapFault(
            "ErrorInvalidServerVersion",
            "The specified server version is invalid.",
        )


def _check(element: etree._Element, known: bool = False) -> None:
    name = grammar.root_type(str(element.tag))
    if name is None:
        if known:
            raise SoapFault(
                "ErrorInvalidRequest",
                f"The sandbox does not serve {local(element)}.",
                kind="ErrorInvalidRequest",
            )
        return
    try:
        grammar.check(element, name)
    except grammar.Invalid as error:
        raise _schema_fault(f"The request failed schema validation: {error}", element.sourceline or 0) from None


def _schema_fault(text: str, line: int) -> SoapFault:
    return SoapFault("ErrorSchemaValidation", text, line=line)


def version_header(server_version: str) -> str:
    """The ``ServerVersionInfo`` element of a server of that version."""
    major, minor, build, revision = BUILDS[server_version]
    return (
        f'<h:ServerVersionInfo MajorVersion="{major}" MinorVersion="{minor}" MajorBuildNumber="{build}"'
        f' MinorBuildNumber="{revision}" Version="{SCHEMA_NAMES[server_version]}" xmlns:h="{T}"/>'
    )


def envelope(inner: str, server_version: str) -> bytes:
    """An answer."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="{S}"><s:Header>{version_header(server_version)}'
        f'</s:Header><s:Body xmlns:m="{M}" xmlns:t="{T}">{inner}</s:Body></s:Envelope>'
    ).encode("utf-8", "replace")


def fault(error: SoapFault, server_version: str) -> bytes:
    """A SOAP fault as Exchange writes it."""
    detail = f'<e:ResponseCode xmlns:e="{E}">{error.code}</e:ResponseCode><e:Message xmlns:e="{E}">'
    detail += f"{escape(error.message)}</e:Message>"
    if error.code == "ErrorSchemaValidation":
        detail += f'<t:LineNumber xmlns:t="{T}">{error.line}</t:LineNumber><t:LinePosition xmlns:t="{T}">1</t:LinePosition>'
        detail += f'<t:Violation xmlns:t="{T}">{escape(error.message)}</t:Violation>'
    if error.values:
        detail += f'<t:MessageXml xmlns:t="{T}">{_values(error.values.items())}</t:MessageXml>'
    return (
        f'<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="{S}"><s:Header>{version_header(server_version)}'
        f'</s:Header><s:Body><s:Fault><faultcode xmlns:a="{T}">a:{error.kind}</faultcode>'
        f'<faultstring xml:lang="en-US">{escape(error.message)}</faultstring><detail>{detail}</detail></s:Fault></s:Body>'
        "</s:Envelope>"
    ).encode()


def _values(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(f'<t:Value Name="{quoted(name)}">{escape(value)}</t:Value>' for name, value in pairs)


# -- response messages -----------------------------------------------------------------------------------


def success(operation: str, inner: str = "") -> str:
    """One response message of class ``Success``."""
    name = f"m:{operation}ResponseMessage"
    return f'<{name} ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>{inner}</{name}>'


def failure(operation: str, error: EwsError) -> str:
    """One response message of class ``Error``."""
    name = f"m:{operation}ResponseMessage"
    values = f"<m:MessageXml>{_values(error.values.items())}</m:MessageXml>" if error.values else ""
    return (
        f'<{name} ResponseClass="Error"><m:MessageText>{escape(error.message)}</m:MessageText>'
        f"<m:ResponseCode>{error.code}</m:ResponseCode><m:DescriptiveLinkKey>0</m:DescriptiveLinkKey>{values}"
        f"{error.inner}</{name}>"
    )


def skipped(operation: str, inner: str = "") -> str:
    """One response message of class ``Warning``: the batch was stopped before this part."""
    name = f"m:{operation}ResponseMessage"
    return (
        f'<{name} ResponseClass="Warning"><m:MessageText>The request processing was stopped by an earlier error.'
        f"</m:MessageText><m:ResponseCode>ErrorBatchProcessingStopped</m:ResponseCode>"
        f"<m:DescriptiveLinkKey>0</m:DescriptiveLinkKey>{inner}</{name}>"
    )


def answer(operation: str, messages: Iterable[str]) -> str:
    """The body's element with its response messages."""
    name = f"m:{operation}Response"
    return f"<{name}><m:ResponseMessages>{''.join(messages)}</m:ResponseMessages></{name}>"


def find(element: etree._Element, *path: str) -> etree._Element | None:
    """The first descendant along local names, whichever of the two namespaces each is of."""
    here: etree._Element | None = element
    for name in path:
        if here is None:
            return None
        below = here.find(m(name))
        here = below if below is not None else here.find(t(name))
    return here


def text_at(element: etree._Element, *path: str) -> str | None:
    """The text of ``find``; None where there is no such element."""
    found = find(element, *path)
    return None if found is None else (found.text or "")
