// The head of the view: what KEDA is told, in what state, and the few numbers that stand beside it.

import type { DecisionView, Row, State } from "../api";
import { type Child, fill, h } from "../dom";
import { clock, count, duration, epoch, instant, known, number, percent, plural } from "../format";
import { icon } from "../icons";
import { rank, stateBadge } from "../state";

/** The meaning of a health, for decisions of which an earlier version of the service kept no state. */
const HEALTHS: Record<string, string> = {
  ok: "Demand was fresh and a forecast reached the lead time.",
  reactive: "Demand was fresh; no forecast could be used.",
  holding: "Demand was not fresh: the last good target held.",
  stale: "Demand had been missing for longer than is held.",
  unknown: "Demand had never been seen.",
};

/** What the head is made from. */
export interface HeadData {
  decision: DecisionView;
  /** The newest row, which knows the state; null for a decision of the past. */
  row: Row | null;
  /** The service's present, epoch seconds; null for a decision of the past. */
  now: number | null;
  /** The instant that is looked at, if a decision of the past says nothing of it: it was valid no more. */
  lapsedAt: number | null;
}

/** The head; `show` fills it again, `clear` leaves the name alone. */
export function head(namespace: string, name: string, orders: HTMLElement): { root: HTMLElement; show(data: HeadData): void; clear(): void } {
  const state = h("div", { class: "wl-state" });
  const told = h("div", { class: "wl-told" });
  const facts = h("dl", { class: "wl-facts" });
  const notes = h("div", { class: "wl-notes" });
  const numbers = h("div", { class: "wl-numbers" }, told, facts);
  const root = h(
    "header",
    { class: "wl-head" },
    h("nav", { "aria-label": "Back" }, h("a", { class: "wl-back", href: "/", rel: "up" }, icon("back"), "Fleet")),
    h("h1", { class: `wl-name${namespace.length + name.length > LONG_NAME ? " wl-name-long" : ""}` }, h("span", { class: "muted" }, `${namespace}/`), name),
    state,
    orders,
    numbers,
    notes,
  );
  numbers.hidden = true;
  let shown = "";
  return {
    root,
    show(data) {
      const look = JSON.stringify([data.decision, data.row, data.lapsedAt, ageOf(data)]);
      if (look === shown) return; // what is selected stays
      shown = look;
      numbers.hidden = false;
      fill(state, stateLine(data));
      fill(told, toldParts(data));
      fill(facts, factList(data));
      const open = notes.querySelector("details")?.open ?? false;
      fill(notes, noteList(data.decision.notes));
      notes.querySelector("details")?.toggleAttribute("open", open);
    },
    clear() {
      shown = "";
      numbers.hidden = true;
      for (const each of [state, notes]) fill(each);
    },
  };
}

/** The state of a decision and why, in words. */
export function stateOf({ decision, row }: Pick<HeadData, "decision" | "row">): { state: State; because: string } {
  if (row) return { state: row.state, because: row.state_because };
  if (decision.state) return { state: decision.state, because: decision.state_because ?? "" };
  if (!decision.available)
    return { state: "unavailable", because: "KEDA was told UNAVAILABLE, so that its own fallback acts." };
  const health = decision.health as State;
  if (decision.budget_bound && rank(health) < rank("budget-bound")) return { state: "budget-bound", because: decision.budget_bound };
  return { state: health, because: HEALTHS[health] ?? "" };
}

/** What is said where no decision is kept that was valid at an instant. */
export function lapsedWords({ decided_at, valid_until }: DecisionView): string {
  return `No decision is kept that was valid then: the last one, below, is of ${instant(decided_at)} and was valid until ${clock(valid_until)}.`;
}

function stateLine(data: HeadData): Child[] {
  if (data.lapsedAt !== null)
    return [h("span", { class: "badge tone-bad" }, icon("question"), "not kept"), h("span", { class: "wl-because" }, lapsedWords(data.decision))];
  const { state, because } = stateOf(data);
  const shadow = data.decision.mode === "shadow";
  return [
    stateBadge(state),
    h("span", { class: "tag" }, shadow ? "shadow: forecast only recorded" : "live"),
    data.decision.at_ceiling && h("span", { class: "badge tone-warn" }, icon("ceiling"), "at the ceiling"),
    h("span", { class: "wl-because" }, because),
  ];
}

function toldParts({ decision, now, lapsedAt }: HeadData): Child[] {
  const told = lapsedAt === null ? decision.published_replicas : null;
  const [value, unit] = known(told)
    ? [count(told), "replicas"]
    : lapsedAt === null ? ["unavailable", "no number"] : ["unknown", "nothing is kept"];
  return [
    h("span", { class: "wl-told-label" }, now === null ? "KEDA was told" : "KEDA is told"),
    h("strong", { class: known(told) ? "wl-big" : "wl-big wl-big-word", "data-testid": "published" }, value),
    h("span", { class: "wl-told-unit" }, unit),
  ];
}

function factList(data: HeadData): Child[] {
  const { decision, row } = data;
  const { policy } = decision;
  const ready = decision.ready_replicas;
  const starting = decision.starting_replicas;
  const from = policy.configured_lead_time_s;
  return [
    fact("Wanted", count(decision.target_replicas), "after the ceiling"),
    fact(
      "Ready",
      known(ready) ? `${count(ready)} of ${count(decision.current_replicas)}` : "unknown",
      known(starting) && starting > 0 ? `${count(starting)} starting` : "",
    ),
    fact("Without a forecast", count(decision.reactive_replicas), "by demand now"),
    fact("Model", decision.model ?? "none", `covers ${percent(policy.quantile, 1)}`),
    fact(
      "Demand",
      number(decision.demand, 4),
      decision.unit + (row && known(row.expected_peak) ? `, up to ${number(row.expected_peak, 4)} expected` : ""),
    ),
    fact("Lead time", duration(policy.lead_time_s), known(from) ? `measured; ${duration(from)} configured` : ""),
    fact("Data", ageOf(data), `decided ${clock(decision.decided_at)} UTC`),
  ];
}

/** How old the newest sample is: counted from its instant where that is told, for an answer may be an old one. */
function ageOf({ decision, row, now }: HeadData): string {
  const seen = epoch(row?.demand_at);
  const age_s = known(seen) && now !== null ? Math.max(0, now - seen) : decision.demand_age_s;
  return known(age_s) ? `${duration(Math.round(age_s))} old` : "never seen";
}

/** A name longer than this is written smaller [characters]. */
const LONG_NAME = 30;
/** Names longer than this are written smaller, so that facts stay on one line [characters]. */
const LONG_FACT = 12;

function fact(name: string, value: string, more: string): HTMLElement {
  const isLong = value.length > LONG_FACT;
  return h("div", { class: "wl-fact" }, h("dt", null, name), h("dd", { class: isLong ? "wl-word" : "" }, value, more && h("small", null, more)));
}

/** Notes longer than this are folded away [characters]: they tell scores, which have a card below. */
const LONG_NOTE = 160;

function noteList(notes: readonly string[]): Child {
  if (!notes.length) return null;
  const list = h("ul", { "aria-label": "Notes" }, notes.map((note) => h("li", null, note)));
  if (notes.every((note) => note.length <= LONG_NOTE)) return list;
  return h("details", { class: "wl-more" }, h("summary", null, plural(notes.length, "note")), list);
}
