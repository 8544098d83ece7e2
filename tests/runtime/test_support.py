"""The support bundle: secrets are planted wherever a text can stand, and must be in no file of it."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pytest

from engine.ledger import history, mailboxes
from engine.model.states import FaultClass
from engine.runtime.redact import Redactor
from engine.service import LimitRow, Service
from tests.ledgers import begun
from tui.support import packed

CRM_SECRET = 'hunter2/"crm" Geheimnis'
MAIL_KEY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj"
ENV_SECRET = "p4ss-from-the-environment"
TOKENS = (
    "ya29.a0AfH6SMBx_planted-token",
    "00Dxx0000001gPL!AQcAQH0dMHZfz972Szmpkb58urFRkgeBGsxL_planted",
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJwbGFudGVkIn0.c2lnbmF0dXJl",
    "dGhpcyBpcyBhIGxvbmcgcmFuZG9tIHRva2VuIDEyMzQ1Njc4OTA",
)
CONTENT = "Contract with Blofeld about the volcano"

FILE = """
[connections.acme]
kind = "salesforce"
login_url = "http://127.0.0.1:9"
client_id = "app"
client_secret_file = "secret.txt"
[connections.workspace]
kind = "google"
credentials_file = "key.json"
[policies.Sales]
crm = "acme"
mailbox = "workspace"
[[users]]
email = "ann.berg@acme.example"
policy = "Sales"
[[users]]
email = "ünal@acme.example"
policy = "Sales"
"""


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    (tmp_path / "secret.txt").write_text(CRM_SECRET + "\n")
    pem = f"-----BEGIN PRIVATE KEY-----\n{MAIL_KEY}\nQq1x\n-----END PRIVATE KEY-----\n"
    (tmp_path / "key.json").write_text(
        json.dumps({"type": "service_account", "client_email": "sync@acme.example", "private_key": pem})
    )
    (tmp_path / "data").mkdir(mode=0o700)
    made = await Service.open(begun(tmp_path / "data"))
    try:
        answer = await made.apply(FILE, str(tmp_path / "acme.toml"), "test")
        assert answer.ok, answer.details
        yield made
    finally:
        await made.close()


def planted() -> list[str]:
    """Sentences with a secret each, in every way in which one may be written."""
    written = [CRM_SECRET, repr(CRM_SECRET), json.dumps(CRM_SECRET), quote(CRM_SECRET), MAIL_KEY, *TOKENS]
    written += [base64.b64encode(CRM_SECRET.encode()).decode(), CRM_SECRET.encode().hex()]
    told = [f"refused: {one} for ann.berg@acme.example" for one in written]
    told += [f"Authorization: Bearer {TOKENS[0]}", "https://root:t0ps3cret@crm.example/x?sid=s1d-v4lue&a=1"]
    told += ['{"client_secret": "un-kn0wn", "ok": 1}', "password=un-kn0wn rest", "proxy_password: 'un-kn0wn'"]
    return told


#: No part of these may be found.
ABSENT = (
    "hunter2", "Geheimnis", quote(CRM_SECRET), base64.b64encode(CRM_SECRET.encode()).decode(), CRM_SECRET.encode().hex(),
    MAIL_KEY, "planted", "eyJ", "dGhpcyBpcyBh", "t0ps3cret", "s1d-v4lue", "un-kn0wn", "PRIVATE KEY", CONTENT,
)  # fmt: skip


async def plant(service: Service, tmp_path: Path) -> None:
    told = "\n".join(planted())
    pem = (tmp_path / "key.json").read_text()
    log = f"2026-11-28 WARNING engine: {told}\n{pem}\ncontact '{CONTENT}' of ann.berg@acme.example\n"
    for name in ("syncline.log", "fault.log"):
        (tmp_path / "data" / name).write_text(log)
    store = service.store
    user = store.users["ann.berg@acme.example"]
    user.text = user.why = f"contact '{CONTENT}': {told}"
    user.fault_class = FaultClass.ITEM
    store.engine.message = store.engine.fault = told
    store.policies["Sales"].fault = store.policies["Sales"].notice = told
    store.limits["Google"] = LimitRow("Google", 1.0, 2.0, "a minute", told)
    next(iter(store.jobs.values())).next_why = told

    def write(connection: object) -> None:
        run = history.start_run(connection, "full:Sales", 1)  # type: ignore[arg-type]
        history.end_run(connection, run, "failed", 0, 1, told, 2)  # type: ignore[arg-type]
        mailbox = mailboxes.mailboxes(connection)[0]  # type: ignore[arg-type]
        history.add_lines(connection, [(mailbox.id, 1, "+", f"contact '{CONTENT}' from CRM", 1)])  # type: ignore[arg-type]

    await service._ledger.write(write)


@pytest.mark.parametrize("anonymise", [True, False])
async def test_no_secret_and_no_content_leaves_the_house(
    service: Service, tmp_path: Path, anonymise: bool
) -> None:
    await plant(service, tmp_path)
    files = await service.support(anonymise=anonymise)
    for name, text in files.items():
        # Without --anonymise the admin has chosen that what messages quote stays.
        absent = [one for one in ABSENT if anonymise or one != CONTENT]
        assert not [one for one in absent if one in text], name
    whole = "\n".join(files.values())
    assert ("ann.berg" in whole) is not anonymise
    assert ("acme.example" in whole) is not anonymise
    assert "[removed]" in files["syncline.log"]
    assert "full:Sales" in files["runs.json"]


async def test_it_has_what_who_helps_needs(service: Service, tmp_path: Path) -> None:
    files = await service.support()
    assert set(files) == {
        "about.json", "configuration.toml", "engine.json", "incidents.json", "ledger.json", "limits.json", "queue.json",
        "runs.json", "status.json",
    }  # fmt: skip
    ledger = json.loads(files["ledger.json"])
    assert ledger["integrity_check"] == ["ok"]
    assert ledger["rows"]["mailbox"] == 2
    assert ledger["schema_version"]
    assert json.loads(files["about.json"])["versions"]["textual"] == "8.2.8"
    assert "[policies.Sales]" in files["configuration.toml"]
    # One address is the same person in every file.
    queue = [row["mailbox"] for row in json.loads(files["queue.json"])]
    status = [row["email"] for row in json.loads(files["status.json"])["users"]]
    assert queue == status == ["user-1@domain-1.invalid", "user-2@domain-1.invalid"]
    with zipfile.ZipFile(BytesIO(packed(files))) as archive:
        assert len(archive.namelist()) == len(files)


def test_a_traceback_keeps_its_paths_and_a_sentence_its_words() -> None:
    redactor = Redactor((), anonymise=True)
    text = (
        'Traceback\n  File "/opt/venv/lib/python3.11/site-packages/sqlalchemy/engine/base.py", line 12, in x\n'
    )
    assert redactor.text(text, sentence=True) == text
    assert (
        redactor.text("the token was refused: ask for a new one (401)")
        == "the token was refused: ask for a new one (401)"
    )
    assert redactor.text("case 'O'Brien's \"best\" deal' from CRM", sentence=True) == "case '…' from CRM"
