// Displays the matrix, its filters and the details of a cell. Foreign text is inserted only as text nodes.

const model = buildModel(JSON.parse(document.getElementById("data").textContent));
const part = (id) => document.getElementById(id);
let state = readState(location.hash);

// Creates an element from its name with classes, its attributes, and children that are elements or text.
function element(name, attributes, ...children) {
  const [tag, ...classes] = name.split(".");
  const created = document.createElement(tag);
  if (classes.length > 0) created.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (key.startsWith("on")) created.addEventListener(key.slice(2), value);
    else if (value !== false && value !== undefined) created.setAttribute(key, shown(value));
  }
  created.append(...children.filter((child) => child !== null).map((child) => (child instanceof Node ? child : shown(child))));
  return created;
}

const badge = (verdict, text) => element(`span.badge.${verdict}`, {}, `${MARKS[verdict]} ${text ?? verdict}`);
// Up to this many columns leave room for the statements.
const FEW_COLUMNS = 3;
const seconds = (millis) => `${(millis / 1000).toFixed(2)} s`;
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

function showHead() {
  const { report } = model;
  const run = report.run;
  part("lab").textContent = shown(run
    ? `${run.kmodlab}: QEMU ${run.qemu}, ${run.accelerator}, ${run.profile} boot, ${run.virtual_time ? "virtual" : "real"} time`
    : "a report without lab information");
  const known = report.counts.known === 1 ? "known deviation" : "known deviations";
  const words = { pass: "passed", fail: "failed", error: "inconclusive", known, skip: "skipped" };
  part("outcome").append(...Object.entries(words)
    .filter(([verdict]) => report.counts[verdict] > 0 || verdict === "pass")
    .map(([verdict, word]) => verdictButton(verdict, `${report.counts[verdict]} ${word}`)));
  if (report.counts.flaky > 0) part("outcome").append(element("span.badge.error", {}, `${report.counts.flaky} flaky`));
  const end = report.end;
  part("outcome").append(element("span.soft", {}, [
    end ? `in ${seconds(end.wall_ms)}` : "incomplete: the run has no end",
    end?.interrupted ? "interrupted" : "",
    end?.not_run > 0 ? `${end.not_run} not run` : "",
    `exit code ${report.exit_code}`,
  ].filter(Boolean).join(", ")));
  const skipped = report.skipped_kernels;
  part("skipped-kernels").hidden = skipped.length === 0;
  part("skipped-kernels").append(...skipped.map((kernel) => element("p", {}, `kernel ${kernel.name} was skipped: ${kernel.reason}`)));
  part("legend").append(
    ...Object.keys(MARKS).map((verdict) => badge(verdict)),
    element("span.words", {}, "A, B, …: cells of a row with the same letter have the same facts; *: flaky"),
    element("span.keys", {}, element("kbd", {}, "↑↓←→"), " select a cell, ", element("kbd", {}, "Enter"), " show details, ",
      element("kbd", {}, "Esc"), " close, ", element("kbd", {}, "/"), " search"));
}

// A badge that shows only the behaviours with this verdict, or all again.
function verdictButton(verdict, text) {
  const button = element(`button.badge.${verdict}`, { type: "button", "aria-pressed": "false", onclick: () => toggle("verdict", verdict) },
    `${MARKS[verdict]} ${text}`);
  button.value = verdict;
  return button;
}

// Adds a value to a filter, or removes it.
function toggle(name, value) {
  const chosen = state[name];
  change({ [name]: chosen.includes(value) ? chosen.filter((other) => other !== value) : [...chosen, value] });
}

