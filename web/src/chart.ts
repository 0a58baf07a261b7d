// A thin skin over uPlot: colours that follow the theme, a width that follows the page, a cursor for the keyboard,
// a legend that reads the values aloud, and the same numbers as a table. uPlot draws; it knows nothing of the rest.

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import "./chart.css";
import { fill, h, setText, uid } from "./dom";
import { clock, day, known, number } from "./format";
import { moved } from "./keys";
import { onTheme, token } from "./theme";

export interface Line {
  label: string;
  /** As many as `x`; null is a gap. */
  values: readonly (number | null)[];
  /** A colour of theme.css: `--c-demand`. */
  color: string;
  width?: number;
  dash?: number[];
  /** Holds each value until the next, as replicas do. */
  stepped?: boolean;
  /** Bars instead of a line. */
  bars?: boolean;
  /** Points instead of a line. */
  dots?: boolean;
  /** The colour of the ground below it. */
  fill?: string;
  /** Drawn only as the edge of a band: no stroke, no place in the legend. */
  edge?: boolean;
}

/** The area between two lines, by their place in `lines`. */
export interface Band {
  upper: number;
  lower: number;
  color: string;
  /** Its name in the legend; a band without one is not told. */
  label?: string;
}

export interface Mark {
  at: number;
  label: string;
  color?: string;
}

/** Stretches behind the lines, hatched. */
export interface Shade {
  label: string;
  color: string;
  spans: readonly (readonly [from: number, to: number])[];
}

export interface ChartSpec {
  /** Its accessible name. */
  title: string;
  /** What a look at it tells, in a sentence. */
  summary: string;
  /** Epoch seconds, or plain numbers if `xKind` is `number`; rising. */
  x: readonly number[];
  xKind?: "time" | "number";
  xLabel?: string;
  unit?: string;
  lines: readonly Line[];
  bands?: readonly Band[];
  /** Vertical lines, such as now. */
  marks?: readonly Mark[];
  /** Stretches that stand out; without any there is nothing in the legend. */
  shade?: Shade;
  /** What else is said of each `x`, as many as there are; empty says nothing. */
  words?: readonly string[];
  height?: number;
  /** Charts of one key share their cursor. */
  sync?: string;
  yRange?: [number | null, number | null];
  xRange?: [number, number];
  format?: (value: number) => string;
  /** Values are counts: the axis has no ticks between them. */
  whole?: boolean;
  xFormat?: (value: number) => string;
}

export interface Chart {
  readonly root: HTMLElement;
  /** Draws other data. The same lines in the same order keep the cursor. */
  update(spec: ChartSpec): void;
  destroy(): void;
}

const HEIGHT = 220;
const MOST_TABLE_ROWS = 500;

