// Light or dark: as the system has it, unless someone chose. Canvas cannot read custom properties, so `token`
// resolves them, and whoever paints is told when they change.

export type Choice = "system" | "light" | "dark";

const KEY = "predictscale.theme";
const listeners = new Set<() => void>();
const resolved = new Map<string, string>();
const system = matchMedia("(prefers-color-scheme: dark)");

/** What was chosen, `system` if nothing was. */
export function chosen(): Choice {
  try {
    const saved = localStorage.getItem(KEY);
    return saved === "light" || saved === "dark" ? saved : "system";
  } catch {
    return "system"; // storage may be forbidden
  }
}

/** Whether the page is dark now. */
export function isDark(): boolean {
  return chosen() === "system" ? system.matches : chosen() === "dark";
}

/** Chooses, saves it where that is allowed, and applies it. */
export function choose(choice: Choice): void {
  try {
    if (choice === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, choice);
  } catch {
    // It holds for this page view alone.
  }
  apply(choice);
}

/** Applies what was saved. Called before the first paint. */
export function apply(choice: Choice = chosen()): void {
  const root = document.documentElement;
  if (choice === "system") delete root.dataset.theme;
  else root.dataset.theme = choice;
  changed();
}

/** Calls back when colours change; returns how to stop. */
export function onTheme(call: () => void): () => void {
  listeners.add(call);
  return () => listeners.delete(call);
}

/** The colour behind a custom property, for canvas: `token("--accent")`. */
export function token(name: string): string {
  const known = resolved.get(name);
  if (known !== undefined) return known;
  const probe = document.createElement("i");
  probe.style.setProperty("color", `var(${name})`);
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  resolved.set(name, colour);
  return colour;
}

function changed(): void {
  resolved.clear();
  for (const call of listeners) call();
}

system.addEventListener("change", changed);
