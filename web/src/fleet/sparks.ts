// Small charts of the last hour and what is foreseen, brought for the rows in sight alone, many in one question.

import type { Api, Spark, Sparks } from "../api";
import { fill, setAttr, setText, svg } from "../dom";
import { amount, known, number, percent } from "../format";

const MOST_AT_ONCE = 100;
const WIDTH = 200;
const HEIGHT = 40;
const PAST_S = 3600;
const LEAST_AHEAD_S = 600;
const MOST_AHEAD_S = 3600;
/** Of the highest value: what the height of a small chart spans at least. */
const LEAST_SPAN = 0.25;

/** Keeps sparks until decisions are published, and brings those that are looked at. */
export class SparkKeeper {
  private readonly kept = new Map<string, { spark: Spark | null; generation: number }>();
  private generation = 0;
  private busy = false;
  /** How far ahead every small chart reaches [s]: one scale for all rows. */
  ahead_s = LEAST_AHEAD_S;

  constructor(
    private readonly api: Api,
    private readonly signal: AbortSignal,
    private readonly wanted: () => string[],
    private readonly changed: () => void,
  ) {}

  /** What is kept of a workload: undefined if it was not asked for, null if there is none. */
  of(key: string): Spark | null | undefined {
    return this.kept.get(key)?.spark;
  }

  /** Decisions were published: what is in sight is asked for again. */
  expire(generation: number): void {
    this.generation = generation;
    void this.bring();
  }

  /** Brings what is in sight and not kept. Ends when nothing is missing. */
  async bring(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    try {
      for (let missing = this.missing(); missing.length && !this.signal.aborted; missing = this.missing())
        await this.ask(missing.slice(0, MOST_AT_ONCE));
    } catch {
      // The banner tells of lost connections; the next tick asks again.
    }
    this.busy = false;
  }

  private missing(): string[] {
    return this.wanted().filter((key) => this.kept.get(key)?.generation !== this.generation);
  }

  private async ask(keys: string[]): Promise<void> {
    const generation = this.generation;
    const query = new URLSearchParams(keys.map((key) => ["w", key]));
    const { sparks } = await this.api.get<Sparks>(`/api/v1/sparks?${query}`, this.signal);
    for (const key of keys) {
      const spark = sparks[key] ?? null;
      this.kept.set(key, { spark, generation });
      if (spark) this.ahead_s = Math.min(MOST_AHEAD_S, Math.max(this.ahead_s, reach(spark)));
    }
    this.changed();
  }
}

/** How far ahead a spark reaches [s]. */
function reach(spark: Spark): number {
  return (spark.median?.length ?? 0) * (spark.ahead_step_s ?? 0);
}

/** The parts of a small chart; `drawSpark` fills them. */
export interface SparkView {
  root: SVGElement;
  band: SVGElement;
  median: SVGElement;
  line: SVGElement;
  now: SVGElement;
  words: SVGElement;
}

export function sparkView(): SparkView {
  const words = svg("title");
  const band = svg("path", { class: "spark-band" });
  const median = svg("path", { class: "spark-median" });
  const line = svg("path", { class: "spark-line" });
  const now = svg("path", { class: "spark-now" });
  const box = { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" };
  const root = svg("svg", box);
  fill(root, words, now, band, median, line);
  return { root, band, median, line, now, words };
}

/** Draws a spark, or nothing while there is none. */
export function drawSpark(view: SparkView, spark: Spark | null | undefined, ahead_s: number): void {
  const shapes = spark ? paths(spark, ahead_s) : { line: "", median: "", band: "", now: "" };
  for (const part of ["line", "median", "band", "now"] as const) setAttr(view[part], "d", shapes[part]);
  setText(view.words, spark ? told(spark) : spark === null ? "Nothing is known of its demand" : "Loading");
}

/**
 * The SVG paths of a spark: x in time over the last hour and `ahead_s`; y over its values, but over no less than a
 * quarter of the highest, so that a calm hour looks calm.
 */
export function paths(spark: Spark, ahead_s: number): Record<"line" | "median" | "band" | "now", string> {
  const values = [spark.demand, spark.median ?? [], spark.high ?? []].flat().filter(known);
  const top = Math.max(...values, 0) || 1;
  const span = Math.max(top - Math.min(...values, top), LEAST_SPAN * top);
  const bottom = Math.max(0, top - span);
  const x = (at: number) => round((WIDTH * (at - spark.start)) / (PAST_S + ahead_s));
  const y = (value: number) => round(HEIGHT - 3 - ((HEIGHT - 6) * (value - bottom)) / (top - bottom));
  const end = spark.start + spark.step_s * spark.demand.length;
  const here = round(x(Math.min(end, spark.start + PAST_S)));
  const line = trace(spark.demand, (i) => x(spark.start + spark.step_s * (i + 0.5)), y);
  const step = spark.ahead_step_s ?? 0;
  const from = spark.ahead_start;
  if (from === null || !step) return { line, median: "", band: "", now: `M${here} 0V${HEIGHT}` };
  const later = (i: number) => x(from + step * (i + 0.5));
  const most = Math.max(0, Math.floor((spark.start + PAST_S + ahead_s - from) / step));
  const median = (spark.median ?? []).slice(0, most);
  const high = (spark.high ?? []).slice(0, most);
  return { line, median: trace(median, later, y), band: area(high, median, later, y), now: `M${here} 0V${HEIGHT}` };
}

function trace(values: readonly (number | null)[], x: (i: number) => number, y: (value: number) => number): string {
  let path = "";
  let isDrawing = false;
  values.forEach((value, i) => {
    if (known(value)) path += `${isDrawing ? "L" : "M"}${x(i)} ${y(value)}`;
    isDrawing = known(value);
  });
  return path;
}

function area(
  upper: readonly (number | null)[],
  lower: readonly (number | null)[],
  x: (i: number) => number,
  y: (value: number) => number,
): string {
  const both = upper.map((_, i) => i).filter((i) => known(upper[i]) && known(lower[i]));
  if (both.length < 2) return "";
  const over = both.map((i) => `${x(i)} ${y(upper[i] as number)}`);
  const under = both.reverse().map((i) => `${x(i)} ${y(lower[i] as number)}`);
  return `M${[...over, ...under].join("L")}Z`;
}

function told(spark: Spark): string {
  const past = spark.demand.filter(known);
  const high = (spark.high ?? []).filter(known);
  const was = past.length
    ? `Last hour ${number(Math.min(...past))} to ${amount(Math.max(...past), spark.unit)}`
    : "Nothing known of the last hour";
  return high.length
    ? `${was}; with ${percent(spark.level, 1)} certainty at most ${amount(Math.max(...high), spark.unit)} ahead`
    : `${was}; no forecast`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
