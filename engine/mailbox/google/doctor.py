"""Tests a connection the way ``doctor`` prints it: key, delegation, scopes, one read per API, told apart."""

from __future__ import annotations

from typing import Any

from googleapiclient.http import HttpRequest

from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.settings import Api
from engine.model.port import Account, Finding
from engine.net.errors import ErrorKind, ProviderError


async def check(client: GoogleClient, account: Account | None) -> list[Finding]:
    """One finding for the key, then per API one for its token and one for a read.

    Without an account only the key can be tested. Never raises: a failure is a finding.
    """
    try:
        key = await client.delegation.service_account()
    except ProviderError as error:
        return [Finding(False, "credentials", error.detail, error.advice)]
    findings = [Finding(True, "credentials", f"service account {key.email}, client id {key.client_id}")]
    if account is None:
        return findings
    refused: dict[Api, ProviderError] = {}
    tokens: dict[Api, Finding] = {}
    for api in Api:
        try:
            await client.delegation.token(account.email, client.settings.scopes_of(api))
            tokens[api] = Finding(True, f"token {api.value}", f"{api.label} signs in as {account.email}")
        except ProviderError as error:
            refused[api] = error
    for api, refusal in refused.items():
        tokens[api] = _token_finding(api, refusal, everything=len(refused) == len(Api))
    for api in Api:
        findings.append(tokens[api])
        if api not in refused:
            findings.append(await _read(client, account, api))
    return findings


def _token_finding(api: Api, error: ProviderError, *, everything: bool) -> Finding:
    if error.kind is not ErrorKind.DELEGATION:
        return Finding(False, f"token {api.value}", error.detail, error.advice)
    # Refused for all APIs: the client id is not authorised. Refused for some: their scopes are missing.
    check = "delegation" if everything else "scope"
    return Finding(False, f"{check} {api.value}", error.detail, error.advice)


async def _read(client: GoogleClient, account: Account, api: Api) -> Finding:
    try:
        answer = await client.execute(_probe(client, api), account, idempotent=True, urgent=True, attempts=1)
    except ProviderError as error:
        what = "throttled" if error.kind is ErrorKind.THROTTLED else "read"
        pause = f" (for {error.retry_after:.0f} s)" if error.retry_after else ""
        return Finding(False, f"{what} {api.value}", error.detail + pause, error.advice)
    return Finding(True, f"read {api.value}", _seen(api, answer))


def _probe(client: GoogleClient, api: Api) -> HttpRequest:
    match api:
        case Api.CALENDAR:
            return client.calendar.calendarList.get(calendarId="primary")
        case Api.PEOPLE:
            return client.people.contactGroups.list(pageSize=1)
        case Api.TASKS:
            return client.tasks.tasklists.list(maxResults=1)
        case Api.GMAIL:
            return client.gmail.users.getProfile(userId="me")


def _seen(api: Api, answer: Any) -> str:
    match api:
        case Api.CALENDAR:
            return f"calendar {answer.get('id', '?')}, zone {answer.get('timeZone', '?')}"
        case Api.PEOPLE:
            return f"{answer.get('totalItems', len(answer.get('contactGroups') or ()))} contact groups"
        case Api.TASKS:
            return "task lists can be read"
        case Api.GMAIL:
            return f"{answer.get('emailAddress', '?')}, {answer.get('messagesTotal', '?')} messages"
