// What the inspector's pages do beyond HTML: follow a job, go back in time, draw a proof. Everything here also works,
// more slowly, without a script. Data becomes text nodes only; parts of a page come from the server, which escapes.
"use strict";

document.documentElement.classList.add("scripted");

const part = async (address) => {
  const answer = await fetch(address, { headers: { accept: "text/html" } });
  if (!answer.ok) throw new Error(`${address} answered ${answer.status}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html").body.firstElementChild;
};

// Puts a new part in place of an old one: what was unfolded, focused and typed stays so.
const replace = (old, fresh) => {
  const name = (node) => node.dataset.kind ?? node.id ?? "";
  const open = new Map([...old.querySelectorAll("details")].map((one) => [name(one), one.open]));
  for (const one of fresh.querySelectorAll("details")) if (name(one) && open.has(name(one))) one.open = open.get(name(one));
  const typed = [...old.querySelectorAll("form.request")].filter((form) => form.dataset.touched);
  for (const form of typed) {
    const request = form.elements.request.value;
    const same = [...fresh.querySelectorAll("form.request")].find((one) => one.elements.request.value === request);
    if (same) same.replaceWith(form);
  }
  const focused = document.activeElement?.id;
  old.replaceWith(fresh);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
};

document.addEventListener("input", (event) => {
  const form = event.target.closest?.("form.request");
  if (form) form.dataset.touched = "yes";
});

// --- following a job ------------------------------------------------------------------------------------------------

const follow = () => {
  const live = document.getElementById("live");
  if (!live || !("EventSource" in window)) return;
  const log = document.getElementById("log");
  const source = new EventSource(`${live.dataset.events}?after=${encodeURIComponent(live.dataset.after)}`);
  let wanted = false;
  let busy = false;
  let running = live.dataset.running;
  const refresh = async () => {
    wanted = true;
    if (busy) return;
    busy = true;
    while (wanted) {
      wanted = false;
      const began = performance.now();
      const old = document.getElementById("live");
      await part(old.dataset.self).then((fresh) => replace(old, fresh)).catch(() => {});
      // A large job takes long to read: look no more often than leaves the server most of its time.
      await new Promise((done) => setTimeout(done, Math.max(250, 3 * (performance.now() - began))));
    }
    busy = false;
  };
  source.addEventListener("happened", (message) => {
    const event = JSON.parse(message.data);
    const line = document.createElement("li");
    line.className = event.type;
    if (event.at) {
      const time = document.createElement("time");
      time.textContent = new Date(event.at * 1000).toISOString().slice(11, 19);
      line.append(time, " ");
    }
    line.append(event.said);
    log.prepend(line);
    while (log.children.length > 500) log.lastElementChild.remove();
  });
  source.addEventListener("cycle", (message) => {
    const { cycle } = JSON.parse(message.data);
    const slider = document.getElementById("cycle");
    if (slider) {
      const atEnd = slider.value === slider.max;
      slider.max = cycle;
      if (atEnd && !new URLSearchParams(location.search).has("cycle")) {
        slider.value = cycle;
        travel(slider, cycle, true);
      }
    }
    refresh();
  });
  source.addEventListener("state", (message) => {
    const now = JSON.parse(message.data).running ? "yes" : "no";
    if (now !== running) refresh();
    running = now;
  });
  source.addEventListener("gone", () => source.close());
  addEventListener("pagehide", () => source.close());
};

// --- going back in time -----------------------------------------------------------------------------------------------

let journey = 0;
const travel = async (slider, cycle, quiet) => {
  const form = slider.form;
  const mine = ++journey;
  const last = slider.max;
  const query = String(cycle) === String(last) ? "" : `?cycle=${cycle}`;
  await new Promise((done) => setTimeout(done, quiet ? 500 : 120));
  if (mine !== journey) return;
  const fresh = await part(`${form.dataset.at}${query}`).catch(() => null);
  if (mine !== journey || !fresh) return;
  if (!quiet) history.replaceState(null, "", `${form.dataset.page}${query}`);
  replace(document.getElementById("facts"), fresh);
};

document.addEventListener("input", (event) => {
  if (event.target.id === "cycle") travel(event.target, event.target.value, false);
});
document.addEventListener("click", (event) => {
  const step = event.target.closest?.(".slider a.step");
  const slider = document.getElementById("cycle");
  if (!step || !slider || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const cycle = new URL(step.href).searchParams.get("cycle") ?? slider.max;
  slider.value = cycle;
  travel(slider, cycle, false);
});

// --- a proof as a graph -------------------------------------------------------------------------------------------------

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 216;
const TALL = 58;
const MANY = 4; // reasons of one kind from one source: more stand in one box until it is opened

const draw = (name, attributes, ...children) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};
const clip = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

class Graph {
  constructor(home, data) {
    this.canvas = home.querySelector(".canvas");
    this.aside = home.querySelector(".told");
    this.nodes = new Map(data.nodes.map((node) => [node.id, node]));
    this.root = data.root;
    this.open = new Set([data.root]);
    this.chosen = data.root;
    this.show();
  }

  // What stands below an open node: its reasons, and those of one kind from one source in one box if they are many.
  below(node) {
    const groups = new Map();
    for (const id of node.because) {
      const reason = this.nodes.get(id);
      const key = `${node.id} ${reason.agent ?? ""} ${reason.kind}`;
      groups.set(key, [...(groups.get(key) ?? []), reason]);
    }
    return [...groups].flatMap(([key, several]) => {
      if (several.length <= MANY || this.open.has(key)) return several;
      const [one] = several;
      return [{ id: key, kind: `${several.length} ${one.kind}`, text: "open to see each", agent: one.agent, bundle: several, because: [] }];
    });
  }

  visible() {
    const found = new Map([[this.root, this.nodes.get(this.root)]]);
    const edges = [];
    for (const node of found.values()) {
      if (!this.open.has(node.id) || node.bundle) continue;
      for (const reason of this.below(node)) {
        found.set(reason.id, reason);
        edges.push([node.id, reason.id]);
      }
    }
    return [found, edges];
  }

  show(focus) {
    const [found, edges] = this.visible();
    const plan = new dagre.graphlib.Graph();
    plan.setGraph({ rankdir: "LR", nodesep: 14, ranksep: 46, marginx: 6, marginy: 6 });
    plan.setDefaultEdgeLabel(() => ({}));
    for (const id of found.keys()) plan.setNode(id, { width: WIDE, height: TALL });
    for (const [one, other] of edges) plan.setEdge(one, other);
    dagre.layout(plan);
    const { width, height } = plan.graph();
    const tip = draw("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, draw("path", { d: "M0 0 8 4 0 8z", class: "tip" }));
    const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "tree", "aria-label": "what it rests on" }, draw("defs", {}, tip));
    for (const edge of plan.edges()) {
      const [first, ...rest] = plan.edge(edge).points;
      const path = `M${first.x} ${first.y}${rest.map((point) => `L${point.x} ${point.y}`).join("")}`;
      svg.append(draw("path", { d: path, class: "edge", "marker-end": "url(#tip)" }));
    }
    for (const [id, node] of found) svg.append(this.box(node, plan.node(id)));
    this.canvas.replaceChildren(svg);
    if (focus) this.canvas.querySelector(`[data-id="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
    const at = plan.node(focus ?? this.root);
    const seen = this.canvas.scrollTop < at.y - TALL && at.y + TALL < this.canvas.scrollTop + this.canvas.clientHeight;
    if (!seen) this.canvas.scrollTop = at.y - this.canvas.clientHeight / 2;
    if (focus && at.x + 1.6 * WIDE > this.canvas.scrollLeft + this.canvas.clientWidth) this.canvas.scrollLeft = at.x - WIDE;
  }

  box(node, { x, y }) {
    const isOpen = this.open.has(node.id);
    const folds = node.bundle || node.because.length;
    const by = node.bundle ? (node.agent ?? "given") : node.agent === null ? "given" : `${node.agent}, round ${node.round}`;
    const hint = node.bundle || !folds ? "" : isOpen ? "  −" : `  + ${node.because.length}`;
    const classes = ["node", node.agent === null ? "given" : "derived", node.bundle && "bundle", node.calls?.length && "asked", node.id === this.chosen && "chosen"];
    const label = `${node.kind} ${clip(node.text ?? "", 200)}, ${by}`;
    const group = draw(
      "g",
      { class: classes.filter(Boolean).join(" "), transform: `translate(${x - WIDE / 2} ${y - TALL / 2})`, tabindex: 0, role: "treeitem", "aria-label": label, "data-id": node.id, ...(folds ? { "aria-expanded": isOpen } : {}) },
      draw("rect", { width: WIDE, height: TALL, rx: 8 }),
      draw("text", { x: 10, y: 18, class: "head" }, clip(node.kind, 30)),
      draw("text", { x: 10, y: 34 }, clip(node.text ?? "", 30)),
      draw("text", { x: 10, y: 50, class: "foot" }, clip(by, 28) + hint + (node.calls?.length ? "  · asked a model" : "")),
    );
    const act = () => {
      this.chosen = node.id;
      if (folds) this.open[isOpen ? "delete" : "add"](node.id);
      if (node.bundle) this.chosen = node.bundle[0].id;
      this.tell(node);
      this.show(node.bundle ? node.bundle[0].id : node.id);
    };
    group.addEventListener("click", act);
    group.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        act();
      } else if (event.key.startsWith("Arrow")) {
        event.preventDefault();
        const every = [...this.canvas.querySelectorAll(".node")];
        const step = event.key === "ArrowDown" || event.key === "ArrowRight" ? 1 : -1;
        every[every.indexOf(group) + step]?.focus();
      }
    });
    return group;
  }

  // Says what a box is about: as text, whatever is in it.
  tell(node) {
    const element = (name, text, properties = {}) => Object.assign(document.createElement(name), { textContent: text }, properties);
    const parts = [element("h3", node.kind), element("p", node.text ?? "")];
    if (node.href) parts.push(element("p", ""));
    if (node.href) parts.at(-1).append(element("a", "Open this fact", { href: node.href }));
    if (node.more) parts.push(element("p", `${node.more} more reasons are not drawn: open the fact`, { className: "dim" }));
    for (const call of node.calls ?? []) {
      parts.push(element("h3", `${call.who} was asked`));
      for (const message of call.prompt) parts.push(element("h4", message.role), element("pre", message.text));
      parts.push(element("h4", "answer"), element("pre", call.answer));
    }
    this.aside.replaceChildren(...parts);
  }
}

for (const home of document.querySelectorAll("[data-graph]")) {
  fetch(home.dataset.graph)
    .then((answer) => answer.json())
    .then((data) => new Graph(home, data))
    .catch(() => home.remove());
}

follow();
