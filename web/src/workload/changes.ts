// The card of recent changes: when KEDA was told another number, and which stage moved it. A click looks at it.

import type { Api, History, Timeline } from "../api";
import { fill, h } from "../dom";
import { clock, count, known } from "../format";
import { icon } from "../icons";
import { framed } from "./cards";
import { type Turn, turnReason, turns } from "./model";
import { when } from "./replicas";

const MOST_SHOWN = 12;
/** Reasons are asked for where a step of the timeline holds few decisions. */
const MOST_ASKED = 9;

const UNCHANGED = "KEDA was told the same all that time.";
const NOT_KEPT = "No earlier decision is kept of this time.";

export interface Changes {
  readonly root: HTMLElement;
  show(timeline: Timeline, now: number, tick_s: number): void;
}

/** The card; `look` is called with the instant of a change. */
export function changesCard(api: Api, workload: string, signal: AbortSignal, look: (at: number) => void): Changes {
  const list = h("ol", { class: "wl-turns" });
  const body = h("div", { class: "wl-card-body" }, list);
  const reasons = new Map<string, Promise<string>>();
  let drawn = "";

  async function ask(turn: Turn, step_s: number, limit: number): Promise<string> {
    const before = new Date((turn.at + step_s) * 1000).toISOString();
    const history = await api.get<History>(`${workload}/history?limit=${limit}&before=${encodeURIComponent(before)}`, signal);
    return turnReason(turn, history.decisions);
  }

  function reason(turn: Turn, step_s: number, tick_s: number): HTMLElement {
    const words = h("span", { class: "wl-turn-because" });
    const limit = Math.ceil(step_s / Math.max(1, tick_s)) + 2;
    if (limit > MOST_ASKED) return words;
    const key = `${turn.at} ${turn.from} ${turn.to} ${step_s}`;
    const asked = reasons.get(key) ?? ask(turn, step_s, limit);
    reasons.set(key, asked);
    asked.then((because) => (words.textContent = because)).catch(() => reasons.delete(key));
    return words;
  }

  return {
    root: framed("Recent changes", body),
    show(timeline, now, tick_s) {
      const found = turns(timeline).slice(0, MOST_SHOWN);
      const look_ = JSON.stringify([found, isKept(timeline)]);
      if (look_ === drawn) return;
      drawn = look_;
      if (!found.length) return fill(body, h("p", { class: "muted" }, isKept(timeline) ? UNCHANGED : NOT_KEPT));
      fill(body, list);
      fill(list, found.map((turn) => row(turn, reason(turn, timeline.step_s, tick_s), now, () => look(turn.at + timeline.step_s))));
    },
  };
}

/** Whether there were decisions that could have differed. */
function isKept(timeline: Timeline): boolean {
  return timeline.health.filter(Boolean).length > 1;
}

function toldText(told: number | null): string {
  return known(told) ? count(told) : "unavailable";
}

function row(turn: Turn, because: HTMLElement, now: number, look: () => void): HTMLElement {
  const today = now - turn.at < 86_400;
  const time = today ? clock(turn.at).slice(0, 5) : when(new Date(turn.at * 1000).toISOString());
  const isNumber = known(turn.from) && known(turn.to);
  const up = known(turn.from) && known(turn.to) && turn.to > turn.from;
  return h(
    "li",
    null,
    h(
      "button",
      { type: "button", class: "wl-turn", title: "Look at this decision", on: { click: look } },
      h("time", null, time),
      h(
        "span",
        { class: `wl-change ${up ? "wl-change-up" : "wl-change-down"}` },
        icon(isNumber ? (up ? "up" : "down") : "alert"),
        `${toldText(turn.from)} → ${toldText(turn.to)}`,
      ),
      because,
    ),
  );
}
