// What the workload's view reckons before anything is drawn: pure functions, so that they can be tried alone.

import type { DecisionView, DemandBins, ForecastView, Mark, StepView, Timeline } from "../api";
import { count, epoch, isNothing, known } from "../format";

/** One tread of the staircase, in replicas. */
export interface Tread {
  stage: string;
  /** Where the stage began; 0 for the first, which has nothing to stand on. */
  from: number;
  to: number;
  /** What it changed; null for the first. */
  change: number | null;
  because: string;
}

export interface Stairs {
  /** The stages before replicas are spoken of: what demand is sized for. */
  demand: StepView[];
  treads: Tread[];
}

/** The steps of a decision as a staircase. */
export function stairs(steps: readonly StepView[]): Stairs {
  const treads: Tread[] = [];
  for (const step of steps) {
    if (step.unit !== "replicas") continue;
    const before = treads[treads.length - 1];
    const from = before ? before.to : 0;
    treads.push({
      stage: step.stage,
      from,
      to: step.value,
      change: before ? step.value - from : null,
      because: step.because,
    });
  }
  return { demand: steps.filter((step) => step.unit !== "replicas"), treads };
}

const STAGES: Record<string, string> = {
  demand: "Demand",
  capacity: "Capacity",
  backlog: "Queue",
  warm: "Warm floor",
  stabilize: "Hold",
  ceiling: "Ceiling",
  spot: "Spot margin",
  landing: "Landing",
};

/** A stage's name for people. */
export function stageName(stage: string): string {
  return STAGES[stage] ?? stage;
}

/** A long reason clause by clause: `; ` parts them, but not within brackets. */
export function clauses(because: string): string[] {
  const parts: string[] = [];
  let [depth, begun] = [0, 0];
  for (let i = 0; i < because.length; i += 1) {
    const letter = because[i];
    if (letter === "(") depth += 1;
    else if (letter === ")") depth = Math.max(0, depth - 1);
    else if (letter === ";" && because[i + 1] === " " && depth === 0) {
      parts.push(because.slice(begun, i + 2));
      begun = i + 2;
    }
  }
  return [...parts, because.slice(begun)];
}

/** `+2`, `−1`, or `no change`. */
export function changeText(change: number | null): string {
  if (change === null) return "start";
  if (change === 0) return "no change";
  return signed(change);
}

/** A number with its sign, the minus a real one; nothing has none. */
export function signed(value: number, text: (size: number) => string = count): string {
  if (isNothing(value)) return text(0);
  return `${value < 0 ? "−" : "+"}${text(Math.abs(value))}`;
}

export interface Span {
  since: number;
  until: number;
}

/** What the charts show: the range that ends now, or one around `at` if that is older. */
export function span(range_s: number, now: number, at: number | null): Span {
  if (at === null || at >= now - range_s) return { since: now - range_s, until: now };
  return { since: at - range_s / 2, until: Math.min(now, at + range_s / 2) };
}

const SLIDER_STEPS = 360;

/** The step of a time slider over so long [s]: whole ticks, and no more of them than a hand can tell apart. */
export function sliderStep(kept_s: number, tick_s: number): number {
  const tick = Math.max(1, tick_s);
  return Math.max(1, Math.ceil(kept_s / SLIDER_STEPS / tick)) * tick;
}

export interface Older {
  at: number[];
  demand: (number | null)[];
}

/** Demand before the first decision that is kept, from the bins of the history: means over whole steps [s]. */
export function before(bins: DemandBins, since: number, until: number, step_s: number): Older {
  const sums = new Map<number, [sum: number, known: number]>();
  bins.values.forEach((value, i) => {
    const at = Math.floor((bins.start + i * bins.step_s) / step_s) * step_s;
    if (at < since || at >= until) return;
    const [sum, of] = sums.get(at) ?? [0, 0];
    sums.set(at, known(value) ? [sum + value, of + 1] : [sum, of]);
  });
  const at = [...sums.keys()].sort((a, b) => a - b);
  const mean = ([sum, of]: [number, number]): number | null => (of ? sum / of : null);
  return { at, demand: at.map((each) => mean(sums.get(each) ?? [0, 0])) };
}

