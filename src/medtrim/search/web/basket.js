// A cohort: studies put aside while searching, kept for this tab, exported as CSV.
import { $, closeOnBackdrop, h } from "./dom.js";

const KEY = "medtrim-basket";
const COLUMNS = ["study_id", "patient_id", "view", "rank", "score", "similarity", "match", "findings", "query"];
let kept = load();
let changed = () => {};
let describe = () => "";

/** `onchange()` after every change; `query()` says in words what is being asked for. */
export function start(onchange, query, findings) {
  changed = onchange;
  describe = (hit) => ({ query: query(), findings: findings(hit) });
  closeOnBackdrop($("basket"));
  $("open-basket").addEventListener("click", () => { draw(); $("basket").showModal(); });
  count();
}

export const has = (id) => kept.some((entry) => entry.study_id === id);

export function toggle(hit, rank) {
  const { study_id, patient_id, view, score, similarity, match, columns } = hit;
  if (has(study_id)) kept = kept.filter((entry) => entry.study_id !== study_id);
  else kept = [...kept, { ...columns, study_id, patient_id, view, rank, score, similarity, match, ...describe(hit) }];
  save();
}

/** The basket as CSV (RFC 4180). A cell that a spreadsheet would run as a formula gets an apostrophe. */
export function csv(entries) {
  const extra = [...new Set(entries.flatMap(Object.keys))].filter((name) => !COLUMNS.includes(name)).sort();
  const names = [...COLUMNS, ...extra];
  const cell = (value) => {
    let text = value === null || value === undefined ? "" : String(value);
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [names, ...entries.map((entry) => names.map((name) => entry[name]))].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function draw() {
  const dialog = $("basket");
  const rows = kept.map((entry) => h("tr", {},
    h("th", { scope: "row" }, entry.study_id), h("td", {}, entry.score.toFixed(2)), h("td", {}, entry.findings),
    h("td", {}, h("button", { type: "button", className: "quiet", "aria-label": `Remove ${entry.study_id}`,
      onclick: () => { kept = kept.filter((e) => e !== entry); save(); draw(); } }, "Remove"))));
  const table = h("table", {}, h("thead", {}, h("tr", {}, ["Study", "Score", "Findings in the report", ""].map((name) => name ? h("th", { scope: "col" }, name) : h("td")))), h("tbody", {}, rows));
  dialog.replaceChildren(
    h("h2", { id: "basket-title" }, "Basket"),
    kept.length ? h("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Studies in the basket" }, table) : h("p", {}, "Nothing yet. “Add to basket” puts a study here; the basket lasts as long as this tab."),
    h("div", { className: "actions" },
      kept.length > 0 && h("button", { type: "button", id: "export", onclick: download }, "Export CSV"),
      kept.length > 0 && h("button", { type: "button", className: "second", onclick: () => { kept = []; save(); draw(); } }, "Empty the basket"),
      h("button", { type: "button", className: "second", onclick: () => dialog.close() }, "Close")));
}

function download() {
  const url = URL.createObjectURL(new Blob(["\ufeff", csv(kept)], { type: "text/csv;charset=utf-8" }));
  const link = h("a", { href: url, download: "medtrim-cohort.csv" });
  document.body.append(link);
  link.click();
  link.remove();
  URL.revokeObjectURL(url);
}

function count() {
  $("open-basket").textContent = kept.length ? `Basket (${kept.length})` : "Basket";
}

function save() {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    // a browser that stores nothing keeps the basket until the page is left
  }
  count();
  changed();
}

function load() {
  try {
    const found = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}
