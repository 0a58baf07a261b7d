// Demand and replicas over time: two charts with one cursor. The demand chart shows what had been forecast about
// a lead time earlier, what then came, and what is forecast now (or was, at an instant of the past).

import type { DecisionView, ForecastView, Timeline } from "../api";
import { type ChartSpec, chart, type Line, type Mark } from "../chart";
import { h, setText } from "../dom";
import { amount, clock, count, duration, known, number, percent, plural } from "../format";
import {
  extent,
  heldShare,
  heldWords,
  join,
  type Joined,
  lastAt,
  levelRow,
  type Older,
  type Sparse,
  untoldSpans,
  untoldSteps,
} from "./model";

export interface ChartData {
  timeline: Timeline | null;
  /** Demand before the first decision that is kept. */
  older: Older | null;
  forecast: ForecastView | null;
  decision: DecisionView | null;
  /** The service's present, epoch seconds. */
  now: number;
  /** The instant that is looked at; null for now. */
  at: number | null;
  /** The time that is shown, before the forecast. */
  since: number;
  until: number;
}

const SYNC = "workload";
/** Of fewer steps a share says little. */
const LEAST_JUDGED = 60;

/** Both charts; `show` draws other data. */
export function timeCharts(): { root: HTMLElement; show(data: ChartData): void; destroy(): void } {
  const nothing: ChartData = { timeline: null, older: null, forecast: null, decision: null, now: 0, at: null, since: 0, until: 1 };
  const specs = [demandSpec, replicaSpec];
  const charts = specs.map((spec) => chart(spec(nothing)));
  // The charts tell their summaries to screen readers themselves.
  const words = specs.map(() => h("p", { class: "muted small", "aria-hidden": "true" }));
  const parts = charts.map((each, i) => [h("h3", null, i ? "Replicas" : "Demand"), words[i], each.root]);
  return {
    root: h("div", { class: "wl-charts" }, parts),
    show(data) {
      specs.forEach((spec, i) => {
        const made = spec(data);
        charts[i]?.update(made);
        if (words[i]) setText(words[i], made.summary);
      });
    },
    destroy: () => charts.forEach((each) => each.destroy()),
  };
}

function marks({ now, at }: ChartData): Mark[] {
  const present = { at: now, label: "now" };
  return at === null ? [present] : [{ at, label: clock(at), color: "--accent" }, present];
}

function extentOf({ since, until }: ChartData, { x }: Joined): [number, number] {
  return [since, Math.max(until, x[x.length - 1] ?? 0)];
}

function demandSpec(data: ChartData): ChartSpec {
  const { timeline, forecast, older } = data;
  const joined = join(timeline, forecast, older);
  const policy = timeline?.level ?? data.decision?.policy.quantile ?? null;
  const ahead = fan(forecast, joined);
  // One fan at each instant: where the forecast of that time is shown, earlier ones make way for it.
  const told = (column: readonly (number | null)[] | undefined): Sparse =>
    joined.past(column ?? []).map((value, i) => (known(ahead.median[i]) ? undefined : value));
  const merge = (past: Sparse, next: Sparse): Sparse => past.map((value, i) => (known(next[i]) ? next[i] : value));
  const [p99, p95, p90, median] = [
    merge(told(timeline?.p99), ahead.p99),
    merge(told(timeline?.p95), ahead.p95),
    merge(told(timeline?.p90), ahead.p90),
    merge(told(timeline?.median), ahead.median),
  ];
  const lines: Line[] = [
    edge("0.99", p99),
    edge("0.95", p95),
    edge("0.9", p90),
    line("forecast median", median, "--c-forecast", { dash: [5, 4], width: 1.25 }),
    line("demand", joined.demand, "--c-demand", { width: 2 }),
  ];
  return {
    title: "Demand",
    summary: demandSummary(data, policy),
    unit: timeline?.unit ?? forecast?.unit ?? "",
    x: joined.x,
    lines,
    bands: [
      { upper: 2, lower: 3, color: "--c-band-1", label: "to 0.9" },
      { upper: 1, lower: 2, color: "--c-band-2", label: "to 0.95" },
      { upper: 0, lower: 1, color: "--c-band-3", label: "to 0.99" },
    ],
    marks: marks(data),
    height: 300,
    sync: SYNC,
    xRange: extentOf(data, joined),
    format: demandText,
  };
}

