// The fleet in five numbers: what needs a look first, how much there is, what it costs and what it saved.

import type { Fleet, Row } from "../api";
import { fill, h, setText } from "../dom";
import { count, known, money, number, plural, UNKNOWN } from "../format";
import { lookOf, needsLook, rank, STATES, type Tone } from "../state";

export interface Tiles {
  root: HTMLElement;
  show(fleet: Fleet, rows: Iterable<Row>): void;
}

const TONES: readonly Tone[] = ["ok", "info", "warn", "bad"];

/** The tiles; `look` shows the workloads that need one. */
export function buildTiles(look: () => void): Tiles {
  const attention = tile("Need a look");
  const workloads = tile("Workloads");
  const replicas = tile("Replicas ready");
  const cost = tile("Cost per hour");
  const saved = tile("Saved in the last month");
  const button = h("button", { type: "button", class: "tile-button", title: "Show them", on: { click: look } });
  const link = h("a", { href: "#beside" });
  const all = [attention, workloads, replicas, cost, saved];
  const root = h("dl", { class: "tiles", "aria-label": "The fleet in short" }, all.map((each) => each.root));

  return {
    root,
    show(fleet, rows) {
      root.hidden = fleet.workloads === 0;
      showAttention(attention, fleet, button);
      workloads.put(count(fleet.workloads), beside(fleet, link));
      showReplicas(replicas, fleet, rows);
      showCost(cost, fleet);
      showSaved(saved, fleet);
    },
  };
}

interface Tile {
  root: HTMLElement;
  put(figure: Content, second: Content, picture?: Node): void;
}

type Content = Node | string | (Node | string)[];

function tile(label: string): Tile {
  const figure = h("span", { class: "tile-figure" });
  const picture = h("span", { class: "tile-picture" });
  const second = h("span", { class: "tile-second" });
  const root = h("div", { class: "tile" }, h("dt", null, label), h("dd", null, figure, second, picture));
  return {
    root,
    put(text, more, drawn) {
      refill(figure, text);
      refill(second, more);
      fill(picture, drawn);
    },
  };
}

/** Fills, unless the very same element is in it already: what is put in anew loses the focus. */
function refill(element: HTMLElement, content: Content): void {
  if (!(content instanceof Node) || element.firstChild !== content) fill(element, content);
}

function showAttention(tile: Tile, fleet: Fleet, button: HTMLElement): void {
  const states = Object.entries(fleet.states).filter(([state, many]) => needsLook(state) && many > 0);
  const many = states.reduce((sum, [, each]) => sum + each, 0);
  const worst = states.sort(([a], [b]) => rank(b) - rank(a)).map(([state, each]) => `${count(each)} ${state}`);
  const words = worst.slice(0, 2).join(", ") + (worst.length > 2 ? ", …" : "");
  setText(button, count(many));
  tile.put(many ? button : "0", many ? words : "nothing does", fleet.workloads ? toneBar(fleet) : undefined);
  tile.root.dataset.tone = many ? worstTone(states.map(([state]) => state)) : "ok";
}

function worstTone(states: string[]): Tone {
  return states.some((state) => lookOf(state).tone === "bad") ? "bad" : "warn";
}

/** How the fleet divides into well, to know, to look at, and bad. */
function toneBar(fleet: Fleet): HTMLElement {
  const parts = TONES.map((tone) => {
    const many = STATES.filter((look) => look.tone === tone).reduce((sum, look) => sum + (fleet.states[look.state] ?? 0), 0);
    return many > 0 && h("i", { class: `part part-${tone}`, style: { "flex-grow": String(many) } });
  });
  return h("span", { class: "parts", "aria-hidden": "true" }, parts);
}

function beside(fleet: Fleet, link: HTMLElement): Content {
  const words = [fleet.waiting && `${count(fleet.waiting)} waiting`, fleet.refused && `${count(fleet.refused)} refused`];
  const told = words.filter((word): word is string => typeof word === "string");
  setText(link, told.join(", "));
  return told.length ? link : "none waiting or refused";
}

function showReplicas(tile: Tile, fleet: Fleet, rows: Iterable<Row>): void {
  const { ready_replicas: ready, target_replicas: target } = fleet;
  const figure = [known(ready) ? count(ready) : UNKNOWN, h("span", { class: "tile-of" }, ` of ${count(target)}`)];
  const { wanted, missing, unknown } = shortfall(rows);
  const share = wanted > 0 ? 1 - missing / wanted : 0;
  const bar = h("i", { class: "meter-ready", style: { width: `${100 * share}%` } });
  const words = [missing > 0 ? `${count(missing)} not ready yet` : wanted > 0 && "as many as wanted", unknown > 0 && `${plural(unknown, "fleet")} unknown`];
  tile.put(figure, words.filter(Boolean).join(", "), h("span", { class: "meter", "aria-hidden": "true" }, bar));
}

/** Replicas wanted and missing where a fleet is known, and how many fleets are not. One's surplus is no other's. */
export function shortfall(rows: Iterable<Row>): { wanted: number; missing: number; unknown: number } {
  const sum = { wanted: 0, missing: 0, unknown: 0 };
  for (const { ready_replicas: ready, target_replicas: target } of rows) {
    if (!known(ready)) sum.unknown += 1;
    else {
      sum.wanted += target;
      sum.missing += Math.max(0, target - ready);
    }
  }
  return sum;
}

function showCost(tile: Tile, fleet: Fleet): void {
  const [first, ...more] = fleet.cost_per_hour;
  if (!first) return tile.put(missing("not priced"), "the settings give no prices");
  const others = more.map((each) => money(each.amount, each.currency)).join(", ");
  tile.put(money(first.amount, first.currency), others ? `and ${others}; ${pricedText(fleet)}` : pricedText(fleet));
}

/** What a cost is of: never of replicas that nobody priced. */
export function pricedText({ cost_per_hour, workloads }: Pick<Fleet, "cost_per_hour" | "workloads">): string {
  const sum = (of: "replicas" | "workloads"): number => cost_per_hour.reduce((total, each) => total + each[of], 0);
  const priced = sum("workloads");
  const whole = `for ${plural(sum("replicas"), "replica")}`;
  return priced < workloads ? `${whole}; ${count(workloads - priced)} of ${plural(workloads, "workload")} not priced` : whole;
}

function showSaved(tile: Tile, fleet: Fleet): void {
  const hpa = fleet.saved.filter((each) => each.versus === "reactive");
  const fixed = fleet.saved.filter((each) => each.versus === "static");
  const hours = fleet.saved_replica_hours;
  const [first] = hpa;
  if (first) {
    const figure = hpa.map((each) => money(each.money, each.currency)).join(" + ");
    const beside = fixed.map((each) => money(each.money, each.currency)).join(" + ");
    tile.put(figure, `vs a plain HPA${beside ? `, ${beside} vs static` : ""}`);
  } else if (hours && known(hours.reactive)) {
    const figure = [number(hours.reactive), h("span", { class: "tile-of" }, " replica-h")];
    const beside = known(hours.static) ? `, ${number(hours.static)} vs static` : "";
    tile.put(figure, `vs a plain HPA${beside}`);
  } else tile.put(missing(), "accounts begin with the second decision");
}

function missing(word = UNKNOWN): HTMLElement {
  return h("span", { class: "missing" }, word);
}
