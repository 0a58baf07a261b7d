// What of the fleet is asked for: written in the address, so that a link shows the same.

import type { Row, State } from "../api";
import { rank, STATES } from "../state";

export type SortKey = "name" | "state" | "target" | "ready" | "demand" | "saved" | "age";

export interface Asked {
  words: string;
  states: ReadonlySet<State>;
  namespace: string;
  sort: SortKey;
  down: boolean;
}

/** What needs a look stands first, unless the address says otherwise. */
const USUAL = "-state";
const KEYS: readonly SortKey[] = ["name", "state", "target", "ready", "demand", "saved", "age"];

/** What an address asks for; what it should not contain is left out. */
export function parse(query: URLSearchParams): Asked {
  const sort = query.get("sort") ?? USUAL;
  const key = KEYS.find((each) => each === sort.replace("-", ""));
  const known = new Set<string>(STATES.map((look) => look.state));
  const states = (query.get("state") ?? "").split(",").filter((each) => known.has(each)) as State[];
  return {
    words: query.get("q") ?? "",
    states: new Set(states),
    namespace: query.get("namespace") ?? "",
    sort: key ?? "state",
    down: key === undefined || sort.startsWith("-"),
  };
}

/** The same for the address; what is usual is left out. */
export function address(asked: Asked): Record<string, string | null> {
  const sort = sortWord(asked);
  return {
    q: asked.words.trim() || null,
    state: [...asked.states].join(",") || null,
    namespace: asked.namespace || null,
    sort: sort === USUAL ? null : sort,
  };
}

/** The first page of it, from the service. */
export function firstPage(asked: Asked, limit: number): string {
  const query = new URLSearchParams({ limit: String(limit), sort: sortWord(asked) });
  if (asked.words.trim()) query.set("q", asked.words.trim());
  if (asked.namespace) query.set("namespace", asked.namespace);
  for (const state of asked.states) query.append("state", state);
  return `/api/v1/workloads?${query}`;
}

/** The rows that are asked for, in order: as the service sorts, what is unknown last and names settling ties. */
export function select(rows: Iterable<Row>, asked: Asked): Row[] {
  const words = asked.words.trim().toLowerCase();
  const found = [...rows].filter(
    (row) =>
      (!asked.namespace || row.namespace === asked.namespace) &&
      (!asked.states.size || asked.states.has(row.state)) &&
      (!words || keyOf(row).toLowerCase().includes(words)),
  );
  const way = asked.down ? -1 : 1;
  if (asked.sort === "name") return found.sort((a, b) => way * byName(a, b));
  const value = VALUES[asked.sort];
  return found.sort((a, b) => {
    const [one, other] = [value(a), value(b)];
    if (one === null || other === null) return Number(one === null) - Number(other === null) || byName(a, b);
    return way * (one - other) || byName(a, b);
  });
}

/** `namespace/name`. */
export function keyOf(row: { namespace: string; workload: string }): string {
  return `${row.namespace}/${row.workload}`;
}

function sortWord(asked: Asked): string {
  return `${asked.down ? "-" : ""}${asked.sort}`;
}

const VALUES: Record<Exclude<SortKey, "name">, (row: Row) => number | null> = {
  state: (row) => rank(row.state),
  target: (row) => row.target_replicas,
  ready: (row) => row.ready_replicas,
  demand: (row) => row.demand,
  saved: (row) => row.saved_replica_hours,
  age: (row) => (row.demand_at === null ? null : -Date.parse(row.demand_at)),
};

function byName(a: Row, b: Row): number {
  return compare(a.namespace, b.namespace) || compare(a.workload, b.workload);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
