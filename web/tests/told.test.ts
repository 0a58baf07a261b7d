// What the page says where KEDA was told no number, and where nobody knows what it was told.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { DecisionView, Timeline } from "../src/api";
import { stateOf } from "../src/workload/head";
import { hasLapsed, heldWords, turnReason, turns, untoldSpans, untoldSteps } from "../src/workload/model";

/** Told 12, then UNAVAILABLE for two minutes, then a minute of which nothing is kept, then told 12, then 7. */
const NIGHT = {
  step_s: 60,
  at: [0, 60, 120, 180, 240, 300],
  published: [12, null, null, null, 12, 7],
  health: ["ok", "stale", "stale", null, "ok", "reactive"],
  marks: [[], ["unavailable"], ["unavailable"], null, ["paused", "at-ceiling"], []],
} as unknown as Timeline;

test("being told UNAVAILABLE is a turn, and so is a number after it; what was not kept is none", () => {
  assert.deepEqual(turns(NIGHT), [
    { at: 300, from: 12, to: 7 },
    { at: 240, from: null, to: 12 },
    { at: 60, from: 12, to: null },
  ]);
});

test("a turn to UNAVAILABLE has the reason of the first decision that told nothing", () => {
  const made = (published: number | null, value: number): DecisionView =>
    ({
      published_replicas: published,
      policy: { mode: "live" },
      steps: [{ stage: "stabilize", value, unit: "replicas", because: `held ${value}` }],
    }) as unknown as DecisionView;
  const newestFirst = [made(null, 1), made(null, 2), made(12, 12)];
  // The first stage stands on nothing: what it holds is its own change.
  assert.equal(turnReason({ at: 60, from: 12, to: null }, newestFirst), "held 2");
});

test("stretches without a number are told apart by what was told, and not by what was kept", () => {
  assert.deepEqual(untoldSpans(NIGHT), [[60, 180]]);
  assert.deepEqual(untoldSteps(NIGHT), { untold: 2, of: 5 });
  const apart = { ...NIGHT, marks: [["unavailable"], [], ["unavailable"], null, [], ["unavailable"]] } as Timeline;
  assert.deepEqual(untoldSpans(apart), [[0, 60], [120, 180], [300, 360]]);
});

test("a step says what held in it, and nothing where all was well or nothing is kept", () => {
  assert.deepEqual(
    NIGHT.at.map((_, i) => heldWords(NIGHT, i)),
    ["", "stale, KEDA told UNAVAILABLE", "stale, KEDA told UNAVAILABLE", "", "paused, at the ceiling", "reactive"],
  );
});

test("a decision says nothing of an instant at which it was valid no more, unless it goes on unkept", () => {
  const noon = { decided_at: "1970-01-01T12:00:00Z", valid_until: "1970-01-01T12:10:00Z" };
  const at = (second: number): boolean => hasLapsed(noon, 12 * 3600 + second, 15);
  assert.deepEqual([0, 75, 600, 601].map(at), [false, false, false, true]);
  // Valid for half a minute: one a minute is kept, those between said the same.
  const brief = { ...noon, valid_until: "1970-01-01T12:00:30Z" };
  assert.deepEqual([31, 75, 76].map((second) => hasLapsed(brief, 12 * 3600 + second, 15)), [false, false, true]);
  // A service that decides every half hour keeps each.
  assert.equal(hasLapsed(brief, 12 * 3600 + 1800, 1800), false);
});

test("a past decision's own state is told; where an earlier version kept none, what is known of it", () => {
  const decision = { state: "paused", state_because: "a person has asked", health: "ok", available: true } as unknown as DecisionView;
  assert.deepEqual(stateOf({ decision, row: null }), { state: "paused", because: "a person has asked" });
  const { state: _, ...before } = decision;
  assert.equal(stateOf({ decision: before as DecisionView, row: null }).state, "ok");
  assert.equal(stateOf({ decision: { ...before, available: false } as DecisionView, row: null }).state, "unavailable");
});
