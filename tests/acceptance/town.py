"""A sandbox in its own process with ordinary clients for both providers, and an engine beside it.

Everything that a test claims about a mailbox or the CRM is read back through the providers' own interfaces by
plain HTTP. Nothing of the engine's connectors is used for it.
"""

from __future__ import annotations

import json
import multiprocessing
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, fields
from datetime import date, timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from signal import SIGKILL
from typing import Any

import httpx
import jwt

from engine.mailbox.google.settings import Quotas
from engine.sandbox.kit import edit
from engine.service import Service
from tests.acceptance import sandbox_process
from tests.acceptance.forks import fork
from tests.acceptance.sandbox_process import PEOPLE, SENTENCE
from tests.ledgers import begun

SCOPES = " ".join(
    f"https://www.googleapis.com/auth/{name}" for name in ("contacts", "calendar", "tasks", "gmail.modify")
)

#: A small company: contacts, leads, appointments and so on of all users together.
SMALL: Mapping[str, int] = {
    "contacts": 40,
    "leads": 5,
    "appointments": 30,
    "calls": 5,
    "service_calls": 5,
    "tasks": 6,
    "opportunities": 6,
    "cases": 4,
}

#: All sandboxes live around the same day, so that a mailbox can be compared with that of another sandbox.
TODAY = date.today().isoformat()


def day(offset: int) -> str:
    """The date so many days from today."""
    return (date.fromisoformat(TODAY) + timedelta(days=offset)).isoformat()


#: What a mail system counts as a write.
WRITES = re.compile(
    r"\.(insert|update|patch|delete|create|createContact|updateContact|deleteContact|batchCreateContacts|"
    r"batchUpdateContacts|batchDeleteContacts|modify|batchModify|batchDelete|import|trash|send)$"
)

#: The engine's own limits on its calls, lifted where the sandbox has none either.
QUOTAS = tuple(f"quota_{each.name}" for each in fields(Quotas))

_PERSON_FIELDS = (
    "names,emailAddresses,phoneNumbers,addresses,organizations,birthdays,biographies,urls,memberships,clientData,"
    "metadata"
)


