"""Every kind of request that the connector can send goes over the wire here, and its body and headers are valid by the schema.

Which kinds there are is read from the connector's own code, so that a new one without a check fails. The variety within a kind
(fields, patterns, batches) is checked by the other tests of this folder: each of their requests is validated as well.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

from lxml import etree

import engine.mailbox.exchange
from engine.mailbox.exchange import folders, soap
from engine.mailbox.exchange.connector import ExchangeConnector
from engine.model.mail import Move
from engine.model.modules import Module
from engine.model.port import CalendarMode
from engine.sandbox.exchange import grammar
from engine.sandbox.exchange.names import M
from tests.mailbox.exchange.conftest import Mailbox
from tests.mailbox.exchange.lab import STRUCTURE, Lab, create, delete, done, lab, read, update
from tests.mailbox.exchange.test_folders import DEAL, mail_in, record
from tests.sandbox.exchange.office import NAMES, Watch

COLOURS = replace(STRUCTURE, calendar_mode=CalendarMode.COLOUR)


def kinds() -> set[str]:
    """The operations that the connector's code names, of all that EWS has in the sandbox's grammar."""
    named: set[str] = set()
    for file in Path(engine.mailbox.exchange.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named.add(node.value.removeprefix("m:"))
    return {name for name in named if name.isalpha() and grammar.root_type(f"{{{M}}}{name}") is not None}


async def everything(place: Lab, connector: ExchangeConnector) -> None:
    """One of each."""
    account = place.account
    containers = await connector.ensure(account, COLOURS, {})
    box = Mailbox(place, connector, containers)
    # The policy's categories get another name, and the structure is read back.
    again = replace(COLOURS, groups={Module.CONTACT: "Customers", Module.LEAD: "Prospects"})
    await connector.ensure(account, again, containers.ids)
    await connector.verify(account, again, containers.ids)
    assert all(one.ok for one in await connector.check(account))
    # An item is made, found, changed and deleted.
    [task] = await done(connector, box.tasks, create(Module.TASK, "c.00T1.aa.0", {"subject": "One"}))
    await read(connector, box.tasks)
    [task] = await done(connector, box.tasks, update(task, {"subject": "Two"}))
    await done(connector, box.tasks, delete(task))
    # A record's folder is made, renamed and taken away; a person's mail is moved.
    [made] = await done(connector, box.mail, record(box, "c.006A.aa.0", DEAL))
    mail_in(box, made.remote_id)
    places = await connector.mail_places(account)
    assert made.remote_id in places
    inside = place.office.call(
        '<m:FindItem Traversal="Shallow"><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape><m:ParentFolderIds>'
        f'<t:FolderId Id="{made.remote_id}"/></m:ParentFolderIds></m:FindItem>'
    )
    mails = [str(one.get("Id")) for one in inside.iterfind(".//t:ItemId", NAMES)]
    await connector.mail_heads(account, mails)
    await connector.mail_sources(account, mails)
    await connector.mail_move(account, [Move(tuple(mails), add=(containers.ids["label:CRM/Cases"],))])
    await folders.rename(connector.client, account, {made.remote_id: "Renamed"})
    await folders.move(connector.client, account, made.remote_id, containers.ids["label:CRM/Cases"])
    await folders.delete(connector.client, account, [made.remote_id])
    # Somebody asks for news.
    [(_, channel)] = await connector.subscribe(account, containers.scopes, "c1", "", "")
    if connector.client.settings.mode == "streaming":
        async for _ in connector.stream(account, [channel], 1):
            pass  # to its end: the request is on record when it has been answered
    elif connector.client.settings.mode == "pull":
        await connector.changed(account, channel)
    await connector.unsubscribe(account, channel)


async def test_every_kind_of_request_is_sent_and_valid() -> None:
    with lab(exchange_stream_minute_seconds=0.5, exchange_stream_ping_seconds=0.2) as place:
        for mode, version in (("pull", "Exchange2016"), ("streaming", "Exchange2010")):
            async with place.connector(mode=mode, version=version) as connector:
                await everything(place, connector)
        # The test of a login concerns nobody's mailbox.
        sent = place.office.watch.impersonated | {"GetServerTimeZones"} & {
            etree.QName(one).localname for one in place.office.watch.requests
        }
        wanted = kinds()
        assert len(wanted) >= 20, wanted
        assert wanted <= sent, f"never sent: {sorted(wanted - sent)}"
        assert place.office.watch.breaches == []


def test_the_headers_of_requests_are_valid_in_every_version(place: Lab) -> None:
    for version in soap.API_VERSIONS:
        root = etree.fromstring(soap.envelope("<m:GetFolder/>", version, "ann@example.com"))
        found = root.findall("s:Header/*", NAMES)
        assert [etree.QName(one).localname for one in found] == [
            "RequestServerVersion",
            "ExchangeImpersonation",
            "TimeZoneContext",
        ]
        for one in found:
            if Watch.schema is not None:
                assert Watch.schema.validate(etree.fromstring(etree.tostring(one))), Watch.schema.error_log
