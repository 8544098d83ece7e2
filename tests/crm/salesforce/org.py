"""An org with a connector to it, and the few things that tests do to both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.crm.salesforce import SalesforceConnector
from engine.model.modules import Module
from engine.model.port import Observation, Outcome, Scope, Write, WriteKind
from engine.sandbox.kit.faults import Fault, rules
from engine.sandbox.kit.world import World
from engine.sandbox.salesforce import dml, store
from engine.sandbox.salesforce.objects import OBJECTS
from tests.net.virtual import Memory


@dataclass
class Org:
    world: World
    url: str
    connector: SalesforceConnector
    memory: Memory

    def scope(self, module: Module) -> Scope:
        return self.connector.scopes([module])[0]

    def add(self, sobject: str, **row: Any) -> str:
        """What a person creates in Salesforce."""
        return dml.create(self.world, OBJECTS[sobject], row, self.ann)

    def edit(self, sobject: str, record_id: str, **changes: Any) -> None:
        """What a person changes in Salesforce."""
        dml.update(self.world, OBJECTS[sobject], record_id, changes, self.ann)

    def delete(self, sobject: str, record_id: str) -> None:
        """What a person deletes in Salesforce."""
        dml.delete(self.world, OBJECTS[sobject], record_id, self.ann)

    def row(self, sobject: str, record_id: str) -> dict[str, Any]:
        found = store.read(self.world, OBJECTS[sobject], record_id)
        assert found is not None
        return found

    @property
    def ann(self) -> str:
        return store.default_user(self.world)

    def fault(self, **rule: Any) -> None:
        rules(self.world).append(Fault(service="salesforce", **rule))

    def calls(self) -> int:
        """HTTP requests sent since the last time this was asked."""
        count = len(self.memory.calls)
        self.memory.calls.clear()
        return count

    async def read(self, module: Module, cursor: str | None = None) -> tuple[list[Observation], str]:
        """A whole feed and its next cursor."""
        observations: list[Observation] = []
        pages = [page async for page in self.connector.changes(self.scope(module), cursor)]
        assert all(page.cursor is None for page in pages[:-1])
        assert all(page.snapshot == (cursor is None) for page in pages)
        for page in pages:
            observations += page.observations
        assert pages[-1].cursor is not None
        return observations, pages[-1].cursor

    async def apply(self, *writes: Write) -> list[Outcome]:
        outcomes = await self.connector.apply(self.scope(writes[0].module), writes)
        assert len(outcomes) == len(writes)
        return outcomes


def create(module: Module, key: str, **fields: Any) -> Write:
    return Write(WriteKind.CREATE, module, key, fields=fields)


def update(seen: Observation, **patch: Any) -> Write:
    fields = {name: value for name, value in {**seen.fields, **patch}.items() if value is not None}
    return Write(
        WriteKind.UPDATE,
        seen.module,
        f"key-{seen.remote_id}",
        remote_id=seen.remote_id,
        fields=fields,
        patch=patch,
        etag=seen.etag,
        parent=seen.parent,
        occurrence=seen.occurrence,
    )


def delete(seen: Observation) -> Write:
    return Write(WriteKind.DELETE, seen.module, "key", remote_id=seen.remote_id, etag=seen.etag)