function replicaSpec(data: ChartData): ChartSpec {
  const { timeline, forecast, older } = data;
  // The same instants as above, so that one cursor fits both.
  const joined = join(timeline, forecast, older);
  const column = (values: readonly (number | null)[] | undefined): Sparse => joined.past(values ?? []);
  return {
    title: "Replicas",
    summary: replicaSummary(data),
    unit: "replicas",
    x: joined.x,
    lines: [
      // The ground is what serves; where lines lie on each other the dashes of one show the other.
      line("ready", column(timeline?.ready), "--c-ready", { stepped: true, width: 1.5, fill: "--c-ready-soft" }),
      line("plain HPA", column(timeline?.plain), "--c-plain", { stepped: true, dash: [2, 3], width: 1.5 }),
      line("published", column(timeline?.published), "--c-published", { stepped: true, width: 2.25 }),
      line("wanted", column(timeline?.target), "--c-target", { stepped: true, dash: [7, 7], width: 2.25 }),
      line("without a forecast", column(timeline?.reactive), "--c-reactive", { stepped: true, dash: [4, 6], width: 2 }),
    ],
    marks: marks(data),
    shade: { label: "KEDA told UNAVAILABLE", color: "--c-untold", spans: timeline ? untoldSpans(timeline) : [] },
    words: wordsAt(timeline, joined),
    height: 220,
    whole: true,
    sync: SYNC,
    xRange: extentOf(data, joined),
    format: count,
  };
}

/** What held at each instant of the chart. */
function wordsAt(timeline: Timeline | null, { x }: Joined): string[] {
  const held = new Map(timeline?.at.map((at, i) => [at, heldWords(timeline, i)]));
  return x.map((at) => held.get(at) ?? "");
}

function demandText(value: number): string {
  return number(value, 4);
}

/** The forecast ahead, by level; a level that it does not tell stays empty. */
function fan(forecast: ForecastView | null, joined: Joined): Record<"median" | "p90" | "p95" | "p99", Sparse> {
  const row = (level: number): Sparse => {
    const index = forecast ? levelRow(forecast.levels, level) : null;
    return joined.ahead(index === null ? null : (forecast?.values[index] ?? null));
  };
  return { median: row(0.5), p90: row(0.9), p95: row(0.95), p99: row(0.99) };
}

function line(label: string, values: Sparse, color: string, more: Partial<Line>): Line {
  // The chart draws over `undefined` and breaks at `null`.
  return { label, values: values as (number | null)[], color, ...more };
}

function edge(label: string, values: Sparse): Line {
  return line(label, values, "--c-forecast", { edge: true });
}

function demandSummary(data: ChartData, policy: number | null): string {
  const { timeline, forecast, older } = data;
  if (!timeline) return "The history is being read.";
  const seen = extent([...(older?.demand ?? []), ...timeline.demand]);
  if (!seen) return "Nothing is known of demand in this time.";
  const latest = lastAt(timeline, timeline.demand, data.at);
  const held = heldShare(timeline);
  const parts = [
    `Between ${number(seen[0])} and ${amount(seen[1], timeline.unit)}`,
    known(latest) && `, ${data.at === null ? "last" : "then"} ${amount(latest, timeline.unit)}`,
    ".",
    held && held.of >= LEAST_JUDGED && policy !== null &&
      ` ${percent(held.share, 1)} of ${count(held.of)} steps lay at or below what had been forecast at level ${policy}.`,
  ];
  const row = forecast && policy !== null ? levelRow(forecast.levels, policy) : null;
  const ahead = row === null ? null : extent(forecast?.values[row] ?? []);
  if (forecast && ahead)
    parts.push(` ${forecast.model} ${data.at === null ? "expects" : "expected"} up to ${amount(ahead[1], forecast.unit)} at level ${policy} within ${duration(
      forecast.step_s * forecast.starts.length,
    )}.`);
  return parts.filter(Boolean).join("");
}

function replicaSummary({ timeline, at }: ChartData): string {
  if (!timeline) return "The history is being read.";
  const told = extent(timeline.published);
  const { untold, of } = untoldSteps(timeline);
  const ready = lastAt(timeline, timeline.ready, at);
  const reactive = lastAt(timeline, timeline.reactive, at);
  const [are, be] = at === null ? ["are", "be"] : ["were", "have been"];
  if (!of) return "No decision is kept of this time.";
  return [
    told ? `KEDA was told between ${count(told[0])} and ${count(told[1])}` : "KEDA was told no number",
    untold > 0 && `; UNAVAILABLE in ${count(untold)} of ${plural(of, "step")}`,
    known(ready) && `; ${count(ready)} ${are} ready${at === null ? "" : " then"}`,
    known(reactive) && `; without a forecast it would ${be} ${count(reactive)}`,
    ".",
  ]
    .filter(Boolean)
    .join("");
}