@dataclass
class Town:
    """A running sandbox.

    Attributes:
        ready: what its ready file says.
        ready_file: where that is.
        process: the sandbox.
        client: for the test's own calls.
        quota: whether quotas are enforced.
    """

    ready: dict[str, Any]
    ready_file: Path
    process: ForkServerProcess
    client: httpx.Client = field(
        # Loopback without TLS: to load the certificates of authorities takes as long as a sync of a small mailbox's items.
        default_factory=lambda: httpx.Client(
            timeout=30.0, trust_env=False, verify=False, headers={"User-Agent": PEOPLE}
        )
    )
    quota: bool = False
    _tokens: dict[str, str] = field(default_factory=dict)
    _crm_token: str = ""

    # -- people and configuration ----------------------------------------------------------------------

    @property
    def users(self) -> list[str]:
        """Mailbox addresses."""
        return [user["email"] for user in self.ready["users"]]

    def crm_user(self, email: str) -> str:
        """A user's id in the CRM."""
        return str(next(user["crm_user"] for user in self.ready["users"] if user["email"] == email))

    def config(
        self,
        *,
        users: Sequence[str] | None = None,
        policy: str = "",
        crm: Mapping[str, Any] | None = None,
        mail: Mapping[str, Any] | None = None,
        connection: str = "people_lag_seconds = 0",
    ) -> str:
        """The declarative file for this sandbox.

        Args:
            users: addresses; all of the sandbox when None.
            policy: further lines of the policy, below its head.
            crm: other settings of the CRM connection.
            mail: other settings of the mail connection.
            connection: further lines of the mail connection.
        """
        google, salesforce = self.ready["google"], self.ready["salesforce"]
        org = {
            "login_url": salesforce["base_url"],
            "client_id": salesforce["client_id"],
            "client_secret_file": salesforce["client_secret_file"],
            "link_url": "https://crm.example",
            **(crm or {}),
        }
        workspace = {"credentials_file": google["credentials_file"], "token_uri": google["token_uri"]}
        for api in ("calendar", "people", "tasks", "gmail"):
            workspace |= {f"{api}_url": google[f"{api}_url"], f"{api}_batch_url": google["batch_urls"][api]}
        workspace |= mail or {}
        lines = ["[connections.crm]", 'kind = "salesforce"', *_settings(org)]
        if not self.quota:
            workspace |= dict.fromkeys(QUOTAS, 1_000_000)
        lines += ["[connections.mail]", 'kind = "google"', *_settings(workspace), connection]
        lines += ["[policies.Demo]", 'crm = "crm"', 'mailbox = "mail"', policy]
        for email in self.users if users is None else users:
            lines += ["[[users]]", f'email = "{email}"', 'policy = "Demo"']
        return "\n".join(lines) + "\n"

    # -- the sandbox's control ---------------------------------------------------------------------------

    def control(self, method: str, name: str, body: Any = None) -> Any:
        """One call of the sandbox's control API."""
        answer = self.client.request(method, f"{self.ready['control_url']}/{name}", json=body)
        return answer.raise_for_status().json()

    def fault(self, *specs: Mapping[str, Any]) -> None:
        """Switch faults on."""
        self.control("POST", "faults", list(specs))

    def struck(self) -> dict[str, int]:
        """How often each fault struck, by kind and route."""
        return {f"{one['kind']} {one['route']}": one["hits"] for one in self.control("GET", "faults")}

    def mend(self) -> None:
        """Switch all faults off."""
        self.control("DELETE", "faults")

    def advance(self, seconds: float) -> None:
        """Move the sandbox's clock; tokens of this test's own clients are thrown away with it."""
        self.control("POST", "clock", {"advance_seconds": seconds})
        self._tokens.clear()
        self._crm_token = ""

    def stats(self) -> Counter[str]:
        """The sandbox's counters."""
        return Counter(self.control("GET", "stats")["counters"])

    def reset(self) -> None:
        """Zero the counters."""
        self.control("POST", "reset_stats")

    def writes(self) -> dict[str, int]:
        """Counters of writes since the last reset, at either provider."""
        return {name: count for name, count in self.stats().items() if is_write(name)}

    def edit(self, side: str, user: str, count: int = 1, seed: int = 1) -> list[dict[str, Any]]:
        """Edit contacts as a person would, by what stands behind the sandbox's own command."""
        return list(edit.run(side, self.ready_file, user, count, seed))

    def sentence(
        self, pid: int, calls: int, when: str, delay: float = 0.0, sign: int = SIGKILL, mark: str = ""
    ) -> None:
        """Have an engine killed at its so-many-th call that may write, see ``sandbox_process.Sentence``."""
        sentence = {"pid": pid, "calls": calls, "when": when, "delay": delay, "sign": sign, "mark": mark}
        self.client.post(self._court, json=sentence).raise_for_status()

    @property
    def _court(self) -> str:
        return str(self.ready["control_url"]).removesuffix("/_sandbox") + SENTENCE

    def pardon(self) -> None:
        """Take the sentence back."""
        self.client.post(self._court).raise_for_status()

    # -- Google as anybody speaks to it ----------------------------------------------------------------

    def google(self, user: str, method: str, path: str, **options: Any) -> Any:
        """One call for a mailbox; ``path`` is below the API's root."""
        base = self.ready["google"]["base_url"]
        headers = {"Authorization": f"Bearer {self._token(user)}", **options.pop("headers", {})}
        answer = self.client.request(method, f"{base}/{path}", headers=headers, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        return answer.json() if answer.content else None

    def _token(self, user: str) -> str:
        if user not in self._tokens:
            key = json.loads(Path(self.ready["google"]["credentials_file"]).read_text(encoding="utf-8"))
            now = int(time.time())  # the sandbox judges an assertion by the machine's clock
            claims = {"iss": key["client_email"], "sub": user, "scope": SCOPES, "iat": now, "exp": now + 3000}
            claims["aud"] = self.ready["google"]["token_uri"]
            kid = {"kid": key["private_key_id"]}
            assertion = jwt.encode(claims, key["private_key"], algorithm="RS256", headers=kid)
            form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
            answer = self.client.post(claims["aud"], data=form).raise_for_status()
            self._tokens[user] = answer.json()["access_token"]
        return self._tokens[user]

    def _all(self, user: str, path: str, items: str, **params: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self.google(user, "GET", path, params=params)
            found += page.get(items, [])
            if not page.get("nextPageToken"):
                return found
            params["pageToken"] = page["nextPageToken"]

    def contacts(self, user: str) -> list[dict[str, Any]]:
        """All contacts of a mailbox."""
        return self._all(
            user, "v1/people/me/connections", "connections", personFields=_PERSON_FIELDS, pageSize=1000
        )

    def contact(self, user: str, resource: str) -> dict[str, Any]:
        """One contact."""
        found: dict[str, Any] = self.google(
            user, "GET", f"v1/{resource}", params={"personFields": _PERSON_FIELDS}
        )
        return found

    def groups(self, user: str) -> dict[str, str]:
        """Contact groups of a mailbox: name to resource name."""
        found = self._all(user, "v1/contactGroups", "contactGroups", pageSize=200)
        return {group["name"]: group["resourceName"] for group in found}

    def events(self, user: str, **params: Any) -> list[dict[str, Any]]:
        """Events of the default calendar, series as masters with their changed occurrences."""
        return self._all(user, "calendar/v3/calendars/primary/events", "items", maxResults=2500, **params)

    def tasks(self, user: str) -> list[dict[str, Any]]:
        """Tasks of all lists."""
        found: list[dict[str, Any]] = []
        for one in self._all(user, "tasks/v1/users/@me/lists", "items", maxResults=100):
            path = f"tasks/v1/lists/{one['id']}/tasks"
            found += [
                {**task, "list": one["id"]}
                for task in self._all(
                    user, path, "items", maxResults=100, showCompleted="true", showHidden="true"
                )
            ]
        return found

    def labels(self, user: str) -> dict[str, str]:
        """Labels that people made or we made: id to name."""
        found = self.google(user, "GET", "gmail/v1/users/me/labels")["labels"]
        return {one["id"]: one["name"] for one in found if one["type"] == "user"}

    def mails(self, user: str) -> list[dict[str, Any]]:
        """Mails with their label ids and headers."""
        found = []
        for one in self._all(user, "gmail/v1/users/me/messages", "messages", maxResults=500):
            mail = self.google(
                user, "GET", f"gmail/v1/users/me/messages/{one['id']}", params={"format": "metadata"}
            )
            heads = {head["name"].lower(): head["value"] for head in mail["payload"]["headers"]}
            found.append({"id": one["id"], "labels": mail.get("labelIds", []), **heads})
        return found

    # -- Salesforce as anybody speaks to it --------------------------------------------------------------

    def crm(self, method: str, path: str, **options: Any) -> Any:
        """One call of the CRM's REST API; ``path`` is below the versioned root."""
        service = self.ready["salesforce"]
        if not self._crm_token:
            form = {
                "grant_type": "client_credentials",
                "client_id": service["client_id"],
                "client_secret": Path(service["client_secret_file"]).read_text(encoding="ascii"),
            }
            answer = self.client.post(service["token_url"], data=form).raise_for_status()
            self._crm_token = answer.json()["access_token"]
        url = path if path.startswith("/") else f"/services/data/v{service['api_version']}/{path}"
        headers = {"Authorization": f"Bearer {self._crm_token}"}
        answer = self.client.request(method, service["base_url"] + url, headers=headers, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        return answer.json() if answer.content else None

    def change(self, sobject: str, record: str, **fields: Any) -> None:
        """Edit a record of the CRM."""
        self.crm("PATCH", f"sobjects/{sobject}/{record}", json=fields)

    def remove(self, sobject: str, record: str) -> None:
        """Delete a record of the CRM."""
        self.crm("DELETE", f"sobjects/{sobject}/{record}")

    def soql(self, question: str) -> list[dict[str, Any]]:
        """All rows of a query."""
        page = self.crm("GET", "query", params={"q": question})
        rows: list[dict[str, Any]] = page["records"]
        while not page["done"]:
            page = self.crm("GET", page["nextRecordsUrl"])
            rows += page["records"]
        return rows


def _settings(values: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {json.dumps(value)}" for name, value in values.items()]


def is_write(counter: str) -> bool:
    """Whether a counter of the sandbox counts something that changes data."""
    if counter.startswith("google."):
        return bool(WRITES.search(counter)) and not counter.endswith("batch")
    verb = counter.removeprefix("salesforce.").partition(" ")[0]
    return verb in {"PATCH", "DELETE", "PUT"} or counter.startswith("salesforce.POST")


@contextmanager
def town(
    folder: Path,
    *,
    users: int = 2,
    sizes: Mapping[str, int] = SMALL,
    options: Sequence[str] = (),
    quota: bool = False,
) -> Iterator[Town]:
    """A new sandbox in ``folder``, ended when the test ends."""
    folder.mkdir(parents=True, exist_ok=True)
    ready_file, errors = folder / "ready.json", folder / "sandbox.errors"
    words = ["--ready-file", str(ready_file), "--data-dir", str(folder / "sandbox"), "--exit-with-parent"]
    words += ["--today", TODAY, "--users", str(users), *options, "--quota", "real" if quota else "off"]
    for name, count in sizes.items():
        words += [f"--{name.replace('_', '-')}", str(count)]
    reading, writing = multiprocessing.Pipe(duplex=False)
    process = fork(sandbox_process.serve, words, writing, errors)
    writing.close()
    try:
        with open(reading.fileno(), encoding="utf-8", closefd=False) as out:
            line = out.readline()  # printed once connections are accepted
        assert line, f"the sandbox did not start: {errors.read_text(encoding='utf-8')}"
        place = Town(json.loads(line), ready_file, process, quota=quota)
        try:
            yield place
        finally:
            place.client.close()
    finally:
        reading.close()
        process.terminate()
        process.join(timeout=20)
        assert process.exitcode == 0, process.exitcode
    assert errors.read_text(encoding="utf-8") == ""


@asynccontextmanager
async def engine(folder: Path, config: str | None, **options: Any) -> AsyncIterator[Service]:
    """A running engine on its own data directory, with a configuration applied unless it is None."""
    service = await Service.open(begun(folder / "data"), **options)
    try:
        if config is not None:
            answer = await service.apply(config, "demo.toml", "test")
            assert answer.ok, answer
        async with service.running():
            yield service
    finally:
        await service.close()


# -- what a mailbox looks like, without any id ---------------------------------------------------------------


def portrait(place: Town, user: str) -> Counter[str]:
    """Everything that a person sees in a mailbox, without ids and time stamps: equal portraits, equal mailboxes."""
    found: Counter[str] = Counter()
    names = {resource: name for name, resource in place.groups(user).items()}
    for person in place.contacts(user):
        seen = {
            key: person.get(key) for key in ("emailAddresses", "phoneNumbers", "organizations", "biographies")
        }
        seen["names"] = [name.get("displayName") for name in person.get("names", [])]
        seen["groups"] = sorted(names.get(one, one) for one in memberships(person))
        seen["ours"] = bool(person.get("clientData"))
        found["contact " + _text(seen)] += 1
    for event in place.events(user):
        keys = (
            "summary",
            "description",
            "location",
            "start",
            "end",
            "recurrence",
            "originalStartTime",
            "status",
        )
        seen = {key: event.get(key) for key in (*keys, "colorId", "visibility", "transparency")}
        seen["guests"] = sorted(guest["email"] for guest in event.get("attendees", []))
        found["event " + _text(seen)] += 1
    for task in place.tasks(user):
        found["task " + _text({key: task.get(key) for key in ("title", "due", "status")})] += 1
    labels = place.labels(user)
    for name in labels.values():
        found["label " + name] += 1
    for mail in place.mails(user):
        shown = sorted(labels[one] for one in mail["labels"] if one in labels)
        found["mail " + _text({"subject": mail.get("subject"), "labels": shown})] += 1
    return found


def everything(place: Town, user: str) -> dict[str, str]:
    """Contacts and events of a mailbox by id, byte for byte as the provider answers them."""
    found = {person["resourceName"]: json.dumps(person, sort_keys=True) for person in place.contacts(user)}
    return found | {event["id"]: json.dumps(event, sort_keys=True) for event in place.events(user)}


def marks(place: Town, user: str) -> Counter[str]:
    """How often each mark of ours stands on an item of a mailbox; twice is a duplicate."""
    found: Counter[str] = Counter()
    for person in place.contacts(user):
        found.update(entry["value"] for entry in person.get("clientData", []) if entry["key"] == "syncline_key")
    for event in place.events(user):
        if "recurringEventId" not in event:
            private = event.get("extendedProperties", {}).get("private", {})
            found.update(value for name, value in private.items() if name == "syncline_key")
    for task in place.tasks(user):
        found.update(re.findall(r"\[CRM:([^\]\n]+)\]", task.get("notes") or ""))
    labels = place.labels(user)
    for mail in place.mails(user):
        for one in mail["labels"]:
            if labels.get(one, "").startswith("CRM/"):
                found[f"mail below {labels[one]}"] += 1
    return found


def memberships(person: Mapping[str, Any]) -> list[str]:
    """Contact groups that a contact is in."""
    return [
        one["contactGroupMembership"]["contactGroupResourceName"]
        for one in person.get("memberships", [])
        if "contactGroupMembership" in one
    ]


def _text(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """The value without the metadata, which name ids."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if name != "metadata"}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def assert_like(place: Town, portraits: Mapping[str, Counter[str]]) -> None:
    """The mailboxes look exactly as they do in ``portraits``."""
    for user, wanted in portraits.items():
        found = portrait(place, user)
        assert {"missing": wanted - found, "too many": found - wanted} == {
            "missing": Counter(),
            "too many": Counter(),
        }, user


def assert_no_doubles(place: Town) -> None:
    """Each mark once in each mailbox, and each key once in the CRM."""
    for user in place.users:
        twice = {mark: count for mark, count in marks(place, user).items() if count > 1}
        assert not twice, f"{user}: {twice}"
    for name in ("Contact", "Lead", "Event", "Task", "Opportunity", "Case"):
        rows = place.soql(f"SELECT Id, Syncline_Key__c FROM {name} WHERE Syncline_Key__c != null")
        keys = Counter(row["Syncline_Key__c"] for row in rows)
        assert not [key for key, count in keys.items() if count > 1]


async def assert_all_green(service: Service) -> None:
    """Verification finds everything where it should be."""
    rows = await service.verify()
    assert rows
    assert [row for row in rows if not row.ok] == []


def assert_idle(report: Mapping[str, Any]) -> None:
    """All mailboxes ended their cycle well."""
    assert {
        user["email"]: f"{user['state']}: {user['text']}"
        for user in report["users"]
        if user["state"] != "idle" or user["text"]
    } == {}


def committed(service: Service) -> list[str]:
    """From now on, the names of the units of work that the engine commits."""
    names: list[str] = []
    ledger: Any = service._ledger
    write = ledger.write

    async def noted(unit: Any, *arguments: Any, **options: Any) -> Any:
        names.append(unit.__name__)
        return await write(unit, *arguments, **options)

    ledger.write = noted
    return names
