// The cards about money and data: what it costs and saves, what tuning chose, what is known, what is planned.

import type { Quality } from "../api";
import { type Child, h } from "../dom";
import { amount, clock, count, duration, known, money, number, percent, plural } from "../format";
import { icon } from "../icons";
import type { Cost, Events, Savings, Tuning } from "./answers";
import { ageingCard, type Card, card, facts, folded, lead, meter, pastCard, table } from "./cards";
import { signed } from "./model";
import { when } from "./replicas";

/** The cards, in the order of their questions. */
export function bookCards(): Card[] {
  return [
    card<Savings>("What it saves", "savings", savingsParts),
    card<Cost>("What it costs", "cost", costParts),
    pastCard<Tuning>("Tuning", "tuning", tuningParts),
    ageingCard<Quality>("Data quality", "quality", qualityParts),
    card<Events>("Planned events", "events", eventParts),
  ];
}

const WAYS: Record<string, string> = { ours: "predictscale", reactive: "plain HPA", static: "static for the peak" };

function savingsParts(answer: Savings): Child[] {
  const most = Math.max(...answer.ways.map((way) => way.replica_hours), 1e-9);
  const plain = answer.saved.find((each) => each.versus === "reactive");
  const rows = answer.ways.map((way) => [
    WAYS[way.way] ?? way.way,
    h("span", { class: "wl-bar" }, meter(way.replica_hours / most, way.way === "ours" ? "accent" : "plain"), h("b", null, number(way.replica_hours, 4))),
    ...(answer.currency ? [money(way.money, answer.currency)] : []),
    known(way.late_share) ? percent(way.late_share, 2) : "unknown",
  ]);
  const columns = ["Way", "Replica-hours", ...(answer.currency ? ["Money#"] : []), "Late#"];
  return [
    plain && lead(savedText(plain, answer.currency), `${savedWord(plain)} a plain HPA`),
    h("ul", { class: "wl-saved" }, answer.saved.map((each) => h("li", null, savedLine(each, answer.currency)))),
    table("Replica-hours, money and late work of each way", columns, rows),
    h(
      "p",
      { class: "muted small" },
      `Since ${when(answer.since)} UTC: ${duration(answer.known_s)} are accounted for`,
      answer.unknown_s > 0 && `, ${duration(answer.unknown_s)} are not known`,
      `. Late is what waits over ${duration(answer.wait_s)}; the plain HPA aims at ${percent(answer.utilisation)}.`,
    ),
  ];
}

/** A share that would read as 0 %. */
const LEAST_TOLD = 5e-5;

type Saved = Savings["saved"][number];

function gain(saved: Saved): number {
  return saved.money ?? saved.replica_hours;
}

function savedText(saved: Saved, currency: string | null): string {
  const size = Math.abs(gain(saved));
  return known(saved.money) ? money(size, currency) : `${number(size)} replica-hours`;
}

function savedWord(saved: Saved): string {
  return gain(saved) < 0 ? "more than" : "saved against";
}

function savedLine(saved: Saved, currency: string | null): Child[] {
  const parts = [`${signed(saved.replica_hours, (size) => number(size))} replica-hours`];
  if (known(saved.money)) parts.push(signed(saved.money, (size) => money(size, currency)));
  if (known(saved.avoided_shortage))
    parts.push(
      Math.abs(saved.avoided_shortage) < LEAST_TOLD
        ? "as much work in time"
        : `${signed(saved.avoided_shortage, (size) => percent(size, 2))} of work in time`,
    );
  const told = parts.map((part, i) => [i > 0 && ", ", h("span", { class: "wl-whole" }, part)]);
  return [`saved against ${WAYS[saved.versus] ?? saved.versus}: `, told];
}

function costParts({ cost, carbon, budget, labels }: Cost): Child[] {
  const named = Object.entries(labels).map(([key, value]): [string, Child] => [key, value]);
  if (!cost && !carbon && !budget)
    return [h("p", { class: "muted" }, "No price is set, or the fleet is not known: nothing can be told of money.")];
  return [
    cost && lead(money(cost.per_hour, cost.currency), `an hour for ${plural(cost.replicas, "replica")}`),
    cost &&
      facts(
        known(cost.per_1000_requests) && ["1,000 requests", money(cost.per_1000_requests, cost.currency)],
        known(cost.per_million_output_tokens) && ["A million output tokens", money(cost.per_million_output_tokens, cost.currency)],
        known(cost.per_million_tokens) && ["A million tokens", money(cost.per_million_tokens, cost.currency)],
        known(cost.gpus) && ["GPUs", number(cost.gpus)],
      ),
    budget && budgetParts(budget),
    carbon &&
      facts(
        ["CO₂ an hour", `${number(carbon.g_per_hour)} g`],
        known(carbon.g_per_million_output_tokens) && ["CO₂ a million output tokens", `${number(carbon.g_per_million_output_tokens)} g`],
        ["Grid", `${number(carbon.g_per_kwh)} g/kWh, ${carbon.accounting}, ${carbon.source}`],
      ),
    named.length > 0 && facts(...named),
  ];
}

