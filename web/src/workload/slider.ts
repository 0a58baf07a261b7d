// The time slider: any past decision as it was. Its thumb stands below the instant that it shows; at its end is now.

import { fill, h, setAttr, setText } from "../dom";
import { ago, clock, day, instant } from "../format";
import { icon } from "../icons";

export interface SliderState {
  since: number;
  until: number;
  /** Where the charts above end, which may be later: the forecast. */
  end: number;
  step_s: number;
  /** Whether its end means now. */
  endsNow: boolean;
  now: number;
  at: number | null;
  /** Where the past begins that is kept. */
  oldest: number;
}

export interface Slider {
  readonly root: HTMLElement;
  show(state: SliderState): void;
  focus(): void;
}

const LOOK_BACK = "Look back: any decision as it was";

/** The slider; `pick` is called with an instant, or with null for now. */
export function slider(pick: (at: number | null) => void): Slider {
  const input = h("input", { type: "range", class: "wl-slider", id: "wl-slider", min: 0, max: 1, step: 1 });
  const said = h("output", { class: "wl-slider-said", for: "wl-slider" });
  const words = h("span", null, LOOK_BACK);
  const root = h(
    "div",
    { class: "wl-time" },
    h("div", { class: "wl-track" }, input),
    h("label", { class: "wl-slider-label", for: "wl-slider" }, icon("clock"), words),
    said,
  );
  let state: SliderState | null = null;
  input.addEventListener("input", () => {
    if (!state) return;
    const steps = Number(input.value);
    const isEnd = steps >= Number(input.max);
    pick(isEnd && state.endsNow ? null : instantOf(state, steps));
  });

  return {
    root,
    focus: () => input.focus({ preventScroll: true }),
    show(next) {
      state = next;
      const [from, to] = bounds(next);
      const steps = Math.max(1, Math.ceil((to - from) / next.step_s));
      setAttr(input, "max", steps);
      const isOne = to - from < next.step_s && next.at === null;
      setAttr(input, "disabled", isOne);
      setText(words, isOne ? "No earlier decision is kept of this time" : LOOK_BACK);
      const place = next.at === null ? steps : Math.round((next.at - from) / next.step_s);
      input.value = String(Math.min(steps, Math.max(0, place)));
      const text = next.at === null ? `now, ${clock(next.now)} UTC` : `${instant(next.at)}, ${ago(next.now - next.at)}`;
      setAttr(input, "aria-valuetext", text);
      setText(said, next.at === null ? "now" : `${clock(next.at)} UTC`);
      const whole = next.end - next.since;
      input.style.setProperty("--from", String(share(from - next.since, whole)));
      input.style.setProperty("--to", String(share(to - next.since, whole)));
    },
  };
}

function share(part: number, whole: number): number {
  return whole > 0 ? Math.min(1, Math.max(0, part / whole)) : 0;
}

/** From where to where it slides: nothing is kept of earlier, and nothing is decided later. */
function bounds({ since, until, oldest, step_s }: SliderState): [number, number] {
  const from = Math.ceil(Math.max(since, oldest) / step_s) * step_s;
  return [Math.min(from, until), until];
}

function instantOf(state: SliderState, steps: number): number {
  const [from, to] = bounds(state);
  return Math.min(to, from + steps * state.step_s);
}

/** The bar that says that the past is shown; `show(null)` hides it. */
export function pastBar(back: () => void): { root: HTMLElement; show(at: number | null, now: number): void } {
  const words = h("span", null);
  const button = h("button", { type: "button", class: "button", on: { click: back } }, "Back to now");
  const root = h("div", { class: "wl-past", role: "region", "aria-label": "The past is shown" }, icon("clock"), words, button);
  root.hidden = true;
  return {
    root,
    show(at, now) {
      root.hidden = at === null;
      if (at === null) return;
      const when = day(at) === day(now) ? "" : ` on ${day(at)}`;
      fill(words, "As it was at ", h("b", null, clock(at)), ` UTC${when}`, h("small", null, ` ${ago(now - at)}`));
    },
  };
}
