// Where keys lead, in a chart and in a grid.

/** Where a key takes the cursor; null if it is not for the chart. */
export function moved(event: { key: string; shiftKey: boolean }, at: number | null, length: number): number | null {
  const stride = event.shiftKey ? 10 : 1;
  const last = length - 1;
  if (last < 0) return null;
  switch (event.key) {
    case "ArrowRight":
      return at === null ? 0 : Math.min(last, at + stride);
    case "ArrowLeft":
      return at === null ? last : Math.max(0, at - stride);
    case "Home":
      return 0;
    case "End":
      return last;
    default:
      return null;
  }
}

/** Where a key leads from row `at`; null if it leads nowhere. */
export function walked(key: string, at: number, length: number, page: number): number | null {
  const last = length - 1;
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: last }[key];
  return to === undefined || last < 0 ? null : Math.min(last, Math.max(0, to));
}
