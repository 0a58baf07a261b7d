// The cards about replicas: how long one takes, what one serves, where they run, and the least of them.

import type { Floors } from "../api";
import { type Child, h } from "../dom";
import { amount, clock, count, day, duration, known, number, percent, plural } from "../format";
import { icon } from "../icons";
import type { Capacity, LeadTime, Pools, Starts } from "./answers";
import { type Card, facts, folded, lead, meter, pastCard, table, type Word } from "./cards";
import { binned } from "./model";

/** The cards, in the order of their questions. */
export function replicaCards(): Card[] {
  return [
    pastCard<LeadTime>("How long a replica takes", "lead-time", leadParts),
    pastCard<Capacity>("What a replica serves", "capacity", capacityParts),
    pastCard<Pools>("Spot and on-demand pools", "pools", poolParts),
    pastCard<Floors>("Floors", "floors", floorParts),
  ];
}

function leadParts(answer: LeadTime): Child[] {
  const { measurement } = answer;
  const head = lead(duration(answer.in_force_s), "is planned with");
  if (!measurement) return [head, h("p", { class: "muted" }, answer.because)];
  const { starts, delays } = measurement;
  const parts: [string, number | null][] = [
    ["start", starts.start_s],
    ["scrape", delays.scrape_s],
    ["KEDA poll", delays.poll_s],
    ["HPA sync", delays.hpa_sync_s],
    ["rate limit", delays.rate_limit_s],
  ];
  return [
    head,
    h("p", { class: "muted" }, answer.because),
    measurement.problem && h("p", { class: "wl-warn" }, icon("alert"), measurement.problem),
    measurement.samples_s.length > 1 && histogram(measurement.samples_s),
    stack(parts, answer.configured_s),
    table(
      "Starts by kind",
      ["Start, 0.9 quantile", "Takes#", "Ready#", "Pending#"],
      [
        startRow("node was there", measurement.node_present),
        startRow("node was bought", measurement.node_bought),
        startRow("newest pods", starts),
      ],
    ),
    h(
      "p",
      { class: "muted small" },
      `${count(measurement.failed)} starts failed or took over an hour; ${count(measurement.refused)} contradict themselves and do not count.`,
    ),
  ];
}

function startRow(name: string, starts: Starts): Child[] {
  const takes = known(starts.start_s) ? `${starts.bound ? "at least " : ""}${duration(starts.start_s)}` : "too few";
  return [name, takes, count(starts.ready), count(starts.pending)];
}

/** The parts of the lead time end to end, beside what the owner configured. */
function stack(parts: readonly [string, number | null][], configured_s: number): HTMLElement {
  const seen = parts.filter((part): part is [string, number] => known(part[1]) && part[1] > 0);
  const sum = seen.reduce((total, [, seconds]) => total + seconds, 0);
  const whole = Math.max(sum, configured_s);
  return h(
    "figure",
    { class: "wl-stack" },
    h(
      "div",
      { class: "wl-stack-bar", "aria-hidden": "true" },
      seen.map(([, seconds], i) => h("i", { class: `wl-stack-${i}`, style: { width: `${(seconds / whole) * 100}%` } })),
      h("i", { class: "wl-stack-mark", style: { left: `${(configured_s / whole) * 100}%` } }),
    ),
    h(
      "ul",
      null,
      seen.map(([name, seconds], i) =>
        h("li", null, h("i", { class: `wl-chip wl-stack-${i}`, "aria-hidden": "true" }), `${name} ${duration(seconds)}`)),
      h("li", null, h("i", { class: "wl-chip-mark", "aria-hidden": "true" }), `configured ${duration(configured_s)}`),
    ),
  );
}