/** A chart in a `<figure>`. */
export function chart(first: ChartSpec): Chart {
  let spec = first;
  let plot: uPlot | null = null;
  let width = 0;
  let at: number | null = null;
  const name = h("span", { id: uid("chart"), class: "sr-only" });
  const legend = h("div", { class: "chart-legend" });
  const area = h("div", { class: "chart-area", tabindex: 0, role: "group", "aria-labelledby": name.id });
  const voice = h("div", { class: "sr-only", "aria-live": "polite" });
  const table = h("div", { class: "chart-table" });
  const details = h("details", { class: "chart-details" }, h("summary", null, "Show as table"), table);
  const root = h("figure", { class: "chart" }, name, legend, area, voice, details);

  area.addEventListener("keydown", (event) => {
    const to = plot ? moved(event, at, spec.x.length) : null;
    if (to === null || !plot) return;
    event.preventDefault();
    const x = spec.x[to];
    if (x === undefined) return;
    plot.setCursor({ left: plot.valToPos(x, "x"), top: plot.bbox.height / 4 / devicePixelRatio });
    setText(voice, `${xText(spec, x)}: ${[...readings(spec, to), spec.words?.[to]].filter(Boolean).join(", ")}`);
  });
  area.addEventListener("blur", () => plot?.setCursor({ left: -10, top: -10 }));
  details.addEventListener("toggle", () => details.open && drawTable());

  const sizes = new ResizeObserver(([entry]) => {
    const now = Math.floor(entry?.contentRect.width ?? 0);
    if (now <= 0 || now === width) return;
    width = now;
    if (plot) plot.setSize({ width, height: spec.height ?? HEIGHT });
    else draw();
  });
  sizes.observe(area);
  const offTheme = onTheme(() => {
    drawLegend(at);
    draw();
  });

  function draw(): void {
    plot?.destroy();
    plot = null;
    if (width <= 0) return;
    plot = new uPlot(options(spec, width, moveTo), data(spec), area);
  }

  function moveTo(index: number | null): void {
    if (index === at) return;
    at = index;
    drawLegend(at);
  }

  function drawLegend(index: number | null): void {
    const x = index === null ? undefined : spec.x[index];
    const keys = spec.lines.filter((line) => !line.edge).map((line) => key(line, spec, index));
    const areas = (spec.bands ?? []).filter((band) => band.label).map(bandKey);
    const shaded = spec.shade?.spans.length ? shadeKey(spec.shade) : null;
    const words = index === null ? "" : spec.words?.[index];
    const here = x === undefined ? (spec.unit ?? "") : xText(spec, x);
    fill(legend, keys, areas, shaded, words && h("b", { class: "chart-words" }, words), h("span", { class: "chart-at" }, here));
  }

  function drawTable(): void {
    const kept = spec.lines.filter((line) => line.values.some(known));
    const every = Math.ceil(spec.x.length / MOST_TABLE_ROWS);
    const words = spec.words?.some(Boolean) ? spec.words : null;
    const head = h("tr", null, h("th", { scope: "col" }, spec.xLabel ?? "Time (UTC)"), kept.map((line) =>
      h("th", { scope: "col", class: "num" }, line.label)), words && h("th", { scope: "col" }, "State"));
    const rows = spec.x.map((x, i) =>
      i % every === 0 && h("tr", null, h("th", { scope: "row" }, xText(spec, x)), kept.map((line) =>
        h("td", { class: "num" }, valueText(spec, line.values[i]))), words && h("td", null, words[i])));
    const caption = h("caption", null, spec.title, spec.unit && `, in ${spec.unit}`, every > 1 && `, every ${every}th value`);
    fill(table, h("div", { class: "table-wrap", tabindex: 0, role: "region", "aria-label": `${spec.title}, as a table` },
      h("table", { class: "data" }, caption, h("thead", null, head), h("tbody", null, rows))));
  }

  function describe(): void {
    setText(name, `Chart: ${spec.title}. ${spec.summary} Left and right keys read the values.`);
    if (details.open) drawTable();
  }

  describe();
  drawLegend(null);
  return {
    root,
    update(next) {
      const same = plot !== null && sameShape(spec, next);
      spec = next;
      describe();
      drawLegend(at);
      if (same) plot?.setData(data(spec));
      else draw();
    },
    destroy() {
      sizes.disconnect();
      offTheme();
      plot?.destroy();
    },
  };

  function options(of: ChartSpec, wide: number, onMove: (index: number | null) => void): uPlot.Options {
    const height = of.height ?? HEIGHT;
    return {
      width: wide,
      height,
      legend: { show: false },
      padding: [10, Math.round(em() * 1.15), 0, 0], // half a label of the last tick
      cursor: {
        y: false,
        points: { size: 7 },
        drag: { x: false, y: false },
        sync: of.sync ? { key: of.sync, setSeries: false } : undefined,
      },
      scales: {
        x: { time: (of.xKind ?? "time") === "time", range: () => xExtent(spec) },
        y: { range: (_, low, high) => yExtent(spec, low, high) },
      },
      axes: [axis(of, false), axis(of, true)],
      series: [{}, ...of.lines.map(series)],
      bands: (of.bands ?? []).map((band) => ({
        series: [band.upper + 1, band.lower + 1],
        fill: () => token(band.color),
      })),
      hooks: {
        setCursor: [(u) => onMove(u.cursor.idx ?? null)],
        drawClear: [(u) => drawShade(u, spec.shade)],
        draw: [(u) => drawMarks(u, spec.marks ?? [])],
      },
      tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "Etc/UTC"),
    };
  }
}

