// The cards about the forecast: how honest it was, which model serves and why, what it is made of.

import type { Accuracy, ForecastView, Models } from "../api";
import { type Child, fill, h, svg } from "../dom";
import { amount, clock, count, duration, known, number, percent } from "../format";
import { icon } from "../icons";
import { type Card, card, folded, framed, lead, meter, pastCard, table } from "./cards";
import { levelRow, signed } from "./model";

type Horizon = Accuracy["horizons"][number];

const VERDICTS: Record<Horizon["verdict"], { icon: string; tone: string }> = {
  honest: { icon: "check", tone: "ok" },
  "too few": { icon: "question", tone: "info" },
  "too narrow": { icon: "alert", tone: "warn" },
  "too wide": { icon: "alert", tone: "warn" },
};

/** The cards that ask the service. */
export function foreseenCards(): Card[] {
  return [
    pastCard<Accuracy>("Is it honest?", "accuracy", accuracyParts),
    card<Models>("Which model serves", "models", modelParts),
  ];
}

function accuracyParts({ horizons, notes }: Accuracy): Child[] {
  if (!horizons.length) return [h("p", { class: "muted" }, notes.join("; ") || "Nothing was scored yet.")];
  const rows = horizons.flatMap((horizon) =>
    horizon.levels.map((level, i) => [
      duration(horizon.lead_s),
      percent(level, 1),
      percent(horizon.coverage[i], 1),
      count(horizon.scored),
    ]),
  );
  return [
    calibration(horizons),
    h("ul", { class: "wl-verdicts" }, horizons.map(verdict)),
    folded("Show as table", notes.map((note) => h("p", { class: "muted" }, note)), table("Levels that were told and the share that held", ["Horizon", "Told#", "Held#", "Windows#"], rows)),
  ];
}

function verdict(horizon: Horizon, index: number): HTMLElement {
  const look = VERDICTS[horizon.verdict] ?? VERDICTS["too few"];
  return h(
    "li",
    null,
    svg("svg", { class: `wl-shape wl-h${index % 4}`, viewBox: "-6 -6 12 12", "aria-hidden": "true" }, shape(index, 0, 0)),
    h(
      "div",
      null,
      h("b", null, `within ${duration(horizon.lead_s)} `),
      h("span", { class: `badge tone-${look.tone}` }, icon(look.icon), horizon.verdict),
      h("p", { class: "muted" }, horizon.because),
    ),
  );
}

const SIDE = 200;
const [LEFT, TOP, LEAST, MOST] = [38, 8, 0.3, 0.998];
const TICKS = [0.5, 0.75, 0.9, 0.95, 0.99];

/** Log odds spread out what lies near 1, where the promises are; the diagonal stays one. */
function place(level: number): number {
  const odds = (p: number): number => Math.log(p / (1 - p));
  const inside = Math.min(MOST, Math.max(LEAST, level));
  return ((odds(inside) - odds(LEAST)) / (odds(MOST) - odds(LEAST))) * SIDE;
}

function calibration(horizons: readonly Horizon[]): HTMLElement {
  const x = (level: number): number => LEFT + place(level);
  const y = (share: number): number => TOP + SIDE - place(share);
  const grid = TICKS.flatMap((tick) => [
    svg("path", { class: "wl-grid", d: `M${LEFT} ${y(tick)}H${LEFT + SIDE}M${x(tick)} ${TOP}V${TOP + SIDE}` }),
    svg("text", { x: LEFT - 6, y: y(tick) + 3.5, "text-anchor": "end" }, String(tick)),
    svg("text", { x: x(tick), y: TOP + SIDE + 15, "text-anchor": "middle" }, String(tick)),
  ]);
  const series = horizons.map((horizon, i) => {
    const points = horizon.levels.map((level, j) => [x(level), y(horizon.coverage[j] ?? level)] as const);
    return svg(
      "g",
      { class: `wl-h${i % 4}` },
      svg("path", { class: "wl-h-line", d: points.map(([a, b], j) => `${j ? "L" : "M"}${a} ${b}`).join("") }),
      points.map(([a, b]) => shape(i, a, b)),
    );
  });
  const said = horizons.map((each) => `within ${duration(each.lead_s)} ${each.verdict}`).join(", ");
  return h(
    "figure",
    { class: "wl-calibration" },
    svg(
      "svg",
      { viewBox: `0 0 ${LEFT + SIDE + 12} ${TOP + SIDE + 34}`, role: "img", "aria-label": `Calibration plot: ${said}` },
      grid,
      svg("path", { class: "wl-diagonal", d: `M${LEFT} ${TOP + SIDE}L${LEFT + SIDE} ${TOP}` }),
      svg("text", { class: "wl-hint", x: LEFT + 8, y: TOP + 14 }, "above: too wide"),
      svg("text", { class: "wl-hint", x: LEFT + SIDE - 8, y: TOP + SIDE - 8, "text-anchor": "end" }, "below: too narrow"),
      svg("text", { x: LEFT + SIDE / 2, y: TOP + SIDE + 30, "text-anchor": "middle" }, "level told"),
      series,
    ),
    h("figcaption", { class: "muted small" }, "Share of windows whose peak lay at or below each level, beside the level told."),
  );
}