/** How many starts took how long. */
function histogram(samples_s: readonly number[]): HTMLElement {
  const bins = binned(samples_s);
  const most = Math.max(...bins.map((bin) => bin.count));
  const [first, final] = [bins[0], bins[bins.length - 1]];
  const rows = bins.map((bin) => [`${duration(bin.from)} to ${duration(bin.to)}`, count(bin.count)]);
  return h(
    "figure",
    { class: "wl-histogram" },
    h("div", { class: "wl-bins", "aria-hidden": "true" }, bins.map((bin) =>
      h("i", { style: { height: `${(bin.count / most) * 100}%` }, title: `${duration(bin.from)} to ${duration(bin.to)}: ${count(bin.count)}` }))),
    h("div", { class: "wl-bins-ends", "aria-hidden": "true" }, h("span", null, duration(first?.from)), h("span", null, duration(final?.to))),
    h("figcaption", { class: "muted small" }, `${plural(samples_s.length, "start")} by how long they took`),
    folded("Show as table", table("Starts by how long they took", ["Took", "Starts#"], rows)),
  );
}

function capacityParts(answer: Capacity, word: Word): Child[] {
  const most = Math.max(...answer.bounds.map((bound) => bound.replicas), 1e-9);
  const words = known(answer.per_replica) ? "per replica" : "of what a replica serves";
  return [
    lead(known(answer.per_replica) ? amount(answer.per_replica, answer.unit, 4) : "nothing is known", `${words}, ${answer.origin}`),
    h("p", { class: "muted" }, answer.because),
    answer.why_not_learned && h("p", { class: "muted small" }, `Not learned: ${answer.why_not_learned}.`),
    answer.bounds.length > 0 &&
      h(
        "dl",
        { class: "wl-bounds" },
        answer.bounds.map((bound) => {
          const binds = bound.limit === answer.binding;
          return [
            h("dt", null, bound.limit, binds && h("span", { class: "badge tone-info" }, "binds")),
            h("dd", null, meter(bound.replicas / most, binds ? "accent" : "plain"), h("b", null, number(bound.replicas)),
              h("span", { class: "sr-only" }, " replicas")),
          ];
        }),
      ),
    answer.law && lawParts(answer, answer.law),
    answer.curve.length > 0 &&
      folded(
        "Replicas by demand",
        table(
          "Replicas by demand",
          ["Demand", `Of ${word}#`, "Replicas#", "Binds"],
          answer.curve.map((point) => [amount(point.demand, answer.unit), percent(point.share), count(point.replicas), point.binding]),
        ),
      ),
    answer.latencies.length > 0 && latencies(answer),
  ];
}

function lawParts(answer: Capacity, law: NonNullable<Capacity["law"]>): Child {
  const left = Object.values(law.left_out).reduce((sum, each) => sum + each, 0);
  return facts(
    ["Latency of an empty replica", milliseconds(law.empty_s)],
    answer.targets && ["Promised", milliseconds(answer.targets.itl_s)],
    ["Error of the fit", percent(law.mape, 1)],
    ["Learned from", `${plural(law.windows, "window")} in ${duration(law.span_s)}, ${count(left)} left out`],
    ["Fullest seen", percent(law.highest_utilization)],
    known(answer.peakedness) && ["Peakedness of arrivals", number(answer.peakedness)],
    answer.mix && ["Mean request", `${number(answer.mix.input_tokens)} in, ${number(answer.mix.output_tokens)} out, ${percent(answer.mix.cached_share)} cached`],
  );
}

function latencies(answer: Capacity): Child {
  return folded(
    "Latency by how full a replica is",
    table(
      "Latency by how full a replica is",
      ["Full", "Between tokens#", "First token, p95#", "Serves#"],
      answer.latencies.map((each) => [
        [percent(each.utilization), each.boundary && h("span", { class: "tag" }, "limit")],
        milliseconds(each.itl_s),
        known(each.ttft_p95_s) ? milliseconds(each.ttft_p95_s) : "unknown",
        `${number(each.output_per_s)}/s`,
      ]),
    ),
  );
}

function milliseconds(seconds: number): string {
  return seconds < 1 ? `${number(seconds * 1000)} ms` : `${number(seconds)} s`;
}

