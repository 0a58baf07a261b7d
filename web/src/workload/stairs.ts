// Why this many: the staircase of the decision, drawn and told. The picture repeats the list, so screen readers
// are given the list alone.

import type { DecisionView, StepView } from "../api";
import { type Child, fill, h } from "../dom";
import { compact, count, known, number, UNKNOWN } from "../format";
import { icon } from "../icons";
import { changeText, clauses, signed, stageName, stairs, type Stairs, type Tread } from "./model";

/** The section; `show` fills it again. */
export function whySection(): { root: HTMLElement; show(decision: DecisionView): void } {
  const title = h("h2", { id: "why" }, "Why this many");
  const body = h("div", { class: "wl-why-body" });
  const root = h("section", { class: "card wl-why", "aria-labelledby": "why" }, title, body);
  let drawn = "";
  return {
    root,
    show(decision) {
      const look = JSON.stringify([decision.mode, decision.available, decision.demand === null, decision.steps, decision.reactive_steps]);
      if (look === drawn) return; // what is read or focused stays
      drawn = look;
      title.textContent = known(decision.published_replicas) ? `Why ${count(decision.published_replicas)}` : "Why no number";
      const open = body.querySelector("details")?.open ?? false;
      fill(body, decision.mode === "shadow" ? shadowed(decision) : live(decision, open));
    },
  };
}

function live(decision: DecisionView, open: boolean): Child[] {
  const without = stairs(decision.reactive_steps);
  return [
    staircase(decision, decision.steps, without),
    h(
      "details",
      { class: "wl-more", open },
      h("summary", null, `Without a forecast it would be ${count(decision.reactive_replicas)}`),
      staircase(decision, decision.reactive_steps, null),
    ),
  ];
}

function shadowed(decision: DecisionView): Child[] {
  return [
    h("h3", null, "What KEDA is told: no forecast is used"),
    staircase(decision, decision.reactive_steps, null),
    h("h3", null, "With the forecast, which is only recorded"),
    staircase(decision, decision.steps, stairs(decision.reactive_steps)),
  ];
}

function staircase(decision: DecisionView, steps: readonly StepView[], other: Stairs | null): HTMLElement {
  const { demand, treads } = stairs(steps);
  const others = new Map(other?.treads.map((tread) => [tread.stage, tread.to]));
  const top = Math.max(1, ...treads.map((tread) => tread.to), ...others.values());
  const columns = treads.map((tread) => column(tread, top, others.get(tread.stage)));
  const rows = [...demand.map((step) => demandRow(step, known(decision.demand))), ...treads.map(row)];
  rows.slice(demand.length).forEach((each, i) => link(each, columns[i]));
  return h(
    "div",
    { class: "wl-stairs" },
    h(
      "div",
      { class: "wl-picture", "aria-hidden": "true" },
      h("div", { class: "wl-columns", style: { "--columns": String(Math.max(1, columns.length)) } }, columns),
      other && h("p", { class: "wl-key" }, h("i", { class: "wl-key-line" }), "without a forecast"),
    ),
    h("ol", { class: "wl-steps" }, rows),
  );
}

/** One column of the picture: the ground it stands on, what it adds or cuts, and its number. */
function column(tread: Tread, top: number, other: number | undefined): HTMLElement {
  const { from, to } = tread;
  const scale = (value: number): string => `${((value / top) * 100).toFixed(2)}%`;
  const kind = tread.change === null ? "start" : to > from ? "up" : to < from ? "down" : "level";
  return h(
    "div",
    { class: `wl-column wl-${kind}${tread.stage === "landing" ? " wl-last" : ""}` },
    h(
      "div",
      { class: "wl-shaft" },
      h("i", { class: "wl-ground", style: { height: scale(Math.min(from === 0 ? to : from, to)) } }),
      h("i", {
        class: "wl-riser",
        style: { bottom: scale(Math.min(from, to)), height: scale(Math.abs(to - from)) },
      }),
      h("i", { class: "wl-tread", style: { bottom: scale(to) } }),
      other !== undefined && h("i", { class: "wl-other", style: { bottom: scale(other) } }),
      h(
        "b",
        { class: "wl-value", style: { bottom: scale(Math.max(from, to)) } },
        tread.change ? signed(tread.change, brief) : null,
        tread.change ? h("small", null, brief(to)) : brief(to),
      ),
    ),
    h("span", { class: "wl-stage" }, stageName(tread.stage)),
  );
}

/** A column is as wide as five letters on a phone; the list beside it tells the whole number. */
const MOST_IN_A_COLUMN = 10_000;

function brief(value: number): string {
  return value < MOST_IN_A_COLUMN ? count(value) : compact(value, 2);
}

function demandRow(step: StepView, isKnown: boolean): HTMLElement {
  return h(
    "li",
    { class: "wl-step wl-step-demand" },
    h("span", { class: "wl-step-name" }, stageName(step.stage)),
    h("span", { class: "wl-step-value" }, isKnown ? number(step.value, 4) : UNKNOWN, h("small", null, ` ${step.unit}`)),
    h("span", { class: "wl-step-because" }, reason(step.because)),
  );
}

function row(tread: Tread): HTMLElement {
  const { change } = tread;
  const tone = change === null || change === 0 ? "none" : change > 0 ? "up" : "down";
  return h(
    "li",
    { class: "wl-step" },
    h("span", { class: "wl-step-name" }, stageName(tread.stage)),
    h("span", { class: "wl-step-value" }, count(tread.to), h("span", { class: "sr-only" }, " replicas")),
    h(
      "span",
      { class: `wl-change wl-change-${tone}` },
      tone === "none" ? null : icon(tone === "up" ? "up" : "down"),
      changeText(change),
    ),
    h("span", { class: "wl-step-because" }, reason(tread.because)),
  );
}

/** A reason longer than this is read clause by clause [characters]. */
const LONG_REASON = 160;

function reason(because: string): Child {
  if (because.length <= LONG_REASON) return because;
  return clauses(because).map((clause) => h("span", { class: "wl-clause" }, clause));
}

/** Pointing at a row shows its column, and the other way round. */
function link(one: HTMLElement, other: HTMLElement | undefined): void {
  if (!other) return;
  for (const each of [one, other]) {
    each.addEventListener("pointerenter", () => [one, other].forEach((e) => e.classList.add("wl-hot")));
    each.addEventListener("pointerleave", () => [one, other].forEach((e) => e.classList.remove("wl-hot")));
  }
}
