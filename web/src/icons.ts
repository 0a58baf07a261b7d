// Icons, drawn here. They repeat what a word beside them says, so screen readers are spared them.

import { svg } from "./dom";

const PATHS: Record<string, string> = {
  check: "M3.5 8.5l3 3 6-7",
  eye: "M1.5 8C3.5 4.7 5.6 3.2 8 3.2S12.500 4.700 14.500 8C12.500 11.300 10.400 12.800 8 12.800S3.500 11.300 1.500 8zM8 6.200a1.800 1.800 0 1 0 0 3.600a1.800 1.800 0 1 0 0-3.600z",
  reactive: "M1.500 9.500h3l2-5.500 3 8 2-5 1 2.500h2",
  down: "M3.500 6l4.500 5 4.500-5",
  lock: "M4 7.500h8v6h-8zM5.500 7.500v-2a2.500 2.500 0 0 1 5 0v2",
  pause: "M5.500 3.500v9M10.500 3.500v9",
  hold: "M8 2v5M5 4.500v4.500M11 4.500v4.500M3.500 14c-1-2-1-3-1-4.500M13.500 9c0 2-1 5-5.500 5s-4.500-2-5.500-4.500",
  clock: "M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12zM8 5v3.200l2.200 1.600",
  question: "M5.800 6a2.200 2.200 0 1 1 3.200 2c-.7.4-1 .8-1 1.600M8 12v.200",
  cross: "M4 4l8 8M12 4l-8 8",
  alert: "M8 2.500l6 11h-12zM8 6.500v3M8 11.500v.200",
  search: "M7 2.500a4.500 4.500 0 1 0 0 9a4.500 4.500 0 1 0 0-9zM10.500 10.500l3.500 3.500",
  sun: "M8 5.300a2.700 2.700 0 1 0 0 5.400a2.700 2.700 0 1 0 0-5.400zM8 1.500v1.500M8 13v1.500M1.500 8h1.500M13 8h1.500M3.400 3.400l1.100 1.100M11.500 11.500l1.100 1.100M12.600 3.400l-1.100 1.100M4.500 11.500l-1.100 1.100",
  moon: "M13.500 9.600A5.800 5.800 0 0 1 6.400 2.500a5.800 5.800 0 1 0 7.100 7.100z",
  system: "M2 3.500h12v7.500h-12zM5.500 13.500h5",
  up: "M3.500 10l4.500-5 4.500 5",
  back: "M10 3.500l-5 4.500 5 4.500",
  ceiling: "M2.500 3h11M8 13.500v-7.500M5 8.500l3-3 3 3",
};

/** A picture of 16 by 16 in the colour of the text around it. */
export function icon(name: string): SVGElement {
  return svg(
    "svg",
    { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: PATHS[name] ?? PATHS.question ?? "" }),
  );
}

/** The brand: what was, and the fan of what may come. */
export function brandMark(): SVGElement {
  return svg(
    "svg",
    { class: "brand-mark", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    svg("path", { class: "brand-fan", d: "M10.500 14.500L22 3.500v14z" }),
    svg("path", { class: "brand-line", d: "M2 18.500l4-4.500 4.500.5L22 10" }),
  );
}
