"use strict";
// The report as a matrix: pure functions over the data, which view.js displays.

const MARKS = { pass: "✓", known: "≈", skip: "–", fail: "✗", error: "!" };
const WORST_FIRST = ["fail", "error", "known", "pass", "skip"];

// Escapes characters that are invisible or that change the order of the text around them.
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202f\u205f-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\u{e0000}-\u{e0fff}]/gu;
const shown = (text) => String(text ?? "").replace(INVISIBLE, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);

const unique = (items) => [...new Set(items)];

// A unique short name for each kernel: its name; for a path its release, or else as much of the path as is needed, without
// the part that all built kernel trees have in common.
function kernelLabels(kernels) {
  const suffix = (path, parts) => path.replace(/(.)\/arch\/x86\/boot\/bzImage$/, "$1").split("/").slice(-parts).join("/");
  const labels = kernels.map((kernel) => {
    const others = kernels.filter((other) => other !== kernel);
    if (!kernel.name.includes("/")) {
      return others.some((other) => other.name === kernel.name) ? `${kernel.name} ${kernel.release}` : kernel.name;
    }
    if (!others.some((other) => other.release === kernel.release || other.name === kernel.release)) return kernel.release;
    let parts = 1;
    while (parts < kernel.name.split("/").length && others.some((other) => suffix(other.name, parts) === suffix(kernel.name, parts))) parts += 1;
    return suffix(kernel.name, parts);
  });
  return labels.map((label, at) => (labels.indexOf(label) === at ? label : `${label} #${at + 1}`));
}

// The observed values without the expected ones; null for a row that was not judged.
function transcript(row) {
  if (row.verdict === "skip" || row.verdict === "error") return null;
  return JSON.stringify(row.facts.map((fact) => [fact.name, fact.got]));
}

function buildModel(report) {
  const kernelKey = (row) => `${row.kernel.name}\n${row.kernel.release}`;
  const kernels = unique(report.results.map(kernelKey)).map((key) => {
    const [name, release] = key.split("\n");
    return { key, name, release };
  });
  kernelLabels(kernels).forEach((label, at) => (kernels[at].label = label));
  const subjects = unique(report.results.map((row) => row.subject));
  const behaviours = new Map();
  for (const row of report.results) {
    if (!behaviours.has(row.id)) behaviours.set(row.id, { ...row, cells: new Map(), variants: [] });
    const behaviour = behaviours.get(row.id);
    const kernel = kernels.find((kernel) => kernel.key === kernelKey(row));
    const place = `${kernel.label}\n${row.subject}`;
    if (!behaviour.cells.has(place)) behaviour.cells.set(place, { kernel: kernel.label, subject: row.subject, rows: [] });
    behaviour.cells.get(place).rows.push(row);
  }
  for (const behaviour of behaviours.values()) {
    for (const cell of behaviour.cells.values()) {
      cell.rows.sort((a, b) => WORST_FIRST.indexOf(a.verdict) - WORST_FIRST.indexOf(b.verdict));
      cell.verdict = cell.rows[0].verdict;
      const text = transcript(cell.rows[0]);
      if (text === null) continue;
      let at = behaviour.variants.findIndex((variant) => variant.text === text);
      if (at < 0) at = behaviour.variants.push({ text, cells: [], facts: cell.rows[0].facts }) - 1;
      behaviour.variants[at].cells.push(cell);
      cell.variant = at;
    }
  }
  return { report, kernels, subjects, behaviours: [...behaviours.values()], groups: unique([...behaviours.values()].map((b) => b.group)) };
}

const letter = (variant) => (variant < 26 ? String.fromCharCode(65 + variant) : `A${variant}`);

// A behaviour about the kernel alone runs with the first subject, so it is shown whichever subjects are selected.
function visibleCells(model, behaviour, state) {
  const kernel = (cell) => state.kernel.length === 0 || state.kernel.includes(cell.kernel);
  const subject = (cell) => behaviour.about === "kernel" || state.subject.length === 0 || state.subject.includes(cell.subject);
  return [...behaviour.cells.values()].filter((cell) => kernel(cell) && subject(cell));
}

// Whether cells with the same `key` have different facts.
function differ(cells, key) {
  const seen = new Map();
  return cells.some((cell) => {
    if (cell.variant === undefined) return false;
    if (!seen.has(key(cell))) seen.set(key(cell), cell.variant);
    return seen.get(key(cell)) !== cell.variant;
  });
}

const DIFFERENCES = {
  "": () => true,
  any: (cells) => differ(cells, () => ""),
  kernels: (cells) => differ(cells, (cell) => cell.subject),
  subjects: (cells) => differ(cells, (cell) => cell.kernel),
};

function matches(behaviour, cells, words) {
  if (words.length === 0) return true;
  const rows = cells.flatMap((cell) => cell.rows);
  const texts = [behaviour.id, behaviour.catalogue, behaviour.statement, behaviour.source,
    ...rows.flatMap((row) => [row.reason ?? "", row.flaky ? "flaky" : "", ...row.facts.flatMap((fact) => [fact.name, fact.got])])];
  const text = texts.join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}

const hasSelectedVerdict = (state, cell) => state.verdict.length === 0 || state.verdict.includes(cell.verdict);

function selected(model, state) {
  const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  return model.behaviours.filter((behaviour) => {
    if (state.group.length > 0 && !state.group.includes(behaviour.group)) return false;
    const cells = visibleCells(model, behaviour, state);
    return cells.some((cell) => hasSelectedVerdict(state, cell)) && DIFFERENCES[state.differences](cells) && matches(behaviour, cells, words);
  });
}

// The state as a URL fragment.
const LISTS = ["verdict", "group", "kernel", "subject"];
const TEXTS = ["search", "differences", "id", "on", "with"];

function writeState(state) {
  const parameters = new URLSearchParams();
  LISTS.forEach((name) => state[name].forEach((value) => parameters.append(name, value)));
  TEXTS.forEach((name) => state[name] && parameters.append(name, state[name]));
  return parameters.toString();
}

function readState(fragment) {
  const parameters = new URLSearchParams(fragment.replace(/^#/, ""));
  const state = {};
  LISTS.forEach((name) => (state[name] = parameters.getAll(name)));
  TEXTS.forEach((name) => (state[name] = parameters.get(name) ?? ""));
  if (!Object.hasOwn(DIFFERENCES, state.differences)) state.differences = "";
  return state;
}
