// The arithmetic of one workload's view.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { DecisionView, ForecastView, StepView, Timeline } from "../src/api";
import * as format from "../src/format";
import type { Pools } from "../src/workload/answers";
import { stateOf } from "../src/workload/head";
import {
  before,
  binned,
  changeText,
  clauses,
  heldShare,
  join,
  lastAt,
  levelRow,
  signed,
  sliderStep,
  span,
  stairs,
  turnReason,
  turns,
} from "../src/workload/model";
import { neededText } from "../src/workload/replicas";

function step(stage: string, value: number, unit = "replicas"): StepView {
  return { stage, value, unit, because: `because of ${stage}` };
}

function timeline(of: Partial<Timeline>): Timeline {
  return { at: [], demand: [], high: [], published: [], health: [], marks: [], ...of } as unknown as Timeline;
}

function decision(published: number, steps: StepView[]): DecisionView {
  const policy = { mode: "live" };
  return { published_replicas: published, steps, reactive_steps: [], policy } as unknown as DecisionView;
}

test("a staircase begins on the ground, and each tread stands on the one before", () => {
  const { demand, treads } = stairs([
    step("demand", 9000, "tokens/s"),
    step("capacity", 8),
    step("backlog", 10),
    step("ceiling", 9),
  ]);
  assert.deepEqual(demand.map((each) => each.stage), ["demand"]);
  assert.deepEqual(treads.map((each) => [each.from, each.to, each.change]), [[0, 8, null], [8, 10, 2], [10, 9, -1]]);
  assert.deepEqual(treads.map((each) => changeText(each.change)), ["start", "+2", "−1"]);
});

test("a great change reads like the numbers beside it", () => {
  assert.equal(changeText(-9_871_543), "−9,871,543");
});

test("a reason is parted clause by clause, and not within brackets", () => {
  const because = "5 needed (1 here; 4 there); 2 at risk (a; (b; c)); none held";
  assert.deepEqual(clauses(because), ["5 needed (1 here; 4 there); ", "2 at risk (a; (b; c)); ", "none held"]);
  for (const odd of ["", "a;b", "a); b", "(a; b", "; "]) assert.equal(clauses(odd).join(""), odd);
});

test("the last value is that of the instant that is looked at", () => {
  const kept = timeline({ at: [0, 60, 120, 180], ready: [3, 4, null, 8] });
  assert.equal(lastAt(kept, kept.ready, null), 8);
  assert.equal(lastAt(kept, kept.ready, 179), 4);
  assert.equal(lastAt(kept, kept.ready, 0), 3);
  assert.equal(lastAt(kept, kept.ready, -1), null);
});

test("of the past the worst is told that its decision knows of", () => {
  const of = (more: Partial<DecisionView>) =>
    stateOf({ decision: { available: true, health: "ok", budget_bound: null, ...more } as DecisionView, row: null }).state;
  assert.equal(of({}), "ok");
  assert.equal(of({ budget_bound: "4 of 9" }), "budget-bound");
  assert.equal(of({ budget_bound: "4 of 9", health: "reactive" }), "budget-bound");
  assert.equal(of({ budget_bound: "4 of 9", health: "stale" }), "stale");
  assert.equal(of({ budget_bound: "4 of 9", available: false }), "unavailable");
  assert.equal(of({ budget_bound: undefined }), "ok"); // an archive of before it was kept
});

test("pools tell what is wanted in all beside the need, also on mixed nodes", () => {
  const step = (stage: string, value: number) => ({ stage, value, because: "" });
  const pools = [1, 6].map((wanted_replicas) => ({ wanted_replicas }) as Pools["pools"][number]);
  const of = (more: Partial<Pools>) => neededText({ seen: true, need: 5, pools: [], zones: [], steps: [], ...more });
  assert.equal(of({ pools, steps: [step("margin", 6), step("hold", 1)] }), "must serve; 7 wanted in all");
  assert.equal(of({ steps: [step("margin", 8), step("hold", 8)] }), "must serve; 8 wanted in all");
  assert.equal(of({ steps: [step("hold", 5)] }), "must serve");
  assert.equal(of({}), "must serve");
});

test("the charts end now, unless what is looked at is older than their range", () => {
  assert.deepEqual(span(3600, 10_000, null), { since: 6400, until: 10_000 });
  assert.deepEqual(span(3600, 10_000, 6400), { since: 6400, until: 10_000 });
  assert.deepEqual(span(3600, 10_000, 5000), { since: 3200, until: 6800 });
});