function showFilters() {
  const choices = {
    verdict: Object.keys(MARKS).filter((verdict) => model.report.counts[verdict] > 0),
    group: model.groups,
    kernel: model.kernels.map((kernel) => kernel.label),
    subject: model.subjects,
  };
  for (const [name, values] of Object.entries(choices)) {
    part(name).append(...values.map((value) => {
      const button = element("button", { type: "button", "aria-pressed": "false" }, value);
      button.value = value;
      button.addEventListener("click", () => toggle(name, value));
      return button;
    }));
  }
  part("search").addEventListener("input", (event) => change({ search: event.target.value }));
  part("differences").addEventListener("change", (event) => change({ differences: event.target.value }));
  part("reset").addEventListener("click", () => change({ ...readState(""), id: state.id, on: state.on, with: state.with }));
  part("filters").open = matchMedia("(min-width: 60rem)").matches;
}

function updateFilters() {
  for (const name of LISTS) {
    for (const button of part(name).querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(state[name].includes(button.value)));
    }
  }
  for (const button of part("outcome").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(state.verdict.includes(button.value)));
  }
  if (part("search").value !== state.search) part("search").value = state.search;
  part("differences").value = state.differences;
  const active = LISTS.flatMap((name) => state[name]).concat(state.search ? [`“${state.search}”`] : [])
    .concat(state.differences ? ["differences"] : []);
  part("active").textContent = active.length > 0 ? shown(`(${active.join(", ")})`) : "";
}

function showMatrix() {
  const rows = selected(model, state);
  const kernels = model.kernels.filter((kernel) => state.kernel.length === 0 || state.kernel.includes(kernel.label));
  const subjects = model.subjects.filter((subject) => state.subject.length === 0 || state.subject.includes(subject));
  part("count").textContent = `${rows.length} of ${plural(model.behaviours.length, "behaviour")}`;
  if (rows.length === 0) {
    part("matrix").replaceChildren(element("p", {}, "No behaviour matches these filters."));
    return;
  }
  const columns = kernels.length * subjects.length;
  const stated = columns <= FEW_COLUMNS;
  const head = element("thead", {},
    element("tr", {}, element("th.id", { rowspan: 2, scope: "col" }, "behaviour"), ...kernels.map((kernel) =>
      element("th.kernel.edge", { colspan: subjects.length, scope: "colgroup", title: `${kernel.name} (${kernel.release})` }, kernel.label)),
      stated ? element("th.statement", { rowspan: 2, scope: "col" }, "statement") : null),
    element("tr", {}, ...kernels.flatMap(() => subjects.map((subject, at) =>
      element(at === 0 ? "th.subject.edge" : "th.subject", { scope: "col", title: subject }, element("span", {}, subject))))));
  const table = element(columns > 6 ? "table.matrix.narrow" : stated ? "table.matrix.stated" : "table.matrix", {}, head);
  for (const group of model.groups) {
    const members = rows.filter((behaviour) => behaviour.group === group);
    if (members.length === 0) continue;
    table.append(element("tbody", {},
      element("tr.section", {}, element("th.id", { scope: "rowgroup" }, group, ...groupCounts(members)),
        element("th", { colspan: columns }), stated ? element("th.statement", {}) : null),
      ...members.map((behaviour) => matrixRow(behaviour, kernels, subjects, stated))));
  }
  const scroll = [part("matrix").scrollTop, part("matrix").scrollLeft];
  part("matrix").replaceChildren(table);
  [part("matrix").scrollTop, part("matrix").scrollLeft] = scroll;
  const first = table.querySelector(".cell[aria-current]") ?? table.querySelector(".cell");
  first?.setAttribute("tabindex", "0");
}

// The number of behaviours in a group, and of its cells with a verdict other than pass.
function groupCounts(members) {
  const verdicts = members.flatMap((behaviour) => visibleCells(model, behaviour, state)).map((cell) => cell.verdict);
  const count = (verdict) => verdicts.filter((other) => other === verdict).length;
  return [element("span.soft", {}, ` ${members.length}`),
    ...WORST_FIRST.filter((verdict) => verdict !== "pass" && count(verdict) > 0).map((verdict) => badge(verdict, count(verdict)))];
}

