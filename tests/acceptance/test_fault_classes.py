"""Faults of real servers by their class, over sockets: who comes back by himself and when, and who waits for a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.service import Service, UserState
from tests.acceptance.town import engine, town
from tests.clocks import AheadClock, HastyClock

ALONE = dict.fromkeys(("leads", "calls", "service_calls", "tasks", "opportunities", "cases"), 0) | {
    "contacts": 3,
    "appointments": 3,
}


class Clock(AheadClock, HastyClock):
    """Ahead and hasty."""


def google(status: int, reason: str, **more: Any) -> dict[str, Any]:
    """Every reading of contacts is answered like this, without end."""
    error = {"code": status, "message": reason, "status": reason, "errors": [{"reason": reason}]}
    return {
        "service": "google",
        "route": r"connections\.list$",
        "status": status,
        "body": {"error": error},
        "times": None,
        **more,
    }


async def test_each_fault_has_its_class_and_its_way_back(tmp_path: Path) -> None:
    clock = Clock()
    with town(tmp_path, users=1, sizes=ALONE) as place:
        user = place.users[0]
        async with engine(tmp_path, place.config(policy="enabled = true"), clock=clock) as service:
            await service.sync("Demo", "admin")
            row, retries = service.store.users[user], service._office.runner.retries

            async def under(*faults: dict[str, Any]) -> None:
                place.fault(*faults)
                await service.sync("Demo", "admin")

            # One API is closed to us: a fault of a module. The calendar goes on, and a person is needed.
            event = place.crm(
                "POST",
                "sobjects/Event",
                json={
                    "Subject": "Goes on",
                    "StartDateTime": "2026-12-01T09:00:00Z",
                    "DurationInMinutes": 30,
                    "OwnerId": place.crm_user(user),
                },
            )
            await under(google(403, "PERMISSION_DENIED"))
            assert (row.state, row.fault_class, row.until_ms) == (UserState.FAILED, "module", None)
            assert user not in retries
            assert event["id"] in str(place.events(user))
            assert "No repeat mends that" in _why(service, user)[-1]
            assert any(
                line.text.startswith("module fault: contacts+leads: ") for line in service.store.lines[user]
            )

            # Out of reach, and it says for how long: a fault of the connection, back when the provider wants.
            place.mend()
            await under(google(503, "UNAVAILABLE", headers={"Retry-After": "777"}))
            assert (row.state, row.fault_class) == (UserState.FAILED, "connection")
            assert row.until_ms is not None
            assert 760_000 < row.until_ms - clock.now_ms() <= 777_000

            # Out of reach without a word: half a minute, doubled.
            place.mend()
            await under(google(503, "UNAVAILABLE"))
            assert row.until_ms is not None
            assert 30_000 < row.until_ms - clock.now_ms() <= 480_000

            place.mend()
            await service.sync("Demo", "admin")
            assert (row.state, row.fault_class, row.until_ms) == (UserState.IDLE, None, None)
            status = await service.status()
            assert status["users"][0]["fault_class"] is None

            # The CRM refuses who we are: all of the policy waits for a person.
            place.advance(7200)  # its session has ended
            place.fault(
                {
                    "service": "salesforce",
                    "route": "oauth2/token",
                    "status": 400,
                    "body": {"error": "invalid_client", "error_description": "invalid client credentials"},
                    "times": None,
                }
            )
            await service.sync("Demo", "admin")
            policy = service.store.policies["Demo"]
            assert (policy.fault_class, policy.next_full_ms) == ("connection", None)
            assert _why(service, "full:Demo")[0].startswith("All of Demo waits for a person: ")
            assert service.store.jobs["full:Demo"].next_run_ms is None


def _why(service: Service, target: str) -> tuple[str, ...]:
    found = service.why(target)
    assert found is not None
    return found.why