function poolParts(answer: Pools): Child[] {
  return [
    !answer.seen && h("p", { class: "wl-warn" }, icon("alert"), "The pools cannot be seen now."),
    known(answer.need) && lead(count(answer.need), neededText(answer)),
    answer.pools.length > 0 &&
      table(
        "Pools",
        ["Pool", "Told#", "Ready#", "Why"],
        answer.pools.map((pool) => [
          [pool.name, " ", h("span", { class: "tag" }, pool.kind)],
          pool.available ? count(pool.published_replicas) : "unavailable",
          count(pool.ready_replicas),
          pool.because,
        ]),
      ),
    answer.zones.length > 0 && h("ul", { class: "wl-zones", "aria-label": "Zones of spot pools" }, answer.zones.map(zoneLine)),
    answer.steps.length > 0 &&
      folded("Why", h("ol", { class: "wl-plain" }, answer.steps.map((step) =>
        h("li", null, h("b", null, `${step.stage} ${number(step.value)}`), ": ", step.because)))),
  ];
}

/** What is wanted beyond the need stands against losses; on mixed nodes the last step tells of all of them. */
export function neededText({ need, pools, steps }: Pools): string {
  const all = pools.length ? pools.reduce((sum, pool) => sum + pool.wanted_replicas, 0) : steps.find((step) => step.stage === "hold")?.value;
  return known(all) && all !== need ? `must serve; ${count(all)} wanted in all` : "must serve";
}

/** A zone: what serves, and only such trouble as there is. */
function zoneLine(zone: Pools["zones"][number]): HTMLElement {
  const troubles = [
    zone.noticed > 0 && `${count(zone.noticed)} leaving`,
    zone.at_risk > 0 && `${count(zone.at_risk)} at risk`,
    known(zone.lost) && zone.lost > 0 && `${count(zone.lost)} lost`,
    zone.failed_launches > 0 && plural(zone.failed_launches, "launch failed", "launches failed"),
    zone.offered === false && "not offered",
  ].filter((each): each is string => typeof each === "string");
  return h(
    "li",
    null,
    h("b", null, zone.zone),
    h("span", { class: "muted" }, `${count(zone.ready)} ready${zone.pending ? `, ${count(zone.pending)} pending` : ""}`),
    troubles.map((trouble) => h("span", { class: "badge tone-warn" }, icon("alert"), trouble)),
  );
}

function floorParts(answer: Floors, word: Word): Child[] {
  return [
    lead(count(answer.floor), answer.floor === 1 ? `replica at least, ${word}` : `replicas at least, ${word}`),
    h("p", { class: "muted" }, answer.because),
    facts(["Always at least", count(answer.min_replicas)], ["Kept warm", count(answer.warm_replicas)]),
    answer.rules.length > 0 &&
      table(
        "Rules by the calendar",
        ["Rule", "At least#", "When", "Next"],
        answer.rules.map((rule) => [
          [rule.name, " ", rule.active && h("span", { class: "badge tone-ok" }, icon("check"), word)],
          count(rule.replicas),
          [`${daysText(rule.days)} `, whole(`${rule.from}–${rule.to}`), ` ${rule.zone}`],
          rule.active && rule.next_end
            ? ["until ", whole(when(rule.next_end))]
            : rule.next_start ? whole(when(rule.next_start)) : "never again",
        ]),
      ),
    // An archive of before does not tell it.
    !!answer.standby?.length &&
      table(
        "Standing by for what may come while the next kind starts",
        ["Standby", "Replicas#", "Serves after#", "Why"],
        answer.standby.map((one) => [one.kind, count(one.replicas), duration(one.wake_s), one.because]),
      ),
  ];
}

function whole(text: string): HTMLElement {
  return h("span", { class: "wl-whole" }, text);
}

function daysText(days: unknown): string {
  const names = (Array.isArray(days) ? days : [days]).map(String);
  return names.join(", ") === "mon, tue, wed, thu, fri" ? "mon–fri" : names.join(", ");
}

/** `03-04 14:05`. */
export function when(at: string): string {
  return `${day(at).slice(5)} ${clock(at).slice(0, 5)}`;
}
