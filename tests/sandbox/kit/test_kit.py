"""The sandbox's own tools: loopback server, faults, control API."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from engine.sandbox.kit.control import control_mount
from engine.sandbox.kit.faults import Faults, parse
from engine.sandbox.kit.serve import serving
from engine.sandbox.kit.world import World, open_world


def make_app(world: World, seen: list[str]) -> Starlette:
    async def hello(request: Request) -> JSONResponse:
        seen.append((await request.body()).decode())
        return JSONResponse({"hello": "x" * 500})

    return Starlette(
        routes=[control_mount(world), Route("/hello", hello, methods=["GET", "POST"])],
        middleware=[Middleware(Faults, world=world, service="google")],
    )


async def test_faults_of_every_kind() -> None:
    world = open_world(None)
    seen: list[str] = []
    async with serving(make_app(world, seen)) as url, httpx.AsyncClient(base_url=url) as client:

        async def arm(**rule: object) -> None:
            answer = await client.post("/_sandbox/faults", json=[rule])
            assert answer.status_code == 200, answer.text

        assert (await client.post("/hello", content=b"1")).status_code == 200
        await arm(
            service="google",
            route="^/hello$",
            verb="POST",
            kind="status",
            status=503,
            headers={"Retry-After": "3"},
        )
        refused = await client.post("/hello", content=b"2")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "3")
        assert refused.json()["error"]["code"] == 503
        await arm(route="hello", kind="lost_request")
        with pytest.raises(httpx.TransportError):
            await client.post("/hello", content=b"3")
        assert seen == ["1"]
        await arm(route="hello", kind="lost_reply")
        with pytest.raises(httpx.TransportError):
            await client.post("/hello", content=b"4")
        assert seen == ["1", "4"]
        await arm(route="hello", kind="truncate")
        with pytest.raises(httpx.TransportError):
            await client.post("/hello", content=b"5")
        await arm(route="hello", kind="latency", seconds=0.2)
        slow = await client.post("/hello", content=b"6")
        assert slow.elapsed.total_seconds() >= 0.2
        assert (await client.post("/hello", content=b"7")).status_code == 200
        assert seen == ["1", "4", "5", "6", "7"]
        assert all(rule["times"] == 0 for rule in (await client.get("/_sandbox/faults")).json())
        assert (await client.delete("/_sandbox/faults")).json() == []


async def test_other_service_and_verb_are_left_alone() -> None:
    world = open_world(None)
    async with serving(make_app(world, [])) as url, httpx.AsyncClient(base_url=url) as client:
        await client.post(
            "/_sandbox/faults",
            json=[{"service": "salesforce", "times": None}, {"verb": "PATCH", "times": None}],
        )
        assert (await client.get("/hello")).status_code == 200


async def test_clock_and_counters() -> None:
    world = open_world(None)
    async with serving(make_app(world, [])) as url, httpx.AsyncClient(base_url=url) as client:
        before = world.clock.now_ms()
        assert (await client.post("/_sandbox/clock", json={"advance_seconds": 3600})).status_code == 200
        assert world.clock.now_ms() >= before + 3_600_000
        assert (await client.post("/_sandbox/clock", json={"advance_seconds": "x"})).status_code == 400
        world.counters["google.mails"] += 2
        assert (await client.get("/_sandbox/stats")).json()["counters"] == {"google.mails": 2}
        await client.post("/_sandbox/reset_stats")
        assert world.counters["google.mails"] == 0


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"kind": "explode"}, "explode"),
        ({"colour": 1}, "colour"),
        ({"route": "("}, "regular expression"),
        ({"status": 99}, "status 99"),
        ({"probability": 2}, "probability 2"),
        ([], "object"),
    ],
)
def test_a_bad_rule_is_named(spec: object, named: str) -> None:
    with pytest.raises(ValueError, match=None) as caught:
        parse(spec)
    assert named in str(caught.value)
