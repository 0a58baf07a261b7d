// The grid: of a thousand rows only those in sight are elements. It scrolls with the page, says to screen readers
// how many rows there are and which one this is, and is walked with the keys of a grid.

import type { Row } from "../api";
import { h, setAttr } from "../dom";
import { icon } from "../icons";
import { walked } from "../keys";
import { type Asked, keyOf, type SortKey } from "./query";
import { RowView } from "./row";
import type { SparkKeeper } from "./sparks";

const AROUND = 6;
const DEBOUNCE_MS = 80;

interface Column {
  name: string;
  label: string;
  title: string;
  sort?: SortKey;
  num?: boolean;
}

const COLUMNS: readonly Column[] = [
  { name: "state", label: "State", title: "How it fares", sort: "state" },
  { name: "name", label: "Workload", title: "Namespace and name", sort: "name" },
  { name: "fleet", label: "Replicas", title: "Ready of those wanted", sort: "target" },
  { name: "demand", label: "Demand now", title: "Offered load per second", sort: "demand", num: true },
  { name: "peak", label: "Expected peak", title: "Within the lead time, at the policy's quantile", num: true },
  { name: "spark", label: "Last hour and ahead", title: "Demand, and what is foreseen" },
  { name: "saved", label: "Saved", title: "In the last month, beside a plain HPA", sort: "saved", num: true },
  { name: "model", label: "Model", title: "The forecaster that serves" },
  { name: "lead", label: "Lead time", title: "From a decision until a replica is ready", num: true },
  { name: "age", label: "Data age", title: "Of the newest demand", sort: "age", num: true },
];

export class Grid {
  readonly root: HTMLElement;
  private readonly head = h("div", { class: "grid-head", role: "rowgroup" });
  private readonly body = h("div", { class: "grid-body", role: "rowgroup" });
  private readonly ruler = h("div", { class: "grid-ruler", "aria-hidden": "true" });
  private readonly headers = new Map<SortKey, HTMLElement>();
  private rows: readonly Row[] = [];
  private readonly shown = new Map<string, RowView>();
  private readonly spare: RowView[] = [];
  private active = "";
  private frame = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private now: number | null = null;

  constructor(
    private readonly sparks: () => SparkKeeper,
    onSort: (key: SortKey) => void,
    signal: AbortSignal,
  ) {
    this.head.append(h("div", { role: "row", class: "row-head", "aria-rowindex": 1 }, COLUMNS.map((c) => this.header(c, onSort))));
    this.root = h("div", { class: "grid", role: "grid", "aria-label": "Workloads" }, this.head, this.body);
    this.root.append(this.ruler);
    const later = () => this.later();
    window.addEventListener("scroll", later, { passive: true, signal });
    window.addEventListener("resize", later, { signal });
    this.body.addEventListener("keydown", (event) => this.key(event));
    this.body.addEventListener("focusin", (event) => this.focused(event));
    signal.addEventListener("abort", () => {
      cancelAnimationFrame(this.frame);
      clearTimeout(this.timer);
    });
  }

  /** Shows other rows, or the same anew. */
  show(rows: readonly Row[], asked: Asked, now: number | null): void {
    this.rows = rows;
    this.now = now;
    for (const [key, header] of this.headers)
      setAttr(header, "aria-sort", key === asked.sort ? (asked.down ? "descending" : "ascending") : "none");
    setAttr(this.root, "aria-rowcount", rows.length + 1);
    this.draw();
  }

  /** The workloads in sight. */
  inSight(): string[] {
    return [...this.shown.keys()];
  }

  /** Draws the small charts anew. */
  drawSparks(): void {
    const sparks = this.sparks();
    for (const [key, view] of this.shown) view.showSpark(sparks.of(key), sparks.ahead_s);
  }

  /** The row that an element belongs to. */
  rowOf(element: EventTarget | null): RowView | undefined {
    const key = element instanceof Element ? element.closest<HTMLElement>("[data-key]")?.dataset.key : undefined;
    return key === undefined ? undefined : this.shown.get(key);
  }

  private header(column: Column, onSort: (key: SortKey) => void): HTMLElement {
    const { sort } = column;
    const arrow = h("span", { class: "arrow", "aria-hidden": "true" }, icon("down"));
    const inside = sort
      ? h("button", { type: "button", title: column.title, on: { click: () => onSort(sort) } }, column.label, arrow)
      : h("span", { title: column.title }, column.label);
    const header = h("div", { role: "columnheader", class: `cell cell-${column.name}${column.num ? " num" : ""}` }, inside);
    if (sort) this.headers.set(sort, header);
    return header;
  }