/** The row of `levels` nearest to a level, if it is close enough to bear its name. */
export function levelRow(levels: readonly number[], level: number): number | null {
  let best: number | null = null;
  levels.forEach((each, i) => {
    if (best === null || Math.abs(each - level) < Math.abs((levels[best] ?? 2) - level)) best = i;
  });
  return best !== null && Math.abs((levels[best] ?? 2) - level) < 0.006 ? best : null;
}

/** A column of a chart: null is a gap, undefined an instant of which this line does not speak. */
export type Sparse = (number | null | undefined)[];

export interface Joined {
  x: number[];
  /** Lays a column of the timeline. */
  past: (column: readonly (number | null)[]) => Sparse;
  /** Lays a row of the forecast. */
  ahead: (column: readonly (number | null)[] | null) => Sparse;
  /** Demand: of the timeline, and of the history before it. */
  demand: Sparse;
}

/** The instants of a timeline, of a forecast and of older history as one rising axis, and how to lay columns on it. */
export function join(timeline: Timeline | null, forecast: ForecastView | null, older: Older | null): Joined {
  const past = timeline?.at ?? [];
  const ahead = (forecast?.starts ?? []).map((start) => epoch(start) ?? 0);
  const x = [...new Set([...(older?.at ?? []), ...past, ...ahead])].sort((a, b) => a - b);
  const place = new Map(x.map((at, i) => [at, i]));
  const lay = (instants: readonly number[], column: readonly (number | null)[] | null, laid = empty(x.length)): Sparse => {
    instants.forEach((at, i) => {
      const index = place.get(at);
      if (index !== undefined && column) laid[index] = column[i] ?? null;
    });
    return laid;
  };
  return {
    x,
    past: (column) => lay(past, column),
    ahead: (column) => lay(ahead, column),
    demand: lay(past, timeline?.demand ?? null, lay(older?.at ?? [], older?.demand ?? null)),
  };
}

function empty(length: number): Sparse {
  return new Array<number | null | undefined>(length).fill(undefined);
}

/** The last value that is known, and where. */
export function last(column: readonly (number | null)[]): { value: number; index: number } | null {
  for (let i = column.length - 1; i >= 0; i -= 1) {
    const value = column[i];
    if (known(value)) return { value, index: i };
  }
  return null;
}

/** The last value of a timeline's column that is known at an instant; null is now, with which it ends. */
export function lastAt(timeline: Timeline, column: readonly (number | null)[], at: number | null): number | null {
  const steps = at === null ? column.length : timeline.at.filter((each) => each <= at).length;
  return last(column.slice(0, steps))?.value ?? null;
}

/** Lowest and highest of what is known; null if nothing is. */
export function extent(column: readonly (number | null | undefined)[]): [number, number] | null {
  const seen = column.filter(known);
  return seen.length ? [Math.min(...seen), Math.max(...seen)] : null;
}

/** The share of steps whose demand lay at or below what had been forecast; null if none can be judged. */
export function heldShare(timeline: Timeline): { share: number; of: number } | null {
  let held = 0;
  let of = 0;
  timeline.at.forEach((_, i) => {
    const demand = timeline.demand[i];
    const high = timeline.high[i];
    if (!known(demand) || !known(high)) return;
    of += 1;
    if (demand <= high) held += 1;
  });
  return of ? { share: held / of, of } : null;
}

/** Whether KEDA was told UNAVAILABLE at any time of a step of the timeline. */
function untold(timeline: Timeline, i: number): boolean {
  return timeline.marks[i]?.includes("unavailable") ?? false;
}

/** Of how many of the steps that are kept KEDA was told UNAVAILABLE at any time. */
export function untoldSteps(timeline: Timeline): { untold: number; of: number } {
  return {
    untold: timeline.at.filter((_, i) => untold(timeline, i)).length,
    of: timeline.at.filter((_, i) => timeline.health[i]).length,
  };
}

