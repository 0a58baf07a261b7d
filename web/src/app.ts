// The shell: theme, head, connection banner, and the router between the fleet and one workload.

import "./theme.css";
import "./shell.css";
import { Api, type Fleet } from "./api";
import { type Context, type Mount, poll, setTick } from "./context";
import { mountFleet } from "./fleet/index";
import { clock } from "./format";
import { apply } from "./theme";
import { buildShell, type Shell } from "./shell";
import { mountWorkload } from "./workload/index";

apply();

const routes: [RegExp, Mount][] = [
  [/^\/$/, mountFleet],
  [/^\/w\/(?<namespace>[^/]+)\/(?<name>[^/]+)\/?$/, mountWorkload],
];

/** What the browser's history keeps of a page: how it was left, and from where it was opened. */
interface Place {
  scroll?: number;
  /** The path that was opened from it, whose link has the focus again on return. */
  opened?: string;
  /** The page before it, query included. */
  from?: string;
}

class App {
  private readonly api = new Api();
  private readonly shell: Shell;
  private fleet: Fleet | null = null;
  private readonly fleetCalls = new Set<(fleet: Fleet) => void>();
  private leave: (() => void) | null = null;

  constructor(root: HTMLElement) {
    this.shell = buildShell(root);
    this.api.onConnection((lost) => this.shell.trouble(lost ? lostWords(this.fleet) : null));
    const forever = new AbortController().signal;
    const failed = (error: Error) => this.shell.trouble(`The service answers with an error: ${error.message}`);
    // Time goes on where nothing is decided any more, and then all the more has to be seen.
    poll<Fleet>(this.api, forever, "/api/v1/fleet", (fleet) => this.summary(fleet), failed, { fresh: true });
    history.scrollRestoration = "manual"; // the browser would restore before the view is drawn
    window.addEventListener("popstate", () => {
      this.show();
      const { scroll = 0, opened } = place();
      window.scrollTo(0, scroll);
      this.shell.focusView();
      if (opened) this.focusLink(opened);
    });
    document.addEventListener("click", (event) => this.follow(event));
    this.show();
  }

  private summary(fleet: Fleet): void {
    this.fleet = fleet;
    setTick(fleet);
    this.shell.trouble(null);
    this.shell.summary(fleet);
    for (const call of this.fleetCalls) call(fleet);
  }

  private show(): void {
    this.leave?.();
    this.leave = null;
    for (const [pattern, mount] of routes) {
      const match = pattern.exec(location.pathname);
      if (match) return this.enter(mount, decoded(match.groups ?? {}));
    }
    this.shell.notFound(location.pathname);
  }

  private enter(mount: Mount, params: Record<string, string>): void {
    const ending = new AbortController();
    const unmount = mount(this.shell.view(), this.context(params, ending.signal));
    this.leave = () => {
      ending.abort();
      unmount();
    };
  }

  private context(params: Record<string, string>, signal: AbortSignal): Context {
    return {
      api: this.api,
      params,
      signal,
      go: (path) => this.go(path),
      query: () => new URLSearchParams(location.search),
      setQuery,
      title: (text) => (document.title = text ? `${text} · predictscale` : "predictscale"),
      announce: (text) => this.shell.announce(text),
      fleet: () => this.fleet,
      onFleet: (call) => {
        this.fleetCalls.add(call);
        signal.addEventListener("abort", () => this.fleetCalls.delete(call));
        if (this.fleet) call(this.fleet);
      },
      poll: (path, show, fail) => poll(this.api, signal, path, show, fail),
    };
  }

  private go(path: string): void {
    history.replaceState({ ...place(), scroll: window.scrollY, opened: path } satisfies Place, "");
    history.pushState({ from: location.pathname + location.search } satisfies Place, "", path);
    this.show();
    window.scrollTo(0, 0);
    this.shell.focusView();
  }

  /** Once the view has drawn what is in sight, the link that was followed has the focus, if it is still there. */
  private focusLink(path: string): void {
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        const links = [...document.querySelectorAll<HTMLAnchorElement>("main a[href]")];
        links.find((link) => link.getAttribute("href") === path)?.focus({ preventScroll: true });
      }),
    );
  }

  /** Plain clicks on links within the page stay in the page. */
  private follow(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
      return;
    const link = (event.target as Element | null)?.closest?.("a[href]");
    if (!(link instanceof HTMLAnchorElement) || link.target || link.origin !== location.origin) return;
    const within = link.getAttribute("href")?.startsWith("#") ? document.getElementById(link.hash.slice(1)) : null;
    if (!within && !routes.some(([pattern]) => pattern.test(link.pathname))) return;
    event.preventDefault();
    if (within) reach(within);
    else if (link.rel === "up" && place().from?.split("?")[0] === link.pathname) history.back(); // as it was left
    else this.go(link.pathname + link.search);
  }
}

function place(): Place {
  return (history.state as Place | null) ?? {};
}

/** Goes to a part of the page and takes the focus along, without an entry in the history. */
function reach(part: HTMLElement): void {
  if (part.tabIndex < 0) part.tabIndex = -1;
  part.scrollIntoView();
  part.focus({ preventScroll: true });
}

function lostWords(fleet: Fleet | null): string {
  const of = fleet ? `, showing data of ${clock(fleet.now)} UTC` : "";
  return `Connection lost${of}. Trying again.`;
}

function setQuery(changes: Record<string, string | null>): void {
  const query = new URLSearchParams(location.search);
  for (const [key, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(key);
    else query.set(key, value);
  }
  const text = query.toString();
  history.replaceState(history.state, "", location.pathname + (text ? `?${text}` : ""));
}

function decoded(groups: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(groups).map(([key, value]) => [key, safely(value)]));
}

function safely(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

document.addEventListener("DOMContentLoaded", () => new App(document.body));