function budgetParts(budget: NonNullable<Cost["budget"]>): Child {
  const share = known(budget.spent) ? budget.spent / budget.per_month : null;
  return h(
    "div",
    { class: "wl-budget" },
    h("p", null, "Month's budget: ", h("b", null, known(budget.spent) ? money(budget.spent, budget.currency) : "unknown"),
      ` spent of ${money(budget.per_month, budget.currency)}`,
      budget.limited && h("span", { class: "badge tone-warn" }, icon("lock"), "limits")),
    share !== null && meter(share, budget.limited || share > 1 ? "warn" : "accent"),
    h("p", { class: "muted small" }, budget.because),
  );
}

function knobText(knobs: Tuning["knobs"]): string {
  const sized = knobs.kind === "quantile" ? `quantile ${knobs.quantile}` : knobs.kind;
  const parts = [sized, `margin ${number(knobs.margin)}`, `headroom ${number(knobs.headroom)}`, `hold ${duration(knobs.hold_s)}`];
  if (known(knobs.limit)) parts.push(`limit ${number(knobs.limit)}`);
  return parts.join(", ");
}

function tuningParts(answer: Tuning): Child[] {
  const { slo, choice } = answer;
  const broken = answer.budget_spent > 1;
  return [
    lead(percent(answer.budget_spent), `of the budget of late work in ${duration(slo.window_s)} is spent`),
    meter(answer.budget_spent, broken ? "warn" : "accent"),
    h("p", { class: "muted" }, answer.because),
    facts(
      ["Promised", `at most ${percent(slo.max_violation, 2)} late by more than ${duration(slo.wait_s)}`],
      ["Late so far", `${percent(answer.violation, 2)}, of ${duration(answer.known_s)} known`],
      ["In force", knobText(answer.knobs)],
      answer.notches > 0 && ["More careful by", plural(answer.notches, "notch", "notches")],
      ["Next replay", `${when(answer.next_at)} UTC`],
    ),
    choice &&
      folded(
        `What ${count(choice.compared)} candidates would have done`,
        h("p", null, choice.because),
        table(
          "What settings would have done",
          ["Settings", "Late#", "Replica-hours#"],
          choice.scores.map((score) => [knobText(score.knobs), percent(score.violation, 2), number(score.replica_hours, 4)]),
        ),
      ),
  ];
}

const SPANS: ["1h" | "24h" | "7d" | "all", string][] = [
  ["1h", "Last hour"],
  ["24h", "Last day"],
  ["7d", "Last week"],
  ["all", "All that is kept"],
];

function qualityParts(answer: Quality): Child[] {
  const fresh = known(answer.demand_age_s) && answer.demand_age_s <= answer.fresh_s;
  return [
    lead(
      known(answer.demand_age_s) ? `${duration(answer.demand_age_s)} old` : "never seen",
      fresh ? "is the newest sample, which counts as fresh" : `is not fresh: at most ${duration(answer.fresh_s)} would be`,
    ),
    answer.partial && h("p", { class: "wl-warn" }, icon("alert"), "The last answer was partial."),
    h(
      "dl",
      { class: "wl-bounds" },
      SPANS.map(([key, name]) => {
        const share = answer.known_share[key];
        return [
          h("dt", null, name),
          h("dd", null, known(share) && meter(share, share < 0.95 ? "warn" : "ok"), h("b", null, known(share) ? knownText(share) : "unknown")),
        ];
      }),
    ),
    h("p", { class: "muted small" }, `Share of steps that are known, of ${duration(answer.history_s)} of history.`),
    answer.gaps.length > 0 &&
      folded(
        plural(answer.gaps_total, "gap"),
        table("Gaps, newest first", ["From (UTC)", "To", "Long#"], answer.gaps.map((gap) => [when(gap.start), when(gap.end), duration(gap.duration_s)])),
      ),
    answer.signals.length > 0 &&
      folded(
        plural(answer.signals.length, "signal"),
        table("Signals", ["Signal", "Age#", "Query"], answer.signals.map((signal) => [
          signal.name,
          signal.known ? duration(signal.age_s) : "not known",
          signal.query && h("code", { class: "wl-query" }, signal.query),
        ])),
      ),
    answer.notes.map((note) => h("p", { class: "muted small" }, note)),
  ];
}

/** A share that is not whole never reads as whole. */
function knownText(share: number): string {
  return share < 1 && share > 0.9995 ? "over 99.9 %" : percent(share, 1);
}

function eventParts(answer: Events): Child[] {
  if (!answer.events.length) return [h("p", { class: "muted" }, "None is planned."), answer.note && h("p", { class: "muted small" }, answer.note)];
  return [
    table(
      "Planned events",
      ["Event", "Next (UTC)", "Brings", "By"],
      answer.events.map((event) => [
        [event.name, " ", event.repeat !== "none" && h("span", { class: "tag" }, event.repeat)],
        event.next_start ? `${when(event.next_start)} to ${event.next_end ? clock(event.next_end).slice(0, 5) : "?"}` : "over",
        known(event.multiplier) ? `${number(event.multiplier)} times the usual` : known(event.demand) ? `at least ${amount(event.demand, "/s")}` : "unknown",
        event.added_by ?? "settings",
      ]),
    ),
    answer.note && h("p", { class: "muted small" }, answer.note),
  ];
}