function matrixRow(behaviour, kernels, subjects, stated) {
  const open = behaviour.id === state.id;
  const name = element("button", { type: "button", title: behaviour.statement, tabindex: "-1",
    onclick: () => change({ id: behaviour.id, on: "", with: "" }, true) }, behaviour.id);
  const cells = kernels.flatMap((kernel) => {
    const here = [...behaviour.cells.values()].filter((cell) => cell.kernel === kernel.label);
    if (behaviour.about === "kernel") return [cellOf(behaviour, here[0], kernel.label, subjects.length, true)];
    return subjects.map((subject, at) => cellOf(behaviour, here.find((cell) => cell.subject === subject), kernel.label, 1, at === 0));
  });
  return element(open ? "tr.open" : "tr", {}, element("th.id", { scope: "row" }, name), ...cells, stated ? statementOf(behaviour) : null);
}

// The statement, after the reason of the worst cell that is not as stated.
function statementOf(behaviour) {
  const cells = visibleCells(model, behaviour, state).filter((cell) => cell.verdict !== "pass" && cell.rows[0].reason !== null);
  const [worst] = cells.sort((a, b) => WORST_FIRST.indexOf(a.verdict) - WORST_FIRST.indexOf(b.verdict));
  const reason = worst ? element(`span.badge.${worst.verdict}`, {}, worst.rows[0].reason.split("\n")[0]) : null;
  return element("td.statement", { title: behaviour.statement }, reason, behaviour.statement);
}

function cellOf(behaviour, cell, kernel, span, edge) {
  const box = edge ? "td.edge" : "td";
  if (!cell) return element(`${box}.none`, { colspan: span }, "");
  const current = behaviour.id === state.id && cell.kernel === state.on && cell.subject === state.with;
  const times = cell.rows.length > 1 ? ` ×${cell.rows.length}` : "";
  const button = element(`button.cell.${cell.verdict}`, {
    type: "button", tabindex: "-1", "aria-current": current ? "true" : undefined,
    "aria-label": `${behaviour.id} on ${kernel} with ${cell.subject}: ${cell.verdict}`,
    title: cell.rows[0].reason ?? undefined,
    onclick: () => change({ id: behaviour.id, on: cell.kernel, with: cell.subject }, true),
  }, `${MARKS[cell.verdict]}${times}${cell.rows.some((row) => row.flaky) ? "*" : ""}`);
  if (behaviour.variants.length > 1 && cell.variant !== undefined) button.append(element("sub", {}, letter(cell.variant)));
  if (!hasSelectedVerdict(state, cell)) button.classList.add("dim");
  return element(box, { colspan: span }, button);
}

function showDetail(focus) {
  const behaviour = model.behaviours.find((behaviour) => behaviour.id === state.id);
  part("detail").hidden = !behaviour;
  if (!behaviour) return;
  const cell = [...behaviour.cells.values()].find((cell) => cell.kernel === state.on && cell.subject === state.with);
  part("detail").replaceChildren(
    element("div.top", {}, element("h2", {}, behaviour.id),
      element("button", { type: "button", id: "close", onclick: close }, "Close")),
    element("p", {}, behaviour.statement),
    element("p.soft", {}, `${behaviour.catalogue}; tests ${behaviour.about === "kernel" ? "the kernel" : "kernel and tools"}; source: ${behaviour.source}`),
    ...(cell ? cell.rows.flatMap((row, at) => rowDetail(row, at, cell.rows.length)) : []),
    ...sideBySide(behaviour, cell !== undefined),
    ...(cell ? [] : reasons(behaviour)));
  part("detail").scrollTop = 0;
  if (focus) part("detail").focus({ preventScroll: true });
}

