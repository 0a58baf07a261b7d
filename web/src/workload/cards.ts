// A card: one question, one route, one answer. Where the route has nothing it says why, in its own words.

import { type Api, Problem } from "../api";
import { type Child, fill, h, uid } from "../dom";
import { iso } from "../format";

/** How a card calls the instant that it tells of. */
export type Word = "now" | "then";

export interface Card {
  readonly root: HTMLElement;
  /** Whether it shows the instant that the slider does; others tell of the present alone, and say so. */
  readonly follows: boolean;
  /** Asks of an instant (null: of now) and shows; a lost connection leaves what stands. */
  load(api: Api, workload: string, at: number | null, signal: AbortSignal): Promise<void>;
}

/** A card that shows what a route below the workload's answers about the present. */
export function card<T>(title: string, route: string, show: (answer: T) => Child[]): Card {
  return asking(title, route, show, {});
}

/** The same, of an answer whose ages are shown: they move while nothing else does. */
export function ageingCard<T>(title: string, route: string, show: (answer: T) => Child[]): Card {
  return asking(title, route, show, { fresh: true });
}

/** The same, of a route that is kept with each decision. */
export function pastCard<T>(title: string, route: string, show: (answer: T, word: Word) => Child[]): Card {
  return asking(title, route, show, { follows: true });
}

interface Kind {
  follows?: boolean;
  fresh?: boolean;
}

function asking<T>(title: string, route: string, show: (answer: T, word: Word) => Child[], { follows = false, fresh = false }: Kind): Card {
  const body = h("div", { class: "wl-card-body" });
  const root = framed(follows ? title : [title, h("span", { class: "tag wl-of-now" }, "now")], body);
  root.classList.toggle("wl-follows", follows);
  let shown: unknown;

  function quiet(words: string): void {
    root.classList.add("wl-quiet");
    fill(body, h("p", null, words));
  }

  return {
    root,
    follows,
    async load(api, workload, at, signal) {
      try {
        const of = at === null ? "" : `?at=${encodeURIComponent(iso(at))}`;
        const answer = await api.get<T>(`${workload}/${route}${of}`, signal, { fresh });
        if (answer === shown) return; // opened tables stay open
        shown = answer;
        root.classList.remove("wl-quiet");
        const open = [...body.querySelectorAll("details")].map((each) => each.open);
        const focused = spots(body).findIndex((each) => each === document.activeElement);
        fill(body, show(answer, at === null ? "now" : "then"));
        body.querySelectorAll("details").forEach((each, i) => (each.open = open[i] ?? false));
        if (focused >= 0) spots(body)[focused]?.focus({ preventScroll: true });
      } catch (error) {
        if (!(error instanceof Problem)) return;
        shown = undefined;
        quiet(error.detail);
      }
    },
  };
}

/** Where the keyboard may be within a card. */
function spots(body: HTMLElement): HTMLElement[] {
  return [...body.querySelectorAll<HTMLElement>("summary, [tabindex]")];
}

/** The frame of a card. */
export function framed(title: Child, body: HTMLElement): HTMLElement {
  const id = uid("card");
  return h(
    "article",
    { class: "card wl-card", "aria-labelledby": id },
    h("h3", { id }, title),
    body,
  );
}

/** A table of a card. Columns whose name ends with `#` hold numbers. */
export function table(caption: string, columns: readonly string[], rows: readonly Child[][]): HTMLElement {
  const isNumber = columns.map((name) => name.endsWith("#"));
  const cell = (content: Child, i: number): HTMLElement =>
    i === 0 ? h("th", { scope: "row" }, content) : h("td", { class: isNumber[i] ? "num" : "" }, content);
  return h(
    "div",
    { class: "table-wrap", tabindex: 0, role: "group", "aria-label": caption },
    h(
      "table",
      { class: "data" },
      h("caption", { class: "sr-only" }, caption),
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          columns.map((name, i) => h("th", { scope: "col", class: isNumber[i] ? "num" : "" }, name.replace("#", ""))),
        ),
      ),
      h("tbody", null, rows.map((row) => h("tr", null, row.map(cell)))),
    ),
  );
}

/** What can be opened: the same as a table, or more of it. */
export function folded(summary: string, ...inside: Child[]): HTMLElement {
  return h("details", { class: "chart-details" }, h("summary", null, summary), inside);
}

/** Names and values, one a line. */
export function facts(...pairs: ([string, Child] | null | false)[]): HTMLElement {
  return h(
    "dl",
    { class: "wl-pairs" },
    pairs.map((pair) => pair && h("div", null, h("dt", null, pair[0]), h("dd", null, pair[1]))),
  );
}

/** The number that answers the card's question. */
export function lead(value: string, words: string): HTMLElement {
  return h("p", { class: "wl-lead" }, h("strong", null, value), " ", h("span", null, words));
}

/** A bar from 0; the number stands beside it, so it is spared for screen readers. */
export function meter(share: number, tone: "accent" | "plain" | "warn" | "ok" = "accent"): HTMLElement {
  const width = `${(Math.min(1, Math.max(0, share)) * 100).toFixed(1)}%`;
  return h("span", { class: `wl-meter wl-meter-${tone}`, "aria-hidden": "true" }, h("i", { style: { width } }));
}
