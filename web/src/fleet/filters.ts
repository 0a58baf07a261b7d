// What to show of the fleet: words, states, a namespace, and on a phone the order.

import type { State } from "../api";
import { fill, h, setAttr, setText } from "../dom";
import { count } from "../format";
import { icon } from "../icons";
import { lookOf, STATES } from "../state";
import type { Asked, SortKey } from "./query";

export interface Filters {
  root: HTMLElement;
  /** Shows what is asked for, how many of each state there are, and how many rows match. */
  show(asked: Asked, states: ReadonlyMap<State, number>, namespaces: readonly string[], found: number, total: number): void;
  focus(): void;
}

const ORDERS: [string, string][] = [
  ["-state", "Worst state first"],
  ["name", "Name"],
  ["-target", "Most replicas wanted"],
  ["-ready", "Most replicas ready"],
  ["-demand", "Most demand"],
  ["-saved", "Most saved"],
  ["saved", "Least saved"],
  ["-age", "Oldest data"],
];

/** The filters; `ask` is called with what changes. */
export function buildFilters(ask: (change: Partial<Asked>) => void): Filters {
  const words = h("input", { type: "search", class: "field", id: "filter", placeholder: "Filter by name", "aria-label": "Filter by namespace or name", autocomplete: "off", spellcheck: "false" });
  const spaces = h("select", { class: "select", "aria-label": "Namespace", id: "namespace" });
  const order = h("select", { class: "select order", "aria-label": "Order" }, ORDERS.map(([value, label]) => h("option", { value }, label)));
  const chips = h("div", { class: "chips", role: "group", "aria-label": "States" });
  const found = h("p", { class: "found", role: "status" });
  let asked: Asked | null = null;

  words.addEventListener("input", () => ask({ words: words.value }));
  words.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    words.value = "";
    ask({ words: "" });
  });
  spaces.addEventListener("change", () => ask({ namespace: spaces.value }));
  order.addEventListener("change", () => ask({ sort: order.value.replace("-", "") as SortKey, down: order.value.startsWith("-") }));

  function toggle(state: State): void {
    const states = new Set(asked?.states);
    if (!states.delete(state)) states.add(state);
    ask({ states });
  }

  const buttons = new Map(STATES.map((look) => [look.state, chip(look.state, () => toggle(look.state))]));
  fill(chips, [...buttons.values()].map((each) => each.root).reverse());
  const search = h("label", { class: "search" }, icon("search"), words, h("kbd", { "aria-hidden": "true" }, "/"));

  return {
    root: h("div", { class: "filters", role: "search" }, h("div", { class: "filter-line" }, search, spaces, order, found), chips),
    focus: () => words.focus(),
    show(now, states, namespaces, rows, total) {
      asked = now;
      if (document.activeElement !== words && words.value !== now.words) words.value = now.words;
      offer(spaces, namespaces, now.namespace);
      order.value = `${now.down ? "-" : ""}${now.sort}`;
      for (const [state, button] of buttons) button.show(states.get(state) ?? 0, now.states.has(state));
      setText(found, rows === total ? `${count(total)} shown` : `${count(rows)} of ${count(total)} shown`);
    },
  };
}

interface Chip {
  root: HTMLElement;
  show(many: number, isPressed: boolean): void;
}

function chip(state: State, press: () => void): Chip {
  const look = lookOf(state);
  const many = h("span", { class: "chip-count" });
  const root = h("button", { type: "button", class: `chip chip-${look.tone}`, title: look.means, "aria-pressed": "false", on: { click: press } }, icon(look.icon), look.label, many);
  return {
    root,
    show(number, isPressed) {
      setText(many, count(number));
      setAttr(root, "aria-pressed", String(isPressed));
      root.hidden = number === 0 && !isPressed;
    },
  };
}

function offer(select: HTMLSelectElement, namespaces: readonly string[], chosen: string): void {
  const names = chosen && !namespaces.includes(chosen) ? [...namespaces, chosen] : namespaces;
  const key = names.join("\n");
  if (select.dataset.names !== key) {
    select.dataset.names = key;
    fill(select, h("option", { value: "" }, "All namespaces"), names.map((name) => h("option", { value: name }, name)));
  }
  select.value = chosen;
}
