// The hits: cards with what agrees and what conflicts, reports with their evidence, notices and paging.
import { $, h } from "./dom.js";
import { thumbnail } from "./api.js";
import * as basket from "./basket.js";

const MODES = {
  both: "Ranked by findings and similarity together.",
  embedding: "Ranked by similarity alone.",
  findings: "Ranked by findings alone; similarity orders equals.",
};

export function findingWords(mark) {
  return [mark.uncertain ? "possible" : "", ...mark.descriptors.map((d) => d.text), mark.disease].filter(Boolean).join(" ");
}

/** A calibrated reading: "edema 62 %", with side and severity where the disease is likelier than not. */
export function readingWords(reading) {
  if (reading.probability === null) return `${reading.disease}: not validated`;
  const percent = (p) => `${Math.round(100 * p)} %`;
  const likeliest = (ends) => Object.entries(ends).sort((a, b) => b[1] - a[1]).slice(0, 1).map(([end, p]) => `${end} ${percent(p)}`);
  const more = reading.probability >= 0.5 ? [...likeliest(reading.side), ...likeliest(reading.severity)] : [];
  return `${reading.disease} ${percent(reading.probability)}${more.length ? ` (${more.join(", ")})` : ""}`;
}

export function drawMarks(hit) {
  if (!hit.read) return [h("span", { className: "mark unread", title: "No finding is recognised in the report. That does not mean that the study is normal." }, "report not read")];
  return [...hit.marks.map(drawMark), ...hit.missing.map((d) => h("span", { className: "mark missing", title: "In the query, not in this report" }, d))];
}

function drawMark(mark) {
  const words = mark.descriptors.flatMap((d) => [h("span", { className: d.verdict }, d.text), " "]);
  const why = mark.conflicts.length ? `\u00a0✗ ${mark.conflicts.join(", ")}` : mark.verdict === "agrees" ? "\u00a0✓" : "";
  return h("span", { className: `mark ${mark.verdict}` }, mark.uncertain && "possible ", words, mark.disease, why && h("span", { className: "why" }, why));
}

/** A report with its evidence marked: hovering or focusing says which finding was read there. */
export function drawReport(hit) {
  return hit.report.map((section) => h("div", { className: "section" },
    h("h3", {}, section.title),
    h("p", {}, section.parts.map((part) => {
      if (!part.findings.length) return part.text;
      const read = part.findings.map((i) => hit.read_findings[i]);
      const kind = read.some((f) => f.assertion !== "absent") ? (read.every((f) => f.assertion === "uncertain") ? "uncertain" : "present") : "absent";
      const title = read.map((f) => `${f.words}: ${f.assertion}`).join("; ");
      return h("mark", { className: kind, title }, part.text);
    }))));
}

export function drawFacts(hit) {
  const facts = [hit.patient_id && `patient ${hit.patient_id}`, hit.view, ...Object.entries(hit.columns).map(([name, value]) => value && `${name} ${value}`)];
  return facts.filter(Boolean).join(" · ");
}

function drawHit(hit, rank, actions) {
  const words = hit.read ? hit.marks.map(findingWords).join(", ") : "report not read";
  const picture = hit.has_image
    ? h("button", { type: "button", className: "picture", "aria-label": `Open X-ray ${rank}: ${words}`, onclick: () => actions.open(rank) },
      h("img", { loading: "lazy", alt: "", src: thumbnail(hit.row) }))
    : h("button", { type: "button", className: "picture none", onclick: () => actions.open(rank) }, "no picture stored");
  const kept = basket.has(hit.study_id);
  const keep = h("button", { type: "button", className: "quiet", "aria-pressed": String(kept), "data-keep": hit.study_id,
    onclick: () => basket.toggle(hit, rank) }, kept ? "In basket ✓" : "Add to basket");
  return h("li", { className: hit.conflicts.length ? "bad" : "", "data-study": hit.study_id },
    picture,
    h("div", { className: "rank" }, h("span", { className: "place" }, String(rank)), h("b", {}, hit.study_id), h("span", { className: "similarity", title: `similarity ${hit.similarity.toFixed(3)} (cosine)${hit.match === null ? "" : `, findings match ${hit.match.toFixed(2)}`}` }, hit.score.toFixed(2))),
    h("p", { className: "facts" }, drawFacts(hit), hit.in_training && h("span", { className: "badge", title: "The model was trained on this study: its similarity is no evidence of what the model does on new ones." }, "training study")),
    h("div", { className: "marks" }, drawMarks(hit)),
    h("details", {}, h("summary", {}, "Report"), h("div", { className: "report" }, drawReport(hit))),
    h("div", { className: "row" }, h("button", { type: "button", className: "quiet", onclick: () => actions.like(hit) }, "More like this"), keep));
}

/** Draw an answer. `actions`: open(rank), like(hit), page(offset). */
export function drawAnswer(query, answer, actions) {
  $("notices").replaceChildren(...answer.notices.map((notice) => h("li", {}, notice.text)));
  const readings = answer.readout ?? [];
  $("readout").hidden = !readings.length;
  $("readings").replaceChildren(...readings.map((reading) => h("li", {}, readingWords(reading))));
  const asked = Object.values(answer.chips).some((chips) => chips.length);
  $("mode").textContent = asked ? MODES[answer.mode] : MODES.embedding;
  $("legend").hidden = !answer.hits.length || !asked;
  $("hits").replaceChildren(...answer.hits.map((hit, i) => drawHit(hit, query.offset + i + 1, actions)));
  const first = query.offset + 1, last = query.offset + answer.hits.length;
  const turn = (name, offset, open) => h("button", { type: "button", className: "second", disabled: !open, onclick: () => actions.page(offset) }, name);
  const paged = answer.hits.length && (query.offset > 0 || answer.more);
  $("paging").replaceChildren(...(paged ? [
    turn("Previous", Math.max(0, query.offset - query.k), query.offset > 0),
    h("span", {}, `Hits ${first} to ${last}`),
    turn("Next", query.offset + query.k, answer.more)] : []));
}

/** Set the basket buttons to what the basket holds. */
export function refreshBasketButtons() {
  for (const button of document.querySelectorAll("[data-keep]")) {
    const kept = basket.has(button.dataset.keep);
    button.setAttribute("aria-pressed", String(kept));
    button.textContent = kept ? "In basket ✓" : "Add to basket";
  }
}
