// What stands around every view: head, banner, main, and the voice for screen readers.

import type { Fleet } from "./api";
import { fill, h, setAttr, setText } from "./dom";
import { clock } from "./format";
import { brandMark, icon } from "./icons";
import { type Choice, choose, chosen } from "./theme";

export interface Shell {
  /** An empty element for a new view. */
  view(): HTMLElement;
  focusView(): void;
  summary(fleet: Fleet): void;
  /** What is wrong with the connection, above everything; null if nothing is. */
  trouble(words: string | null): void;
  announce(text: string): void;
  notFound(path: string): void;
}

const CHOICES: [Choice, string, string][] = [
  ["system", "As the system", "system"],
  ["light", "Light", "sun"],
  ["dark", "Dark", "moon"],
];

/** Builds the shell into the body. */
export function buildShell(body: HTMLElement): Shell {
  const time = h("time", { class: "head-clock", title: "The service's clock" });
  const banner = h("div", { class: "banner", role: "status", id: "connection" });
  const voice = h("div", { class: "sr-only", "aria-live": "polite", id: "voice" });
  const main = h("main", { id: "main", tabindex: -1 });
  banner.hidden = true;
  fill(
    body,
    h("a", { class: "skip", href: "#main" }, "Skip to the content"),
    h(
      "header",
      { class: "head" },
      h("a", { class: "brand", href: "/" }, brandMark(), "predictscale"),
      h("div", { class: "head-rest" }, time, themeSwitch()),
    ),
    banner,
    main,
    voice,
  );

  return {
    view: () => {
      const root = h("div", { class: "view" });
      fill(main, root);
      return root;
    },
    focusView: () => main.focus({ preventScroll: true }),
    summary: (fleet) => {
      setText(time, `${clock(fleet.now)} UTC`);
      setAttr(time, "datetime", fleet.now);
    },
    trouble: (words) => {
      if (banner.hidden === (words === null) && banner.textContent === (words ?? "")) return;
      banner.hidden = words === null;
      fill(banner, words !== null && [icon("alert"), h("span", null, words)]);
    },
    announce: (text) => setText(voice, text),
    notFound: (path) =>
      fill(
        main,
        h(
          "div",
          { class: "empty" },
          h("h1", null, "There is nothing here"),
          h("p", null, `${path} is no page of this service.`),
          h("p", null, h("a", { href: "/" }, "To the fleet")),
        ),
      ),
  };
}

function themeSwitch(): HTMLElement {
  const buttons = CHOICES.map(([choice, label, picture]) =>
    h(
      "button",
      {
        type: "button",
        class: "theme-choice",
        "aria-pressed": String(chosen() === choice),
        "aria-label": `Colours: ${label.toLowerCase()}`,
        title: label,
        on: { click: () => pick(choice) },
      },
      icon(picture),
    ),
  );

  function pick(choice: Choice): void {
    choose(choice);
    CHOICES.forEach(([each], i) => buttons[i]?.setAttribute("aria-pressed", String(each === choice)));
  }

  return h("div", { class: "theme-switch", role: "group", "aria-label": "Colours" }, buttons);
}
