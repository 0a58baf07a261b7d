// Elements without a framework. Text goes in by text nodes and styles by CSSOM alone: there is no way here to
// parse a string as HTML, so what people name things can never become markup, and the strict CSP holds.

export type Child = Node | string | number | null | undefined | false | Child[];
type Handler = (event: never) => void;

export interface Props {
  class?: string;
  /** Set by CSSOM, custom properties too: `{ "--share": "0.4", width: "3rem" }`. */
  style?: Record<string, string>;
  /** Listeners by event name. */
  on?: Record<string, Handler>;
  /** Any other attribute. `false`, `null` and `undefined` leave it out; `true` writes it empty. */
  [attribute: string]: string | number | boolean | null | undefined | Record<string, unknown>;
}

/** An HTML element with attributes and children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props | null = null,
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  dress(element, props);
  append(element, children);
  return element;
}

/** The same for SVG. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  props: Props | null = null,
  ...children: Child[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  dress(element, props);
  append(element, children);
  return element;
}

/** Replaces what an element holds. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren();
  append(element, children);
}

/** Writes text if it differs: an unchanged node keeps selection, and live regions stay silent. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets or removes an attribute if it differs. */
export function setAttr(element: Element, name: string, value: string | number | boolean | null | undefined): void {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/** Text for screen readers alone. */
export function hidden(text: string): HTMLElement {
  return h("span", { class: "sr-only" }, text);
}

let ids = 0;

/** An id that nothing else on the page has. */
export function uid(prefix: string): string {
  ids += 1;
  return `${prefix}-${ids}`;
}

function dress(element: HTMLElement | SVGElement, props: Props | null): void {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (name === "style") {
      for (const [key, text] of Object.entries(value as Record<string, string>)) element.style.setProperty(key, text);
    } else if (name === "on") {
      for (const [event, call] of Object.entries(value as Record<string, EventListener>))
        element.addEventListener(event, call);
    } else if (typeof value !== "object") setAttr(element, name, value);
  }
}

function append(element: Element, children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(element, child);
    else element.append(child instanceof Node ? child : String(child));
  }
}