function rowDetail(row, at, of) {
  const decided = { image: "from the kernel image", config: "from the configuration", version: "from the release", lab: "set by the lab", user: "set by the user" };
  const probes = Object.entries(row.probes ?? {}).map(([name, probe]) => `; ${name} ${probe.value} (${decided[probe.by] ?? probe.by})`).join("");
  const mark = (fact) => fact.holds ? "✓" : fact.deviation ? "≈" : "✗";
  const facts = row.facts.flatMap((fact) => [
    element(fact.holds || fact.deviation ? "tr" : "tr.wrong", {},
      element("td", {}, `${mark(fact)} ${fact.name}`), element("td", {}, fact.expected), element("td", {}, fact.got)),
    fact.deviation ? element("tr", {}, element("td.soft", { colspan: "3" },
      shown(`known: ${fact.deviation.reason}${fact.deviation.reference ? ` (${fact.deviation.reference})` : ""}`))) : null,
  ]);
  return [
    element("h3", {}, badge(row.verdict), ` on ${row.kernel.name} with ${row.subject}${of > 1 ? `, ${at + 1} of ${of}` : ""}`),
    element("p.soft", {}, `release ${row.kernel.release}${probes}; ${row.guest_ms === null ? "" : `guest time ${seconds(row.guest_ms)}, `}wall time ${seconds(row.wall_ms)}`),
    row.reason ? element("p.reason", {}, ...lines(row.reason)) : null,
    facts.length > 0 ? element("div.scroll", {}, element("table.facts", {}, element("thead", {}, element("tr", {},
      ...["fact", "expected", "got"].map((word) => element("th", { scope: "col" }, word)))), element("tbody", {}, ...facts))) : null,
    ...(row.findings ?? []).flatMap((finding) => [
      element("h3", {}, shown(`${finding.boot ? "while booting: " : ""}${finding.kind}: ${finding.title}`)),
      finding.allowed ? element("p.soft", {}, shown(`Allowed: ${finding.allowed}`)) : null,
      (finding.trace ?? []).length > 0 ? element("pre", { tabindex: "0" }, ...lines(finding.trace.join("\n"))) : null,
    ]),
    ...excerpt(row, "Last lines of the console"),
    ...(row.attempts ?? []).flatMap((attempt, at) => attemptDetail(attempt, at, row.attempts.length)),
  ].filter((item) => item !== null);
}

const excerpt = (row, title) => ((row.console ?? []).length === 0 ? []
  : [element("h3", {}, title), element("pre", { tabindex: "0" }, ...lines(row.console.join("\n")))]);

// The evidence of one of several attempts.
function attemptDetail(attempt, at, of) {
  const wrong = (attempt.facts ?? []).filter((fact) => !fact.holds && !fact.deviation);
  return [
    element("h3", {}, badge(attempt.verdict), ` attempt ${at + 1} of ${of}, ${seconds(attempt.wall_ms)}`),
    attempt.reason ? element("p.reason", {}, ...lines(attempt.reason)) : null,
    ...wrong.map((fact) => element("p.reason", {}, `✗ ${fact.name}: expected ${fact.expected}, got ${fact.got}`)),
    ...excerpt(attempt, `Last lines of the console, attempt ${at + 1}`),
  ];
}

// A text of several lines, in which only line feeds are not escaped.
const lines = (text) => text.split("\n").flatMap((line, at) => (at === 0 ? [shown(line)] : [document.createTextNode("\n"), shown(line)]));

