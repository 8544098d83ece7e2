"""The connector: Salesforce behind the port of a CRM."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from engine.crm.salesforce import soql
from engine.crm.salesforce.checks import findings
from engine.crm.salesforce.client import SalesforceClient
from engine.crm.salesforce.errors import SalesforceError
from engine.crm.salesforce.feed import Feeds
from engine.crm.salesforce.mails import SalesforceArchive
from engine.crm.salesforce.mapping import Context
from engine.crm.salesforce.objects import EVENT, OBJECTS, OF_MODULE, SObject, with_activities
from engine.crm.salesforce.settings import SalesforceSettings
from engine.crm.salesforce.write import BATCH, Writer
from engine.model.modules import Module
from engine.model.port import (
    Account,
    Capability,
    CreateKey,
    CrmUser,
    Finding,
    Guard,
    Observation,
    Outcome,
    Page,
    Scope,
    Write,
)
from engine.net.errors import ErrorKind, ProviderError
from engine.net.net import Net


class SalesforceConnector(SalesforceArchive):
    """One org as a ``CrmConnector`` and ``MailArchive``. A feed serves all mailboxes and costs one call when nothing changed."""

    def __init__(self, settings: SalesforceSettings, net: Net) -> None:
        """Make a connector; nothing is read or called before the first use.

        Args:
            settings: where the org is and how to log in.
            net: clock, dice, observer and TLS of the engine.
        """
        self._settings = settings
        self._client = SalesforceClient(settings, net)
        extra = ("CurrencyIsoCode",) if settings.multi_currency else ()
        self._feeds = Feeds(self._client, settings.overlap_seconds, extra)

    def capability(self, module: Module) -> Capability | None:
        """What Salesforce can do for a module."""
        sobject = OF_MODULE.get(module)
        if sobject is None:
            return None
        fields = sobject.fields[module]
        if module is Module.OPPORTUNITY and self._settings.multi_currency:
            fields |= {"currency"}
        return Capability(
            fields=fields,
            writable=sobject.writable[module],
            create_key=CreateKey.NATURAL,
            guard=Guard.ETAG,
            batch=BATCH,
            parallel=2,
            cursor_days=14,
            tombstones=True,
            exceptions=sobject is EVENT,
        )

    def scopes(self, modules: Sequence[Module]) -> tuple[Scope, ...]:
        """One feed per object; calls and tasks share one, appointments and service calls another."""
        wanted = {OF_MODULE[module].name for module in modules if module in OF_MODULE}
        return tuple(
            Scope(each.name, each.name, each.modules) for each in OBJECTS.values() if each.name in wanted
        )

    async def changes(self, scope: Scope, cursor: str | None) -> AsyncIterator[Page]:
        """Pages of what changed since ``cursor``; all live items when it is ``None``.

        Raises:
            CursorExpired: the cursor is older than the recycle bin (15 days).
            ProviderError: a call failed.
        """
        sobject = _object(scope)
        async for page in self._feeds.changes(sobject, await self._context(scope), cursor):
            yield page

    async def fetch(self, scope: Scope, ids: Sequence[str]) -> list[Observation]:
        """The present state of items by id, 2,500 a call; what does not exist comes back as deleted.

        Raises:
            ProviderError: a call failed.
        """
        return await self._feeds.fetch(_object(scope), await self._context(scope), ids)

    async def occurrences(self, scope: Scope, series: Sequence[str]) -> list[Observation]:
        """The changed and cancelled occurrences of series; only events have any.

        Raises:
            ProviderError: a call failed.
        """
        return (
            await self._feeds.occurrences(_object(scope), await self._context(scope), series) if series else []
        )

    async def apply(self, scope: Scope, writes: Sequence[Write]) -> list[Outcome]:
        """Make the changes, 200 of each kind a call; one outcome per write, in order.

        Raises:
            ProviderError: a call failed as a whole.
        """
        if not writes:
            return []
        return await Writer(self._client, self._feeds, _object(scope), await self._context(scope)).apply(writes)

    async def users(self, *, managers: bool = False) -> list[CrmUser]:
        """All active users that have an e-mail address, by name.

        Their managers are asked for only when somebody wants to know: an org may hide that field from us (field-level
        security), and then refuses the whole query.

        Raises:
            ProviderError: a call failed.
        """
        try:
            rows = await self._client.rows(_USERS.format(", ManagerId" if managers else ""))
        except SalesforceError as error:
            if error.missing_column != "ManagerId":
                raise
            raise ProviderError(
                ErrorKind.CONFIGURATION,
                error.provider,
                "who manages whom is hidden from the integration user (field Manager of User), and the policy's drop labels "
                "show teams",
                advice='Give the user\'s permission set read access to it, or set labels.records.MODULE.whose = "mine"',
                status=error.status,
            ) from None
        return [
            CrmUser(
                row["Id"],
                row["Email"],
                row["Name"],
                row["TimeZoneSidKey"] or "UTC",
                bool(row["IsActive"]),
                row.get("ManagerId") or "",
            )
            for row in rows
            if row["Email"]
        ]

    async def audit_deleted(self, scope: Scope, start: datetime, end: datetime) -> list[str]:
        """Ids deleted between two aware times, by ``/deleted``, which also knows what left the recycle bin.

        Raises:
            ProviderError: a call failed; ``start`` more than 15 days ago is refused by Salesforce.
        """
        answer = await self._client.request(
            "GET",
            f"/sobjects/{scope.key}/deleted/",
            params={"start": soql.moment(start), "end": soql.moment(end)},
        )
        return [str(each["id"]) for each in answer.body["deletedRecords"]]

    async def audit_updated(self, scope: Scope, start: datetime, end: datetime) -> list[str]:
        """Ids created or changed between two aware times, by ``/updated`` (at most 30 days back).

        Raises:
            ProviderError: a call failed.
        """
        answer = await self._client.request(
            "GET",
            f"/sobjects/{scope.key}/updated/",
            params={"start": soql.moment(start), "end": soql.moment(end)},
        )
        return [str(each) for each in answer.body["ids"]]

    def usage(self) -> list[tuple[str, float, float]]:
        """API requests of the rolling 24 hours, as the last answer told; empty before the first."""
        daily = self._client.daily_usage
        return [("API calls per day", float(daily[0]), float(daily[1]))] if daily else []

    async def check(self, account: Account | None = None) -> list[Finding]:
        """Test access to the org."""
        return await findings(self._client, self._settings)

    async def close(self) -> None:
        """Close connections."""
        await self._client.close()

    async def _context(self, scope: Scope) -> Context:
        link = self._settings.link_url
        if not link:
            await self._client.log_in()
            link = self._client.instance_url
        return Context(self._settings.default_region, link.rstrip("/"), scope.activities)


_USERS = "SELECT Id, Name, Email, TimeZoneSidKey, IsActive{} FROM User WHERE IsActive = true ORDER BY Name"


def _object(scope: Scope) -> SObject:
    return with_activities(OBJECTS[scope.key], scope.activities)
