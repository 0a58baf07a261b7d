// What people have ordered beside the settings: a pause, another mode. It is only shown here; whoever may order
// does so with a token, and no page keeps one.

import type { Overrides } from "../api";
import { type Child, fill, h } from "../dom";
import { clock, day } from "../format";
import { icon } from "../icons";

type Order = Overrides["in_force"][number];

/** The orders that are in force; `show(null)` where none is known, as of the past. */
export function orders(): { root: HTMLElement; show(overrides: Overrides | null, now: number): void } {
  const root = h("div", { class: "wl-orders" });
  root.hidden = true;
  let drawn = "";
  return {
    root,
    show(overrides, now) {
      const inForce = overrides?.in_force ?? [];
      const look = JSON.stringify([inForce, overrides?.settings_mode, day(now)]);
      if (look === drawn) return; // what is selected stays
      drawn = look;
      root.hidden = inForce.length === 0;
      fill(
        root,
        h("ul", { "aria-label": "Orders in force" }, inForce.map((each) => line(each, overrides, now))),
        h("p", { class: "muted small" }, "Orders are given and taken back through the REST API, with a token; this page only reads."),
      );
    },
  };
}

function line(order: Order, overrides: Overrides | null, now: number): HTMLElement {
  return h("li", null, icon(order.kind === "pause" ? "pause" : "eye"), h("span", null, what(order, overrides, now), why(order)));
}

function what(order: Order, overrides: Overrides | null, now: number): Child[] {
  const end = order.until === null ? "" : ` until ${moment(order.until, now)}`;
  if (order.kind === "pause") return [h("b", null, `Paused${end}`), ": the fleet may grow and does not shrink"];
  const settings = overrides?.settings_mode;
  return [h("b", null, `Mode ${order.mode}${end}`), settings && settings !== order.mode && `, where the settings say ${settings}`];
}

function why(order: Order): Child[] {
  return [`. Ordered by ${order.by}`, order.reason && [", because ", h("q", null, order.reason)]];
}

/** `07:30 UTC`, with its day where that is another. */
function moment(at: string, now: number): string {
  const when = `${clock(at).slice(0, 5)} UTC`;
  return day(at) === day(now) ? when : `${day(at)} ${when}`;
}