  private later(): void {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  private height(): number {
    return this.ruler.getBoundingClientRect().height || 56;
  }

  private range(height: number): [number, number] {
    const top = this.body.getBoundingClientRect().top;
    const first = Math.floor(-top / height) - AROUND;
    const last = Math.ceil((window.innerHeight - top) / height) + AROUND;
    return [Math.max(0, first), Math.min(this.rows.length, Math.max(0, last))];
  }

  private draw(): void {
    const height = this.height();
    this.body.style.setProperty("height", `${this.rows.length * height}px`);
    const [first, last] = this.range(height);
    const wanted = this.rows.slice(first, last).map((row, i) => ({ row, index: first + i, key: keyOf(row) }));
    this.keepFocused(wanted);
    const keys = new Set(wanted.map((each) => each.key));
    for (const [key, view] of this.shown) if (!keys.has(key)) this.release(key, view);
    const order = wanted.map(({ row, index, key }) => this.place(row, index, key, height));
    arrange(this.body, order);
    this.tabStop(wanted.map((each) => each.key));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.sparks().bring(), DEBOUNCE_MS);
  }

  /** The row that has the focus stays an element, wherever the page is scrolled. */
  private keepFocused(wanted: { row: Row; index: number; key: string }[]): void {
    const focused = this.rowOf(document.activeElement);
    if (!focused || wanted.some((each) => each.key === focused.key)) return;
    const index = this.rows.findIndex((row) => keyOf(row) === focused.key);
    const row = this.rows[index];
    if (row) wanted.push({ row, index, key: focused.key });
    wanted.sort((a, b) => a.index - b.index);
  }

  private place(row: Row, index: number, key: string, height: number): HTMLElement {
    let view = this.shown.get(key);
    if (!view) {
      view = this.spare.pop() ?? new RowView();
      this.shown.set(key, view);
      const sparks = this.sparks();
      view.showSpark(sparks.of(key), sparks.ahead_s);
    }
    view.show(row, this.now);
    setAttr(view.root, "aria-rowindex", index + 2);
    view.root.style.setProperty("transform", `translateY(${index * height}px)`);
    return view.root;
  }

  private release(key: string, view: RowView): void {
    this.shown.delete(key);
    view.root.remove();
    this.spare.push(view);
  }

  /** One row at a time is in the order of tabs; the arrow keys lead to the others. */
  private tabStop(keys: string[]): void {
    const stop = this.shown.has(this.active) ? this.active : (keys[0] ?? "");
    for (const [key, view] of this.shown) setAttr(view.link, "tabindex", key === stop ? 0 : -1);
  }

  private focused(event: FocusEvent): void {
    const view = this.rowOf(event.target);
    if (!view) return;
    this.active = view.key;
    this.tabStop([]);
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const view = this.rowOf(event.target);
    if (!view) return;
    const at = this.rows.findIndex((row) => keyOf(row) === view.key);
    const page = Math.max(1, Math.floor((window.innerHeight * 0.8) / this.height()));
    const to = walked(event.key, at, this.rows.length, page);
    if (to === null) return;
    event.preventDefault();
    this.focus(to);
  }

  private focus(index: number): void {
    const row = this.rows[index];
    if (!row) return;
    const height = this.height();
    const top = this.body.getBoundingClientRect().top + index * height;
    const above = this.head.getBoundingClientRect().height + 8;
    if (top < above) window.scrollBy({ top: top - above, behavior: "instant" });
    else if (top + height > window.innerHeight - 8)
      window.scrollBy({ top: top + height - window.innerHeight + 8, behavior: "instant" });
    this.draw();
    this.shown.get(keyOf(row))?.link.focus({ preventScroll: true });
  }
}

/** Puts elements in order, as few moves as may be, and never moves the one that has the focus. */
function arrange(parent: HTMLElement, order: HTMLElement[]): void {
  let next: Element | null = parent.firstElementChild;
  for (const element of order) {
    if (element === next) {
      next = next.nextElementSibling;
    } else if (element.contains(document.activeElement)) {
      while (next && next !== element) {
        const after: Element | null = next.nextElementSibling;
        parent.append(next);
        next = after;
      }
      next = element.nextElementSibling;
    } else parent.insertBefore(element, next);
  }
}

