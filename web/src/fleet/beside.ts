// What is not in the grid: triggers that were refused, with every problem, and those that wait for their history.

import { fill, h } from "../dom";
import { instant } from "../format";
import { icon } from "../icons";
import type { Beside } from "./rows";

/** Shows them, or nothing. */
export function showBeside(root: HTMLElement, { waiting, refused }: Beside): void {
  root.hidden = !waiting.length && !refused.length;
  fill(
    root,
    refused.length > 0 && [
      h("h2", null, "Refused triggers"),
      h("p", { class: "muted" }, "KEDA asks for these, and their metadata cannot be served."),
      h("ul", { class: "refused" }, refused.map((each) =>
        h("li", { class: "card" },
          h("h3", null, icon("cross"), `${each.namespace}/${each.scaled_object}`),
          h("ul", null, each.problems.map((problem) => h("li", null, problem))),
          h("p", { class: "muted small" }, `since ${instant(each.since)}`)))),
    ],
    waiting.length > 0 && [
      h("h2", null, "Waiting for a first decision"),
      h("p", { class: "muted" }, "They are followed; their history is being read."),
      h("ul", { class: "waiting" }, waiting.map((name) => h("li", { class: "tag" }, name))),
    ],
  );
}
