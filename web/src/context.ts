// What the shell gives to a view, and how a view asks again and again.

import { type Api, type Fleet, Lost } from "./api";

export interface Context {
  readonly api: Api;
  /** Parts of the path: `{namespace, name}` on a workload's page, else empty. */
  readonly params: Readonly<Record<string, string>>;
  /** Aborts when the view is taken down. */
  readonly signal: AbortSignal;
  /** Opens another path of the page, query included. */
  go(path: string): void;
  /** The query of the address. */
  query(): URLSearchParams;
  /** Changes the query in place, without mounting again; null removes a key. */
  setQuery(changes: Record<string, string | null>): void;
  /** The document's title; the brand is added. */
  title(text: string): void;
  /** Says something to screen readers, politely. */
  announce(text: string): void;
  /** The newest summary of the fleet; null before the first. */
  fleet(): Fleet | null;
  /** Calls back with each new summary, at once if there is one; ends with the view. */
  onFleet(call: (fleet: Fleet) => void): void;
  /**
   * Asks for `path` at each tick of the service and calls `show` when the answer changed. `path` may be a
   * function (null: nothing to ask now). A problem that the service told goes to `fail`; lost connections go to
   * the banner. It stops with the view, and waits while the tab is hidden.
   */
  poll<T>(path: string | (() => string | null), show: (data: T) => void, fail?: (error: Error) => void): Poll;
}

export interface Poll {
  /** Asks now and shows the answer, though it be the last one: what is asked for, or what stands there, changed. */
  again(): void;
  stop(): void;
}

export type Mount = (root: HTMLElement, ctx: Context) => () => void;

const MOST_MS = 5000;
const LEAST_MS = 500;
let tick_ms = MOST_MS;

/** How long to wait between questions [ms of the browser's clock]. A demo's clock may run faster. */
export function setTick(fleet: Fleet): void {
  const wall_s = fleet.tick_s / (fleet.speed && fleet.speed > 0 ? fleet.speed : 1);
  tick_ms = Math.min(MOST_MS, Math.max(LEAST_MS, wall_s * 1000));
}

/** The loop behind `Context.poll`. */
export function poll<T>(
  api: Api,
  signal: AbortSignal,
  path: string | (() => string | null),
  show: (data: T) => void,
  fail?: (error: Error) => void,
  /** Whether each answer is shown, with the instant and the ages in it. */
  { fresh = false } = {},
): Poll {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let asked = 0;
  let last: unknown;
  let lastPath: string | null = null;

  async function ask(): Promise<void> {
    clearTimeout(timer);
    if (signal.aborted) return;
    asked += 1;
    const mine = asked;
    const where = typeof path === "string" ? path : path();
    try {
      const data = where === null ? null : await api.get<T>(where, signal, { fresh });
      if (mine !== asked || signal.aborted) return;
      if (where !== null && (data !== last || where !== lastPath)) show(data as T);
      last = data;
      lastPath = where;
    } catch (error) {
      if (mine !== asked || signal.aborted) return;
      last = undefined;
      if (!(error instanceof Lost)) fail?.(error as Error);
    }
    if (!document.hidden) timer = setTimeout(() => void ask(), tick_ms);
  }

  function seen(): void {
    if (!document.hidden) void ask();
  }

  function stop(): void {
    asked += 1;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  }

  document.addEventListener("visibilitychange", seen);
  signal.addEventListener("abort", stop);
  void ask();
  function again(): void {
    last = undefined;
    lastPath = null;
    void ask();
  }

  return { again, stop };
}