/** The page's own measure of type [px]. */
function em(): number {
  return parseFloat(getComputedStyle(document.documentElement).fontSize) || 16;
}

function data(spec: ChartSpec): uPlot.AlignedData {
  return [spec.x as number[], ...spec.lines.map((line) => line.values as (number | null)[])] as uPlot.AlignedData;
}

function series(line: Line): uPlot.Series {
  const paths = line.stepped
    ? uPlot.paths.stepped?.({ align: 1 })
    : line.bars
      ? uPlot.paths.bars?.({ size: [0.86, 64], radius: 0.15 })
      : undefined;
  return {
    label: line.label,
    stroke: () => (line.edge || line.bars ? "transparent" : token(line.color)),
    fill: fillOf(line),
    width: line.edge || line.dots ? 0 : (line.width ?? 1.75),
    dash: line.dash,
    paths: line.dots ? () => null : paths,
    points: line.dots
      ? { show: true, size: 7, stroke: () => token(line.color), fill: () => token(line.color) }
      : { show: false },
    spanGaps: false,
  };
}

function fillOf({ bars, color, fill }: Line): (() => string) | undefined {
  const ground = bars ? color : fill;
  return ground === undefined ? undefined : () => token(ground);
}

/** Steps of an axis of counts. */
const WHOLE = [1, 2, 5].flatMap((first) => [1, 10, 100, 1e3, 1e4, 1e5, 1e6].map((power) => first * power)).sort((a, b) => a - b);

function axis(spec: ChartSpec, isY: boolean): uPlot.Axis {
  const size = em();
  const shared: uPlot.Axis = {
    stroke: () => token("--muted"),
    font: `${Math.round(size * 0.72)}px system-ui, sans-serif`,
    grid: { stroke: () => token("--grid"), width: 1, show: isY },
    ticks: { show: !isY, stroke: () => token("--grid"), width: 1, size: 4 },
  };
  if (isY) {
    const format = spec.format ?? ((value: number) => number(value));
    const steps = spec.whole ? { incrs: WHOLE } : {};
    const values = (_: uPlot, ticks: number[]) => ticks.map(format);
    return { ...shared, ...steps, size: Math.round(size * 3.4), gap: 6, space: size * 2.2, values };
  }
  const plain = spec.xFormat;
  return {
    ...shared,
    size: Math.round(size * 1.9),
    space: size * 5,
    ...(plain ? { values: (_: uPlot, ticks: number[]) => ticks.map(plain) } : {}),
    ...((spec.xKind ?? "time") === "time" && !plain ? { values: timeTicks } : {}),
  };
}

/** Times as `14:05`, and the day where it changes. */
function timeTicks(_: uPlot, ticks: number[]): string[] {
  let before = "";
  return ticks.map((tick) => {
    const today = day(tick);
    const text = clock(tick).slice(0, 5);
    const turned = before !== "" && today !== before;
    before = today;
    return text === "00:00" || turned ? today.slice(5) : text;
  });
}

function xExtent(spec: ChartSpec): [number, number] {
  if (spec.xRange) return spec.xRange;
  const low = spec.x[0] ?? 0;
  const high = spec.x[spec.x.length - 1] ?? 1;
  // A bar stands around its x and needs room at the ends.
  const room = spec.lines.some((line) => line.bars) ? (high - low) / Math.max(1, spec.x.length - 1) / 2 : 0;
  return low === high ? [low - 0.5, high + 0.5] : [low - room, high + room];
}

function yExtent(spec: ChartSpec, low: number | null, high: number | null): [number, number] {
  const [least, most] = spec.yRange ?? [0, null];
  const top = most ?? (high === null || high <= 0 ? 1 : high * 1.08);
  const bottom = least ?? low ?? 0;
  return bottom < top ? [bottom, top] : [bottom, bottom + 1];
}

/** Between the lines of a hatch [CSS px]. */
const HATCH = 7;

