// The reason of a state, shown beside its badge while it is pointed at or its row has the focus. Screen readers have
// it as the description of the row's link.

import { h, setText } from "../dom";
import type { Grid } from "./grid";
import type { RowView } from "./row";

const GRACE_MS = 150;

/** Adds hints to a grid. */
export function addHints(grid: Grid, signal: AbortSignal): HTMLElement {
  const hint = h("div", { class: "hint", "aria-hidden": "true" });
  hint.hidden = true;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function show(row: RowView): void {
    clearTimeout(timer);
    setText(hint, row.reason);
    hint.hidden = !row.reason;
    const badge = row.badge.getBoundingClientRect();
    const left = Math.min(badge.left, document.documentElement.clientWidth - hint.offsetWidth - 8);
    const isLow = badge.bottom + hint.offsetHeight + 8 > window.innerHeight;
    const top = isLow ? badge.top - hint.offsetHeight - 2 : badge.bottom + 2;
    hint.style.setProperty("transform", `translate(${Math.max(8, left)}px, ${top}px)`);
  }

  function hide(): void {
    clearTimeout(timer);
    hint.hidden = true;
  }

  /** Leaves time to reach the hint itself, whose text someone may want to mark. */
  function hideSoon(): void {
    clearTimeout(timer);
    timer = setTimeout(hide, GRACE_MS);
  }

  const { root } = grid;
  root.addEventListener("pointerover", (event) => {
    const isBadge = event.target instanceof Element && event.target.closest(".badge");
    const row = grid.rowOf(event.target);
    if (isBadge && row) show(row);
    else hideSoon();
  });
  root.addEventListener("pointerleave", hideSoon);
  hint.addEventListener("pointerenter", () => clearTimeout(timer));
  hint.addEventListener("pointerleave", hideSoon);
  root.addEventListener("focusin", (event) => {
    const row = grid.rowOf(event.target);
    if (row && event.target instanceof Element && event.target.matches(":focus-visible")) show(row);
  });
  root.addEventListener("focusout", hide);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide(), { signal });
  window.addEventListener("scroll", hide, { passive: true, signal });
  return hint;
}
