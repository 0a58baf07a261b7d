// One workload as a row of the grid; on a phone the same cells form a card.

import type { Row, Spark } from "../api";
import { fill, h, setAttr, setText, uid } from "../dom";
import { ago, compact, count, duration, epoch, known, money, number, UNKNOWN } from "../format";
import { icon } from "../icons";
import { lookOf, stateBadge } from "../state";
import { drawSpark, type SparkView, sparkView } from "./sparks";
import { keyOf } from "./query";

/** States in which the newest demand is not the present one. */
const OLD: ReadonlySet<string> = new Set(["holding", "stale", "unavailable"]);

function isOld(row: Row): boolean {
  return OLD.has(row.state) && known(row.demand_age_s);
}

/** How old its demand is at an instant: an answer that stays the same is not sent again, and its ages stand still. */
export function oldText(row: Pick<Row, "demand_at" | "demand_age_s">, now: number | null): string {
  const at = epoch(row.demand_at);
  return `${duration(now === null || at === null ? row.demand_age_s : Math.max(0, now - at))} old`;
}

/** A row's elements, which show one workload after the other. */
export class RowView {
  readonly root: HTMLElement;
  readonly link = h("a", { class: "row-link", tabindex: -1 });
  key = "";
  private row: Row | null = null;
  private readonly state = h("span", { class: "row-state" });
  private readonly because = h("span", { class: "row-because", id: uid("because") });
  private readonly tags = h("span", { class: "row-tags" });
  private readonly fleet = new FleetCell();
  private readonly demand = h("span");
  private readonly old = h("span", { class: "second old" });
  private readonly peak = h("span");
  private readonly spark: SparkView = sparkView();
  private readonly saved = h("span");
  private readonly savedMore = h("span", { class: "second" });
  private readonly model = h("span");
  private readonly lead = h("span");
  private readonly age = h("span");

  constructor() {
    setAttr(this.link, "aria-describedby", this.because.id);
    this.root = h(
      "div",
      { role: "row", class: "row" },
      cell("state", this.state),
      cell("name", h("span", { class: "first" }, this.link, this.tags), this.because),
      cell("fleet", this.fleet.root),
      cell("demand num", this.demand),
      cell("peak num", this.peak),
      cell("spark", this.spark.root),
      cell("saved num", this.saved, this.savedMore),
      cell("model", this.model),
      cell("lead num", this.lead),
      cell("age num", this.age),
    );
  }

  /** The badge, where a hint is shown. */
  get badge(): HTMLElement {
    return this.state;
  }

  /** Why its state is what it is. */
  get reason(): string {
    return this.row?.state_because ?? "";
  }

  /** Shows a workload; the same row object again costs nothing. */
  show(row: Row, now: number | null): void {
    setText(this.age, row.demand_at === null ? UNKNOWN : now === null ? "" : ago(now - (epoch(row.demand_at) ?? now)));
    setText(this.old, oldText(row, now));
    if (row === this.row) return;
    this.row = row;
    this.key = keyOf(row);
    const look = lookOf(row.state);
    setAttr(this.root, "data-key", this.key);
    setAttr(this.root, "data-tone", look.tone);
    setAttr(this.link, "title", this.key);
    setAttr(this.link, "href", `/w/${encodeURIComponent(row.namespace)}/${encodeURIComponent(row.workload)}`);
    fill(this.link, h("span", { class: "row-namespace" }, `${row.namespace}/`), row.workload);
    fill(this.state, stateBadge(row.state));
    setText(this.because, row.state === "ok" ? (row.model ?? row.state_because) : row.state_because);
    fill(this.tags, row.mode === "shadow" && h("span", { class: "tag", title: "Recorded, not obeyed" }, "shadow"));
    this.fleet.show(row);
    fill(this.demand, known(row.demand) ? [quantity(row.demand), isOld(row) ? this.old : unit(row.unit)] : missing());
    fill(this.peak, known(row.expected_peak) ? [quantity(row.expected_peak), unit(row.unit)] : missing("no forecast"));
    this.showSaved(row);
    fill(this.model, row.model ?? missing("none"));
    setText(this.lead, duration(row.lead_time_s));
  }

  /** Shows its small chart. */
  showSpark(spark: Spark | null | undefined, ahead_s: number): void {
    drawSpark(this.spark, spark, ahead_s);
  }

  private showSaved(row: Row): void {
    const hours = row.saved_replica_hours;
    const isPriced = known(row.saved_money);
    const inHours = known(hours) ? number(hours) : null;
    fill(this.saved, h("b", null, isPriced ? money(row.saved_money, row.currency) : (inHours ?? missing())));
    setText(this.savedMore, inHours === null ? "" : isPriced ? `${inHours} replica-h` : "replica-h");
    setAttr(this.saved, "class", (row.saved_money ?? hours ?? 0) < 0 ? "spent" : null);
  }
}

/** Ready beside wanted, in figures and as a bar. */
class FleetCell {
  private readonly figures = h("span", { class: "first" });
  private readonly bar = h("i", { class: "meter-ready" });
  private readonly meter = h("span", { class: "meter", "aria-hidden": "true" }, this.bar);
  readonly root = h("span", { class: "fleet-cell" }, this.figures, this.meter);

  show(row: Row): void {
    const { ready_replicas: ready, target_replicas: target } = row;
    fill(
      this.figures,
      known(ready) ? [h("b", null, count(ready)), muted(` ready of ${count(target)}`)] : missing(`unknown of ${count(target)}`),
      row.at_ceiling && h("span", { class: "at-max", title: `At its maximum of ${row.max_replicas}` }, icon("ceiling"), "max"),
    );
    const most = Math.max(target, ready ?? 0, 1);
    this.bar.style.setProperty("width", `${known(ready) ? (100 * ready) / most : 0}%`);
    setAttr(this.meter, "data-short", known(ready) && ready < target);
    setAttr(this.meter, "data-unknown", !known(ready));
  }
}

function cell(name: string, ...children: Node[]): HTMLElement {
  return h("div", { role: "gridcell", class: `cell cell-${name}` }, children);
}

function quantity(value: number): HTMLElement {
  return h("b", { title: number(value, 6) }, Math.abs(value) >= 10_000 ? compact(value) : number(value));
}

function unit(name: string): HTMLElement {
  return h("span", { class: "second" }, name);
}

function muted(text: string): HTMLElement {
  return h("span", { class: "muted" }, text);
}

function missing(word = UNKNOWN): HTMLElement {
  return h("span", { class: "missing" }, word);
}

