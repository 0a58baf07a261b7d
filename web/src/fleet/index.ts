// The fleet: every workload in one look, what needs one first.

import "./fleet.css";
import type { Fleet, State } from "../api";
import type { Context } from "../context";
import { fill, h } from "../dom";
import { epoch } from "../format";
import { needsLook, STATES } from "../state";
import { showBeside } from "./beside";
import { buildFilters } from "./filters";
import { Grid } from "./grid";
import { addHints } from "./hint";
import { address, type Asked, parse, select, type SortKey } from "./query";
import { RowKeeper } from "./rows";
import { SparkKeeper } from "./sparks";
import { buildTiles } from "./tiles";

/** The rows of the view before: whoever comes back to the fleet finds it where it was. */
let before: RowKeeper | null = null;

/** Mounts the view; returns how to take it down. */
export function mountFleet(root: HTMLElement, ctx: Context): () => void {
  let asked = parse(ctx.query());
  let frame = 0;
  let known = "";
  const rows = new RowKeeper(ctx.api, ctx.signal, brought, showProblem, before);
  const sparks: SparkKeeper = new SparkKeeper(ctx.api, ctx.signal, () => grid.inSight(), () => grid.drawSparks());
  const tiles = buildTiles(() => ask({ states: lookStates(), sort: "state", down: true }));
  const filters = buildFilters(ask);
  const grid: Grid = new Grid(() => sparks, sortBy, ctx.signal);
  const problem = h("p", { class: "problem", role: "alert" });
  const nothing = h("div", { class: "nothing" });
  const beside = h("section", { class: "beside", id: "beside", "aria-label": "Not in the list" });
  const hint = addHints(grid, ctx.signal);
  problem.hidden = nothing.hidden = beside.hidden = true;
  fill(root, h("h1", { class: "sr-only" }, "Fleet"), tiles.root, problem, filters.root, grid.root, nothing, beside, hint);
  root.classList.add("fleet");
  ctx.title("Fleet");

  ctx.onFleet(summarise);
  document.addEventListener("keydown", slash, { signal: ctx.signal });
  before = rows;
  if (rows.rows.size) draw();
  void rows.start(asked);
  return () => cancelAnimationFrame(frame);

  function summarise(fleet: Fleet): void {
    // A state may turn without a decision: one is valid no more, or somebody paused it.
    const news = JSON.stringify([fleet.generation, fleet.states]);
    if (rows.broken || (known !== "" && news !== known)) {
      void rows.refresh();
      sparks.expire(fleet.generation);
    }
    known = news;
    later();
  }

  function ask(change: Partial<Asked>): void {
    asked = { ...asked, ...change };
    ctx.setQuery(address(asked));
    draw();
  }

  function sortBy(key: SortKey): void {
    ask({ sort: key, down: key === asked.sort ? !asked.down : key !== "name" });
  }

  function brought(): void {
    problem.hidden = true;
    later();
  }

  function later(): void {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(draw);
  }

  function draw(): void {
    const all = [...rows.rows.values()];
    const found = select(all, asked);
    const fleet = ctx.fleet();
    const total = Math.max(all.length, rows.complete ? 0 : (fleet?.workloads ?? 0));
    filters.show(asked, counts(fleet, all), namespaces(all), found.length, total);
    grid.show(found, asked, epoch(fleet?.now));
    if (fleet) tiles.show(fleet, all);
    showBeside(beside, rows.beside);
    showNothing(all.length, found.length);
  }

  function showNothing(all: number, found: number): void {
    const isEmpty = all === 0 && rows.complete;
    grid.root.hidden = found === 0;
    filters.root.hidden = isEmpty;
    nothing.hidden = found > 0;
    if (isEmpty) fill(nothing, rows.beside.waiting.length ? h("h2", null, "No decision yet") : welcome());
    else if (!rows.complete) fill(nothing, h("p", { class: "muted" }, "Reading the fleet…"));
    else
      fill(
        nothing,
        h("h2", null, "Nothing matches"),
        h("button", { type: "button", class: "button", on: { click: clear } }, "Show every workload"),
      );
  }

  function clear(): void {
    ask({ words: "", states: new Set(), namespace: "" });
    filters.focus();
  }

  function showProblem(error: Error): void {
    problem.hidden = false;
    fill(problem, `The list of workloads could not be read: ${error.message}`);
  }

  function slash(event: KeyboardEvent): void {
    const at = event.target;
    const isTyping = at instanceof HTMLElement && (at.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName));
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    filters.focus();
  }
}

function lookStates(): Set<State> {
  return new Set(STATES.filter((look) => needsLook(look.state)).map((look) => look.state));
}

/** How many of each state there are: as the service counts, or of the rows while it has not said. */
function counts(fleet: Fleet | null, rows: { state: State }[]): Map<State, number> {
  if (fleet) return new Map(Object.entries(fleet.states) as [State, number][]);
  const many = new Map<State, number>();
  for (const { state } of rows) many.set(state, (many.get(state) ?? 0) + 1);
  return many;
}

function namespaces(rows: { namespace: string }[]): string[] {
  return [...new Set(rows.map((row) => row.namespace))].sort();
}

function welcome(): HTMLElement {
  return h(
    "div",
    { class: "empty" },
    h("h2", null, "No workload yet"),
    h(
      "p",
      { class: "muted" },
      "A workload appears here as soon as KEDA asks for it. Point a ScaledObject's external trigger at this service:",
    ),
    h(
      "pre",
      { class: "card", tabindex: 0, "aria-label": "Example of a trigger" },
      h(
        "code",
        null,
        "triggers:\n- type: external\n  metadata:\n    scalerAddress: predictscale.keda:6000\n    workload: chat\n    maxReplicas: \"40\"",
      ),
    ),
  );
}