/** Hatched, so that it does not take a colour to see it. */
function drawShade(u: uPlot, shade: Shade | undefined): void {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio;
  for (const [from, to] of shade?.spans ?? []) {
    const left = Math.max(bbox.left, u.valToPos(from, "x", true));
    // A stretch of one step can be less than a pixel wide, and is seen all the same.
    const right = Math.min(bbox.left + bbox.width, Math.max(u.valToPos(to, "x", true), left + 2 * ratio));
    if (right <= left) continue;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, bbox.top, right - left, bbox.height);
    ctx.clip();
    ctx.strokeStyle = ctx.fillStyle = token(shade?.color ?? "--muted");
    ctx.globalAlpha = 0.12;
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
    ctx.globalAlpha = 0.55;
    ctx.lineWidth = ratio;
    ctx.setLineDash([]); // uPlot leaves that of its last line
    ctx.beginPath();
    const first = Math.floor((left - bbox.height) / (HATCH * ratio)) * HATCH * ratio;
    for (let x = first; x < right; x += HATCH * ratio) {
      ctx.moveTo(x, bbox.top + bbox.height);
      ctx.lineTo(x + bbox.height, bbox.top);
    }
    ctx.stroke();
    ctx.restore();
  }
}

function drawMarks(u: uPlot, marks: readonly Mark[]): void {
  const { ctx, bbox } = u;
  for (const mark of marks) {
    const x = Math.round(u.valToPos(mark.at, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = token(mark.color ?? "--muted");
    ctx.lineWidth = ratio;
    ctx.setLineDash([3 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.font = `${Math.round(em() * 0.72 * ratio)}px system-ui, sans-serif`;
    const isRight = x > bbox.left + bbox.width * 0.85;
    ctx.textAlign = isRight ? "right" : "left";
    ctx.textBaseline = "top";
    ctx.fillText(mark.label, x + (isRight ? -5 : 5) * ratio, bbox.top + 2 * ratio);
    ctx.restore();
  }
}

function key(line: Line, spec: ChartSpec, index: number | null): HTMLElement {
  const shape = line.fill ? "area" : line.bars ? "bar" : line.dots ? "dot" : line.dash ? "dash" : "line";
  const value = index === null ? "" : valueText(spec, line.values[index]);
  return h(
    "span",
    { class: "chart-key" },
    h("i", { class: `swatch swatch-${shape}`, style: keyStyle(line), "aria-hidden": "true" }),
    line.label,
    value && h("b", null, value),
  );
}

function keyStyle({ color, fill }: Line): Record<string, string> {
  return { color: `var(${color})`, ...(fill ? { background: `var(${fill})` } : {}) };
}

function bandKey(band: Band): HTMLElement {
  return h(
    "span",
    { class: "chart-key" },
    h("i", { class: "swatch swatch-band", style: { color: `var(${band.color})` }, "aria-hidden": "true" }),
    band.label,
  );
}

function shadeKey({ label, color }: Shade): HTMLElement {
  return h(
    "span",
    { class: "chart-key" },
    h("i", { class: "swatch swatch-hatch", style: { color: `var(${color})` }, "aria-hidden": "true" }),
    label,
  );
}

function readings(spec: ChartSpec, index: number): string[] {
  return spec.lines
    .filter((line) => known(line.values[index]))
    .map((line) => `${line.label} ${valueText(spec, line.values[index])}`);
}

function valueText(spec: ChartSpec, value: number | null | undefined): string {
  return known(value) ? (spec.format ?? ((v: number) => number(v)))(value) : "–";
}

function xText(spec: ChartSpec, x: number): string {
  if (spec.xFormat) return spec.xFormat(x);
  return (spec.xKind ?? "time") === "time" ? `${day(x).slice(5)} ${clock(x)} UTC` : number(x);
}

function sameShape(a: ChartSpec, b: ChartSpec): boolean {
  const look = (spec: ChartSpec) =>
    JSON.stringify([
      spec.lines.map(({ values: _, ...rest }) => rest),
      spec.bands,
      spec.height,
      spec.xKind,
      spec.sync,
    ]);
  return look(a) === look(b) && a.format === b.format && a.xFormat === b.xFormat;
}
