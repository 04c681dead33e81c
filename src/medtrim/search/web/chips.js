// How the query was understood: one chip a finding, to switch off, negate, edit and remove; and the filters.
import { $, choice, closeOnBackdrop, h } from "./dom.js";
import { ROLES, newChip, words } from "./state.js";

let known = { diseases: [], vocabulary: {}, filters: [] };

closeOnBackdrop($("editor"));

/** What the server says of the index: its diseases, descriptors and filters. */
export function setKnown(about) {
  known = about;
}

/** Draw `chips`; `changed(chips, focus)` is told of every edit, with the position that should keep the focus. */
export function drawChips(place, chips, changed) {
  const groups = Object.entries(ROLES).map(([role, title]) => {
    const held = chips.map((chip, i) => [chip, i]).filter(([chip]) => chip.role === role);
    if (!held.length) return null;
    return h("div", { className: "group" }, h("span", { className: "role" }, title),
      held.map(([chip, i]) => draw(chip, i, chips, changed)));
  });
  const add = h("button", { type: "button", className: "quiet", id: "add-finding",
    onclick: () => edit(newChip(), (chip) => changed([...chips, chip], chips.length)) }, "+ Add a finding");
  place.replaceChildren(...groups.filter(Boolean), add);
}

function draw(chip, i, chips, changed) {
  const said = words({ ...chip, role: "like", denied: chip.role === "like" && chip.denied });
  const put = (next) => changed(chips.map((c, j) => (j === i ? next : c)), i);
  const negated = chip.role === "must_not" || chip.denied;
  return h("span", { className: `chip ${chip.role}${chip.off ? " off" : ""}` },
    h("input", { type: "checkbox", checked: !chip.off, "aria-label": `Use “${said}”`, title: "Switch on or off",
      onchange: () => put({ ...chip, off: !chip.off }) }),
    h("button", { type: "button", className: "label", "aria-haspopup": "dialog", title: "Edit", "data-chip": String(i),
      onclick: () => edit(chip, put, () => changed(chips.filter((_, j) => j !== i), i)) }, said),
    h("button", { type: "button", className: "not", "aria-pressed": String(negated), "aria-label": `Not “${said}”`, title: "Negate",
      onclick: () => put(negate(chip)) }, "not"),
    h("button", { type: "button", className: "remove", "aria-label": `Remove “${said}”`, title: "Remove",
      onclick: () => changed(chips.filter((_, j) => j !== i), i) }, "×"));
}

function negate(chip) {
  if (chip.role === "like") return { ...chip, denied: !chip.denied, uncertain: false };
  return { ...chip, role: chip.role === "must" ? "must_not" : "must", denied: false, uncertain: false };
}

/** The editor of one chip; `done(chip)` where it is kept, `remove()` where it is thrown away. */
function edit(original, done, remove) {
  const dialog = $("editor");
  const chip = structuredClone(original);
  const any = ["", "any"];
  const axis = (name, label) => {
    const levels = known.vocabulary[name] ?? [];
    if (!levels.length) return null;
    return choice(label, [any, ...levels], chip[name][0] ?? "", (value) => { chip[name] = value ? [value] : []; });
  };
  const sides = [any, "left", "right", ["both", "both sides"]];
  const side = chip.side.length > 1 ? "both" : chip.side[0] ?? "";
  dialog.replaceChildren(
    h("h2", { id: "editor-title" }, remove ? "Edit the finding" : "Add a finding"),
    h("div", { className: "fields" },
      choice("Finding", [["", "any finding"], ...known.diseases], chip.disease, (value) => { chip.disease = value; }),
      choice("Side", sides, side, (value) => { chip.side = value === "both" ? ["left", "right"] : value ? [value] : []; }),
      axis("zone", "Zone"), axis("severity", "Severity or size"), axis("acuity", "Acuity"), axis("change", "Change"),
      choice("Stated as", [["", "present"], ["possible", "possible"]], chip.uncertain ? "possible" : "", (value) => { chip.uncertain = Boolean(value); }),
      choice("Hits", Object.entries(ROLES), chip.role, (value) => { chip.role = value; })),
    h("div", { className: "actions" },
      h("button", { type: "button", onclick: () => { dialog.close(); done(chip); } }, remove ? "Apply" : "Add"),
      remove && h("button", { type: "button", className: "second", onclick: () => { dialog.close(); remove(); } }, "Remove"),
      h("button", { type: "button", className: "second", onclick: () => dialog.close() }, "Cancel")));
  dialog.showModal();
}

/** The filters that the index offers, as labelled fields; `changed(filters)` is told of every edit. */
export function drawFilters(place, filters, changed) {
  place.replaceChildren(...known.filters.map((filter) => {
    const value = read(filters, filter);
    const put = (next) => changed(write(filters, filter, next));
    if (filter.kind === "choice") return choice(filter.label, [["", "any"], ...filter.values], value, put);
    const input = h("input", { type: filter.kind, value, onchange: () => put(input.value) });
    return h("label", { className: "field" }, filter.label, input);
  }));
}

/** How many filters are set. */
export const countFilters = (filters) => known.filters.filter((filter) => read(filters, filter)).length;

function read(filters, { name, column }) {
  if (column) return filters.columns?.[column] ?? "";
  const value = filters[name];
  return (Array.isArray(value) ? value[0] : value) ?? "";
}

function write(filters, { name, column, many }, value) {
  const next = structuredClone(filters);
  if (column) {
    next.columns = { ...next.columns, [column]: value };
    if (!value) delete next.columns[column];
    if (!Object.keys(next.columns).length) delete next.columns;
  } else if (value) next[name] = many ? [value] : value;
  else delete next[name];
  return next;
}