test("the slider moves by whole ticks, and by no more steps than a hand can tell apart", () => {
  assert.equal(sliderStep(3600, 15), 15);
  assert.equal(sliderStep(600, 15), 15);
  for (const kept of [3600, 21_600, 86_400, 604_800]) {
    const found = sliderStep(kept, 15);
    assert.equal(found % 15, 0);
    assert.ok(kept / found <= 360);
  }
  assert.ok(sliderStep(0, 15) > 0);
});

test("a level bears a row's name only if it is that level", () => {
  assert.equal(levelRow([0.05, 0.5, 0.95], 0.95), 2);
  assert.equal(levelRow([0.05, 0.5, 0.95], 0.9), null);
  assert.equal(levelRow([], 0.5), null);
});

test("a gap stays a gap on the common axis, and what a line does not speak of is none", () => {
  const starts = ["1970-01-01T00:02:00Z", "1970-01-01T00:02:30Z"];
  const forecast = { starts } as ForecastView;
  const joined = join(timeline({ at: [60, 120], demand: [1, null] }), forecast, { at: [0], demand: [7] });
  assert.deepEqual(joined.x, [0, 60, 120, 150]);
  assert.deepEqual(joined.demand, [7, 1, null, undefined]);
  assert.deepEqual(joined.past([5, 6]), [undefined, 5, 6, undefined]);
  assert.deepEqual(joined.ahead([8, 9]), [undefined, undefined, 8, 9]);
});

test("older demand is the mean of what is known, and unknown where nothing is", () => {
  const bins = { unit: "", step_s: 60, start: 0, values: [2, 4, null, null, 6, null, 9] };
  assert.deepEqual(before(bins, 0, 360, 120), { at: [0, 120, 240], demand: [3, null, 6] });
  assert.deepEqual(before(bins, 120, 240, 120), { at: [120], demand: [null] });
});

test("steps of which demand or forecast is unknown are not judged", () => {
  const told = timeline({ at: [0, 1, 2, 3], demand: [1, null, 5, 2], high: [2, 2, 4, null] });
  assert.deepEqual(heldShare(told), { share: 0.5, of: 2 });
  assert.equal(heldShare(timeline({ at: [0], demand: [null], high: [1] })), null);
});

test("turns are told newest first, and a gap is no turn", () => {
  const told = timeline({ at: [0, 60, 120, 180, 240], published: [3, 3, null, 5, 4] });
  assert.deepEqual(turns(told), [
    { at: 240, from: 5, to: 4 },
    { at: 180, from: 3, to: 5 },
  ]);
});

test("the reason of a turn is that of the stage which moved it most", () => {
  const after = decision(9, [step("capacity", 5), step("backlog", 9)]);
  const earlier = decision(4, [step("capacity", 4), step("backlog", 4)]);
  assert.equal(turnReason({ at: 0, from: 4, to: 9 }, [after, after, earlier]), "because of backlog");
  assert.equal(turnReason({ at: 0, from: 4, to: 7 }, [after, earlier]), "");
});

test("less than ten cents never reads as nothing", () => {
  assert.equal(format.money(0.0014, "EUR"), "€0.0014");
  assert.equal(format.money(0, "EUR"), "€0.00");
});

test("every start is in one bin, and bins lie side by side", () => {
  const values = [60, 61, 75, 90, 200, 240, 240];
  const bins = binned(values);
  assert.equal(bins.reduce((sum, bin) => sum + bin.count, 0), values.length);
  assert.equal(bins[0]?.from, 60);
  assert.equal(bins[bins.length - 1]?.to, 240);
  bins.slice(1).forEach((bin, i) => assert.equal(bin.from, bins[i]?.to));
  assert.deepEqual(binned([5, 5]), [{ from: 5, to: 5, count: 2 }]);
});

test("what sums of fractions leave reads as nothing, and a cent does not", () => {
  assert.equal(format.money(-1.1e-16, "EUR"), "€0.00");
  assert.equal(signed(-1.1e-16, (size) => format.money(size, "EUR")), "€0.00");
  assert.equal(signed(0), "0");
  assert.equal(signed(-0.01, (size) => format.money(size, "EUR")), "−€0.01");
});