/** The stretches in which KEDA was told UNAVAILABLE, from the beginning of their first step to the end of their last. */
export function untoldSpans(timeline: Timeline): [from: number, to: number][] {
  const spans: [number, number][] = [];
  timeline.at.forEach((at, i) => {
    if (!untold(timeline, i)) return;
    const before = spans[spans.length - 1];
    if (before && before[1] === at) before[1] = at + timeline.step_s;
    else spans.push([at, at + timeline.step_s]);
  });
  return spans;
}

const MARKS: Record<Mark, string> = {
  demoted: "demoted",
  "budget-bound": "budget-bound",
  paused: "paused",
  unavailable: "KEDA told UNAVAILABLE",
  "at-ceiling": "at the ceiling",
  shadow: "shadow",
};

/** What held in a step of the timeline, in words; empty where nothing is kept, or all was well. */
export function heldWords(timeline: Timeline, i: number): string {
  const health = timeline.health[i];
  const marks = (timeline.marks[i] ?? []).map((mark) => MARKS[mark] ?? mark);
  return [health && health !== "ok" ? health : null, ...marks].filter(Boolean).join(", ");
}

/** Of decisions that go on one is kept so often at least [s], or each that is made. */
const KEPT_EVERY_S = 60;

/**
 * Whether a decision says nothing of an instant after it: it was valid no more by then, and had decisions gone on, a
 * later one were kept.
 */
export function hasLapsed(decision: Pick<DecisionView, "decided_at" | "valid_until">, at: number, tick_s: number): boolean {
  const [made, until] = [epoch(decision.decided_at), epoch(decision.valid_until)];
  return known(made) && known(until) && at > until && at - made > KEPT_EVERY_S + tick_s;
}

export interface Turn {
  /** The step of the timeline in which it came, epoch seconds. */
  at: number;
  /** What KEDA was told; null is UNAVAILABLE. */
  from: number | null;
  to: number | null;
}

/** Where what KEDA was told changed, newest first. */
export function turns(timeline: Timeline): Turn[] {
  const found: Turn[] = [];
  let before: number | null | undefined;
  timeline.at.forEach((at, i) => {
    const told = timeline.published[i] ?? null;
    if (told === null && !untold(timeline, i)) return; // nothing is kept of it
    if (before !== undefined && told !== before) found.push({ at, from: before, to: told });
    before = told;
  });
  return found.reverse();
}

/** Why a turn came: the words of the stage that moved it most. Decisions newest first; empty if it is not there. */
export function turnReason(turn: Turn, newestFirst: readonly DecisionView[]): string {
  for (let i = 0; i + 1 < newestFirst.length; i += 1) {
    const [after, before] = [newestFirst[i], newestFirst[i + 1]];
    if (after && before && after.published_replicas === turn.to && before.published_replicas !== turn.to)
      return mover(before, after);
  }
  return "";
}

/** The reason of the stage whose own change differs most between two decisions. */
function mover(before: DecisionView, after: DecisionView): string {
  const told = (decision: DecisionView) =>
    stairs(decision.policy.mode === "shadow" ? decision.reactive_steps : decision.steps).treads;
  const earlier = new Map(told(before).map((tread) => [tread.stage, tread.to - tread.from]));
  let best: Tread | null = null;
  let most = 0;
  for (const tread of told(after)) {
    const differs = Math.abs(tread.to - tread.from - (earlier.get(tread.stage) ?? 0));
    if (differs > most) [best, most] = [tread, differs];
  }
  return best?.because ?? "";
}

export interface Bin {
  from: number;
  to: number;
  count: number;
}

const MOST_BINS = 16;

/** Values in bins of the same width, about as many as their square root; one bin if all are the same. */
export function binned(values: readonly number[]): Bin[] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const many = high > low ? Math.min(MOST_BINS, Math.ceil(Math.sqrt(values.length))) : 1;
  const wide = (high - low) / many;
  const bins = Array.from({ length: many }, (_, i) => ({ from: low + i * wide, to: low + (i + 1) * wide, count: 0 }));
  for (const value of values) {
    const bin = bins[wide > 0 ? Math.min(many - 1, Math.floor((value - low) / wide)) : 0];
    if (bin) bin.count += 1;
  }
  return bins;
}