// The observations side by side: one column for each set of facts, with its kernels and subjects.
function sideBySide(behaviour, alone) {
  const { variants } = behaviour;
  const judged = variants.flatMap((variant) => variant.cells).length;
  if (judged === 0 || (variants.length === 1 && alone)) {
    return judged > 1 ? [element("p.soft", {}, `All ${judged} judged cells have the same facts.`)] : [];
  }
  const names = unique(variants.flatMap((variant) => variant.facts.map((fact) => fact.name)));
  const got = (variant, name) => variant.facts.filter((fact) => fact.name === name).map((fact) => fact.got).join("; ");
  const rows = names.map((name) => {
    const values = variants.map((variant) => got(variant, name));
    return element(unique(values).length > 1 ? "tr.differs" : "tr", {}, element("td", {}, name), ...values.map((value) => element("td", {}, value)));
  });
  const where = (variant) => {
    const pairs = model.kernels.map((kernel) => [kernel.label, variant.cells.filter((cell) => cell.kernel === kernel.label).map((cell) => cell.subject).join(", ")]);
    if (behaviour.about === "kernel") return pairs.filter(([, subjects]) => subjects !== "").map(([kernel]) => kernel);
    if (pairs.length > 1 && unique(pairs.map(([, subjects]) => subjects)).length === 1) return [`all kernels: ${pairs[0][1]}`];
    return pairs.filter(([, subjects]) => subjects !== "").map(([kernel, subjects]) => `${kernel}: ${subjects}`);
  };
  const head = variants.map((variant, at) => element("th", { scope: "col" }, letter(at), ...where(variant).map((text) => element("span.where", {}, text))));
  return [
    element("h3", {}, variants.length > 1 ? "Side by side" : "Same facts everywhere"),
    element("div.scroll", { tabindex: "0" }, element("table.facts", { id: "side" }, element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "fact"), ...head)), element("tbody", {}, ...rows))),
  ];
}

function reasons(behaviour) {
  const withReason = [...behaviour.cells.values()].filter((cell) => cell.rows[0].reason !== null);
  return withReason.length === 0 ? [] : [element("h3", {}, "Reasons"), ...withReason.map((cell) =>
    element("p.reason", {}, badge(cell.verdict), ` ${cell.kernel} with ${cell.subject}: `, ...lines(cell.rows[0].reason)))];
}

function show(focus) {
  updateFilters();
  showMatrix();
  showDetail(focus);
  part("matrix").querySelector(".cell[aria-current], tr.open button")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

// A change adds an entry to the browser history only if it opens something.
function change(changes, focus) {
  state = { ...state, ...changes };
  const fragment = `#${writeState(state)}`;
  if (focus) history.pushState(null, "", fragment);
  else history.replaceState(null, "", fragment);
  show(focus);
}

function close() {
  const { id, on } = state;
  change({ id: "", on: "", with: "" });
  const row = [...part("matrix").querySelectorAll("tbody tr")].find((row) => row.querySelector(".id button")?.textContent === shown(id));
  const cells = [...(row?.querySelectorAll(".cell") ?? [])];
  (cells.find((cell) => cell.getAttribute("aria-label").startsWith(shown(`${id} on ${on} with`))) ?? row?.querySelector("button") ?? part("matrix")).focus();
}

// The arrow keys move between cells, of which only one is reachable by the Tab key.
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
part("matrix").addEventListener("keydown", (event) => {
  const step = STEPS[event.key];
  const button = event.target.closest?.("button");
  if (!step || !button || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const table = [...part("matrix").querySelectorAll("tbody tr:not(.section)")];
  const grid = table.map((row) => [...row.querySelectorAll("button")]);
  const down = table.indexOf(button.closest("tr"));
  const box = button.getBoundingClientRect();
  const across = grid[down].indexOf(button);
  const row = grid[down + step[0]];
  const next = step[0] === 0 ? grid[down][across + step[1]]
    : row?.find((other) => other.getBoundingClientRect().right > box.left + 1) ?? row?.at(-1);
  if (!next) return;
  part("matrix").querySelectorAll("[tabindex='0']").forEach((other) => other.setAttribute("tabindex", "-1"));
  next.setAttribute("tabindex", "0");
  next.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && state.id) close();
  if (event.key === "/" && !["INPUT", "SELECT"].includes(event.target.tagName)) {
    event.preventDefault();
    part("filters").open = true;
    part("search").focus();
  }
});
addEventListener("hashchange", () => { state = readState(location.hash); show(false); });
addEventListener("popstate", () => { state = readState(location.hash); show(false); });

showHead();
showFilters();
show(false);
