"""Days in shadow on a real service: what the gate says of them, and the switch as KEDA meets it."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keda_client import ScaledObject, keda
from shadow_scene import NAMESPACE, TICK_S, Shadows, days, shadows, surging

pytestmark = pytest.mark.e2e

CLI = Path(sys.executable).parent / "predictscale"
NOT_YET = 3
DAY_S = 86_400.0


async def run(*arguments: object, wants: int) -> str:
    """A command as a user gives it, while the service goes on."""
    environment = {**os.environ, "NO_COLOR": "1", "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "200"}
    done = await asyncio.to_thread(
        subprocess.run,
        [str(CLI), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=180,
    )
    assert done.returncode == wants, done.stdout + done.stderr
    return done.stdout


async def promote(scene: Shadows, name: str, *more: object, wants: int) -> Any:
    told = await run(
        "promote", f"{NAMESPACE}/{name}", "--days", 3, "--json", "--url", scene.url, *more, wants=wants
    )
    return json.loads(told)


def standings(answer: Any) -> dict[str, str]:
    return {each["what"]: each["standing"] for each in answer["reasons"]}


async def told(scene: Shadows, name: str) -> float:
    """The number KEDA is told now, over gRPC."""
    asked = ScaledObject(
        name=name, namespace=NAMESPACE, metadata={"scalerAddress": "predictscale:6000", "workload": name}
    )
    async with keda(scene.grpc) as client:
        (sample,) = await client.poll(asked)
        return sample.value


def decided(scene: Shadows, name: str) -> Any:
    return next(decision for decision in scene.service.store if decision.workload.name == name)


async def test_a_trial_is_judged_by_its_days_and_the_switch_changes_what_keda_is_told(tmp_path: Path) -> None:
    demand = {"calm": days(noise=0.02), "surge": surging()}
    async with shadows(tmp_path, demand) as scene:
        await scene.live(3600)
        early = await promote(scene, "calm", wants=NOT_YET)
        assert early["promote"] is False
        assert standings(early)["days in shadow"] == "fail"
        assert await told(scene, "calm") == decided(scene, "calm").reactive.published

        await scene.live(3 * DAY_S)
        answer = await promote(scene, "calm", wants=0)
        assert answer["promote"] is True, standings(answer)
        assert {name for name, standing in standings(answer).items() if standing != "pass"} == {"lead time"}
        # Lived through again, by the simulator.
        assert "late in replay" in standings(answer)
        assert answer["ours"]["late_share"] < 0.01 < answer["now"]["late_share"]

        off = await promote(scene, "surge", "--apply", "--token-file", scene.tokens, wants=NOT_YET)
        assert standings(off)["coverage"] == "fail"

        # On a rise the forecast asks for more than is here.
        await scene.live(6 * 3600)
        shadow = decided(scene, "calm")
        assert shadow.plan.published > shadow.reactive.published
        assert await told(scene, "calm") == shadow.reactive.published
        await promote(scene, "calm", "--apply", "--token-file", scene.tokens, wants=0)
        await scene.live(600)
        live = decided(scene, "calm")
        assert live.policy.mode == "live"
        assert await told(scene, "calm") == live.plan.published > live.reactive.published
        assert any(note.startswith("mode live by ann: promoted by the gate") for note in live.notes)
        assert (await promote(scene, "calm", wants=0))["mode"] == "live"
        # What the gate did not pass stays where it was.
        assert decided(scene, "surge").policy.mode == "shadow"


async def test_what_was_recorded_outlives_a_restart_where_there_is_a_cache(tmp_path: Path) -> None:
    cache, demand = tmp_path / "cache.db", {"calm": days(noise=0.02)}
    async with shadows(tmp_path, demand, cache=cache) as scene:
        await scene.live(2 * 3600)
        before = await promote(scene, "calm", wants=NOT_YET)
        stopped = scene.clock.now()
    async with shadows(tmp_path, demand, cache=cache, at=stopped + timedelta(seconds=TICK_S)) as scene:
        await scene.live(1200)
        after = await promote(scene, "calm", wants=NOT_YET)
    assert after["since"] == before["since"]
    assert after["known_s"] >= before["known_s"]
    assert not any("cache.path" in note for note in after["notes"])
