// The states of a workload in words, a picture and a tone, the worst last (as core/state.py orders them).

import type { State } from "./api";
import { h } from "./dom";
import { icon } from "./icons";

export type Tone = "ok" | "info" | "warn" | "bad";

export interface Look {
  state: State;
  label: string;
  tone: Tone;
  icon: string;
  /** What it means, for whoever sees the word for the first time. */
  means: string;
}

export const STATES: readonly Look[] = [
  { state: "ok", label: "ok", tone: "ok", icon: "check", means: "demand is fresh and the forecaster at home serves" },
  { state: "reactive", label: "reactive", tone: "info", icon: "reactive", means: "sized for what is here; no forecast is used" },
  { state: "demoted", label: "demoted", tone: "warn", icon: "down", means: "another forecaster serves than the one at home" },
  { state: "budget-bound", label: "budget-bound", tone: "warn", icon: "lock", means: "a budget leaves less than is wanted" },
  { state: "paused", label: "paused", tone: "info", icon: "pause", means: "someone asked that the fleet does not shrink" },
  { state: "holding", label: "holding", tone: "warn", icon: "hold", means: "demand is not fresh; the last good target holds" },
  { state: "stale", label: "stale", tone: "bad", icon: "clock", means: "held for as long as was allowed" },
  { state: "unknown", label: "unknown", tone: "bad", icon: "question", means: "demand was never seen" },
  { state: "unavailable", label: "unavailable", tone: "bad", icon: "cross", means: "KEDA is told no number" },
];

const LOOKS = new Map<string, Look>(STATES.map((look) => [look.state, look]));
const RANKS = new Map<string, number>(STATES.map((look, i) => [look.state, i]));

/** How a state looks; a state that this page does not know looks like a question. */
export function lookOf(state: string): Look {
  return LOOKS.get(state) ?? { state: state as State, label: state, tone: "warn", icon: "question", means: state };
}

/** 0 for ok, more for worse. */
export function rank(state: string): number {
  return RANKS.get(state) ?? STATES.length;
}

/** Whether somebody should look at a workload of this state. */
export function needsLook(state: string): boolean {
  const { tone } = lookOf(state);
  return tone === "warn" || tone === "bad";
}

/** Picture and word on the state's ground. */
export function stateBadge(state: string): HTMLElement {
  const look = lookOf(state);
  return h("span", { class: `badge tone-${look.tone}`, "data-state": state }, icon(look.icon), look.label);
}