/** A shape for each horizon, so that colour does not speak alone. */
function shape(index: number, x: number, y: number): SVGElement {
  const at = { transform: `translate(${x} ${y})`, class: "wl-dot" };
  const paths = ["M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", "M-3.6-3.6h7.2v7.2h-7.2z", "M0-4.800L4.600 3.600H-4.600z", "M0-5L5 0 0 5-5 0z"];
  return svg("path", { ...at, d: paths[index % paths.length] ?? "" });
}

/** Longer reasons are folded away: the table says the same by model. */
const MOST_WORDS = 90;

function modelParts(models: Models): Child[] {
  const why = models.because.join("; ");
  const most = Math.max(1, ...models.candidates.map((each) => each.loss ?? 0));
  const rows = models.candidates.map((each) => [
    [
      h("span", { class: "wl-model" }, each.name, each.serving && h("span", { class: "badge tone-ok" }, icon("check"), "serves")),
      whyOf(each.because, each.asked_again_at),
    ],
    known(each.loss)
      ? h("span", { class: "wl-bar" }, meter(each.loss / most, each.serving ? "accent" : "plain"), h("b", null, number(each.loss)))
      : h("span", { class: "muted" }, "not judged"),
  ]);
  const skipped = models.skipped.map((each) => [[each.name, whyOf(each.because, null)], h("span", { class: "muted" }, "left out")]);
  return [
    why.length <= MOST_WORDS ? lead(models.serving ?? "none", why) : [lead(models.serving ?? "none", "serves"), folded("Why, in words", h("p", null, why))],
    rows.length + skipped.length > 0 &&
      table("Loss of each model relative to the last value; lower is better", ["Model, and why", "Loss; last value = 1"], [...rows, ...skipped]),
    h(
      "p",
      { class: "muted small" },
      models.fitted_until ? `Fitted on data until ${clock(models.fitted_until).slice(0, 5)} UTC` : "Not fitted yet",
      models.next_fit_at && `, next at ${clock(models.next_fit_at).slice(0, 5)}`,
      models.quick && "; a quick first fit, which a full one will replace",
      ".",
    ),
  ];
}

function whyOf(because: string, asked_again_at: string | null): HTMLElement {
  const again = asked_again_at && `; asked again from ${clock(asked_again_at).slice(0, 5)} UTC`;
  return h("small", { class: "wl-why-not" }, because, again);
}

const PARTS: ["level" | "day" | "week" | "events" | "correction", string][] = [
  ["level", "Level now"],
  ["day", "Time of day"],
  ["week", "Day of week"],
  ["events", "Planned events"],
  ["correction", "Correction"],
];

/** The card that follows the time slider: what the median at the lead time is made of. */
export function madeOf(): { root: HTMLElement; show(forecast: ForecastView | null, lead_time_s: number, why: string): void } {
  const body = h("div", { class: "wl-card-body" });
  const root = framed("What the forecast is made of", body);
  root.classList.add("wl-follows");
  return {
    root,
    show(forecast, lead_time_s, why) {
      root.classList.toggle("wl-quiet", !forecast?.components);
      if (!forecast) return fill(body, h("p", null, why));
      if (!forecast.components) return fill(body, h("p", null, `${forecast.model} does not tell its parts.`));
      fill(body, parts(forecast, lead_time_s));
    },
  };
}

function parts(forecast: ForecastView, lead_time_s: number): Child[] {
  const step = Math.min(forecast.starts.length - 1, Math.max(0, Math.round(lead_time_s / forecast.step_s) - 1));
  const row = levelRow(forecast.levels, 0.5);
  const values = PARTS.map(([key, name]) => ({ name, value: forecast.components?.[key][step], base: key === "level" })).filter(
    (each): each is { name: string; value: number; base: boolean } => known(each.value),
  );
  const changes = values.filter((each) => !each.base).map((each) => Math.abs(each.value));
  const most = Math.max(...changes, 1e-9);
  const total = row === null ? values.reduce((sum, each) => sum + each.value, 0) : forecast.values[row]?.[step];
  return [
    lead(amount(total, forecast.unit, 4), `is the median in ${duration((step + 1) * forecast.step_s)}`),
    h(
      "dl",
      { class: "wl-parts" },
      values.map(({ name, value, base }) => [
        h("dt", null, name),
        h(
          "dd",
          null,
          base ? h("i", { class: "wl-part-base", "aria-hidden": "true" }) : diverging(value / most),
          h("b", null, base ? number(value, 4) : Math.abs(value) < most * 1e-6 ? "0" : signed(value, (size) => number(size, 3))),
        ),
      ]),
    ),
    h("p", { class: "muted small" }, `By ${forecast.model}, from data until ${clock(forecast.origin)} UTC.`),
  ];
}

function diverging(share: number): HTMLElement {
  const width = `${Math.abs(share) * 50}%`;
  const side = share < 0 ? "right" : "left";
  return h("i", { class: "wl-part", "aria-hidden": "true" }, h("i", { class: `wl-part-${side}`, style: { width, [side]: "50%" } }));
}
