"""The control API of a sandbox server (``/_sandbox/...``): faults, clock and counters, for tests and for the demo."""

from __future__ import annotations

import json
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from engine.sandbox.kit import faults
from engine.sandbox.kit.world import World


def control_mount(world: World) -> Mount:
    """The routes below ``/_sandbox``, to be put first among an app's routes.

    ``GET|POST|DELETE faults`` list, add (one rule or a list) and clear fault rules; ``POST clock``
    ``{"advance_seconds": n}`` moves the clock forward; ``GET stats`` shows the counters; ``POST reset_stats`` zeroes them.
    Bad input is answered 400 with ``{"error": text}``.
    """

    async def list_faults(request: Request) -> JSONResponse:
        return JSONResponse([fault.as_json() for fault in faults.rules(world)])

    async def add_faults(request: Request) -> JSONResponse:
        try:
            specs = await request.json()
            added = [faults.parse(spec) for spec in (specs if isinstance(specs, list) else [specs])]
        except (ValueError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        faults.rules(world).extend(added)
        return JSONResponse([fault.as_json() for fault in faults.rules(world)])

    async def clear_faults(request: Request) -> JSONResponse:
        faults.rules(world).clear()
        return JSONResponse([])

    async def move_clock(request: Request) -> JSONResponse:
        try:
            body: Any = await request.json()
            seconds = body["advance_seconds"]
        except (json.JSONDecodeError, KeyError, TypeError):
            seconds = None
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
            return JSONResponse({"error": "advance_seconds must be a number of at least 0"}, 400)
        world.clock.offset_ms += round(seconds * 1000)
        return JSONResponse({"now_ms": world.clock.now_ms(), "offset_ms": world.clock.offset_ms})

    async def stats(request: Request) -> JSONResponse:
        return JSONResponse({"now_ms": world.clock.now_ms(), "counters": dict(sorted(world.counters.items()))})

    async def reset_stats(request: Request) -> JSONResponse:
        world.counters.clear()
        return JSONResponse({"counters": {}})

    routes = [
        Route("/faults", list_faults, methods=["GET"]),
        Route("/faults", add_faults, methods=["POST"]),
        Route("/faults", clear_faults, methods=["DELETE"]),
        Route("/clock", move_clock, methods=["POST"]),
        Route("/stats", stats, methods=["GET"]),
        Route("/reset_stats", reset_stats, methods=["POST"]),
    ]
    return Mount("/_sandbox", app=Starlette(routes=routes))
