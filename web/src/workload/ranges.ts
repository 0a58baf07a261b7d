// The buttons that choose how much of the past the charts show.

import { h } from "../dom";

export interface Range {
  /** As the address says it. */
  name: string;
  seconds: number;
  label: string;
}

export const HOUR: Range = { name: "1h", seconds: 3600, label: "1 h" };

const RANGES: readonly Range[] = [
  HOUR,
  { name: "6h", seconds: 21_600, label: "6 h" },
  { name: "24h", seconds: 86_400, label: "24 h" },
  { name: "7d", seconds: 604_800, label: "7 d" },
];

/** The range of that name, an hour if there is none. */
export function rangeOf(name: string | null): Range {
  return RANGES.find((each) => each.name === name) ?? HOUR;
}

/** The buttons; `pick` is called with what was chosen. */
export function rangeButtons(chosen: Range, pick: (range: Range) => void): HTMLElement {
  const buttons = RANGES.map((range) =>
    h(
      "button",
      { type: "button", class: "button", "aria-pressed": String(range === chosen), on: { click: () => choose(range) } },
      range.label,
    ),
  );

  function choose(range: Range): void {
    RANGES.forEach((each, i) => buttons[i]?.setAttribute("aria-pressed", String(each === range)));
    pick(range);
  }

  return h("div", { class: "group", role: "group", "aria-label": "Range of the charts" }, buttons);
}
