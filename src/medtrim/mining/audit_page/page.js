"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const figures = data.figures, PAGE = 10, ROLES = ["anchor", "positive", "negative"];
const at = (id) => document.getElementById(id);
const number = (x) => (x === null || x === undefined ? "–" : Number(x).toLocaleString("en"));
const percent = (x) => (x === null || x === undefined ? "–" : (100 * x).toFixed(1) + " %");
const words = (key) => key.replaceAll("_", " ");

function element(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) node.setAttribute(key, value);
  for (const child of children) node.append(child);
  return node;
}

function table(heads, rows) {
  const cell = (tag) => (value, i) => element(tag, i && typeof value !== "object" ? { class: "n" } : {}, value);
  return element("table", {}, element("thead", {}, element("tr", {}, ...heads.map(cell("th")))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map(cell("td"))))));
}

const panel = (title, content) => element("div", { class: "panel" }, element("h3", {}, title), content);

function histogram(title, h, colour) {
  const ns = "http://www.w3.org/2000/svg", wide = 400, high = 130, most = Math.max(1, ...h.counts);
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", `0 0 ${wide} ${high + 18}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", title);
  const add = (tag, attributes, text = "") => {
    const node = document.createElementNS(ns, tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.textContent = text;
    svg.append(node);
    return node;
  };
  const step = wide / h.counts.length;
  h.counts.forEach((count, i) => {
    const tall = (high * count) / most;
    const bar = add("rect", { x: i * step + 0.5, y: high - tall, width: step - 1, height: tall, fill: colour });
    const tip = document.createElementNS(ns, "title");
    tip.textContent = `${h.edges[i]} to ${h.edges[i + 1]}: ${number(count)}`;
    bar.append(tip);
  });
  const last = h.edges.length - 1;
  for (const i of [0, last / 2, last]) {
    const anchor = i === 0 ? "start" : i === last ? "end" : "middle";
    add("text", { x: (wide * i) / last, y: high + 14, "text-anchor": anchor }, h.edges[i].toFixed(2));
  }
  const middle = h.quartiles ? `mean ${h.mean.toFixed(3)}, quartiles ${h.quartiles.map((q) => q.toFixed(3)).join(" / ")}` : "";
  return panel(title, element("div", {}, svg, element("p", {}, middle)));
}

function summary() {
  const mined = figures.mined, made = [];
  at("title").textContent = data.title;
  if (mined.config) made.push(`${mined.config.miner} miner, seed ${mined.seed}, MedTrim ${mined.medtrim}`);
  if (mined.ontology) made.push(`ontology ${mined.ontology.name} ${mined.ontology.version}`);
  at("made").textContent = made.join(" · ") || "The triplets carry no provenance.";
  at("privacy").hidden = !data.has_reports;
  const card = (value, label) => element("div", { class: "card" }, element("b", {}, value), element("span", {}, label));
  at("cards").append(card(number(figures.triplets), "triplets"), card(number(figures.corpus.studies), "studies"),
    card(number(figures.corpus.distinct_annotations), "distinct annotations"), card(percent(figures.corpus.normal), "normal studies"),
    ...Object.entries(figures.kinds).map(([kind, count]) => card(percent(count / figures.triplets), `negatives: ${kind}`)));
  at("histograms").append(histogram("score of positives", figures.positive_score, "var(--positive)"),
    histogram("score of negatives", figures.negative_score, "var(--negative)"),
    histogram("margin: positive − negative", figures.margin, "var(--accent)"));
  const keys = Object.keys(figures.agreement.positive);
  at("agreement").append(panel("share of triplets", table(["", "positive", "negative"],
    keys.map((k) => [words(k), percent(figures.agreement.positive[k]), percent(figures.agreement.negative[k])]))));
  const counts = Object.entries(mined.counts || {}).map(([k, v]) => [words(k), number(v)]);
  const doubts = Object.entries(figures.doubtful_negatives).map(([k, v]) => [words(k), k === "reports_compared" ? number(v) : percent(v)]);
  at("doubts").append(element("div", { class: "grid" }, panel("counted while mining", table(["", "anchors or triplets"], counts)),
    panel("doubtful negatives, share of triplets", table(["", ""], doubts))));
  for (const role of ROLES) {
    const uses = figures.uses[role];
    const span = (b) => (b.to === null ? `${b.from} and more` : b.from === b.to ? `${b.from}` : `${b.from}–${b.to}`);
    const rows = [["of the corpus used", percent(uses.share_of_corpus)], ["most often", number(uses.most)],
      ["mean of those used", uses.mean_of_used.toFixed(2)], ...uses.histogram.map((b) => [`used ${span(b)} ×`, number(b.studies)]),
      ...uses.most_used.slice(0, 5).map((u) => [u.study_id, number(u.uses)])];
    at("uses").append(panel(`as ${role}`, table(["", "studies"], rows)));
  }
  at("coverage").append(
    panel("diseases", table(["disease", "studies", ...ROLES], figures.diseases.map((d) => [d.disease, number(d.studies),
      ...ROLES.map((r) => percent(d[r + "_share"]))]))),
    panel("descriptors", table(["descriptor", "kind", "studies", "as anchors"],
      figures.descriptors.map((d) => [d.descriptor, d.kind, number(d.studies), number(d.anchors)]))));
}

function marked(text, section, findings) {
  const spans = [];
  for (const f of findings)
    for (const [where, start, end, role] of f.mentions)
      if (where === section) spans.push({ start, end, role, assertion: f.assertion, what: `${f.disease} · ${f.assertion} · ${role}` });
  spans.sort((a, b) => a.start - b.start || b.end - a.end);
  // Offsets count code points; JavaScript strings count UTF-16 units.
  const letters = Array.from(text), node = element("p");
  let done = 0;
  for (const s of spans) {
    if (s.start < done) continue;
    node.append(letters.slice(done, s.start).join(""),
      element("mark", { class: `${s.role} ${s.assertion}`, title: s.what }, letters.slice(s.start, s.end).join("")));
    done = s.end;
  }
  node.append(letters.slice(done).join(""));
  return node;
}

function role(name, study, score) {
  const node = element("div", { class: `role ${name}` }, element("h3", {}, `${name} · ${study.id}` + (score === null ? "" : ` · S = ${score.toFixed(4)}`)));
  if (study.image) node.append(element("img", { src: study.image, alt: `image of study ${study.id}`, loading: "lazy" }));
  // Findings and impression often say the same: one tag each.
  const tags = new Map(study.findings.map((f) => {
    const label = [f.disease, ...f.descriptors].join(", ");
    return [f.assertion + label, element("span", { class: `tag ${f.assertion}` }, label)];
  }));
  node.append(element("p", {}, ...tags.values()));
  for (const [section, text] of Object.entries(study.sections))
    if (text) node.append(element("div", { class: "section" }, section), marked(text, section, study.findings));
  return node;
}

const diseasesOf = (study) => [...new Set(study.findings.filter((f) => f.assertion !== "absent").map((f) => f.disease))];
let page = 0;

function matching() {
  const want = Object.fromEntries(["disease", "kind", "conflict", "doubtful", "margin", "study"].map((id) => [id, at(id).value]));
  return data.triplets.filter((t) => {
    const studies = t.studies.map((i) => data.studies[i]), diseases = diseasesOf(studies[0]);
    if (want.disease && !(want.disease === "none" ? diseases.length === 0 : diseases.includes(want.disease))) return false;
    if (want.kind && t.kind !== want.kind) return false;
    if (want.conflict && !(want.conflict === "any" ? t.conflicts.length : t.conflicts.includes(want.conflict))) return false;
    if (want.doubtful && (want.doubtful === "yes") !== t.doubts.length > 0) return false;
    if (want.margin !== "" && t.positive_score - t.negative_score > Number(want.margin)) return false;
    return !want.study || studies.some((s) => s.id.toLowerCase().includes(want.study.toLowerCase()));
  });
}

function show() {
  const found = matching(), pages = Math.max(1, Math.ceil(found.length / PAGE));
  page = Math.min(page, pages - 1);
  at("shown").textContent = `${number(found.length)} of ${number(data.triplets.length)} triplets on this page; ${number(figures.triplets)} were mined.`;
  at("triplets").replaceChildren(...found.slice(page * PAGE, (page + 1) * PAGE).map((t) => {
    const tags = element("p", {}, element("span", { class: "tag" }, t.kind),
      element("span", { class: "tag" }, `margin ${(t.positive_score - t.negative_score).toFixed(4)}`),
      ...t.conflicts.map((c) => element("span", { class: "tag" }, `contradicts in ${c}`)),
      ...t.doubts.map((d) => element("span", { class: "tag warn" }, d)));
    const scores = [null, t.positive_score, t.negative_score];
    return element("article", { class: "triplet" }, tags,
      element("div", { class: "roles" }, ...ROLES.map((r, i) => role(r, data.studies[t.studies[i]], scores[i]))));
  }));
  at("page").textContent = `page ${page + 1} of ${pages}`;
  at("back").disabled = page === 0;
  at("forth").disabled = page >= pages - 1;
}

function choices(id, values) {
  at(id).append(element("option", { value: "" }, "all"), ...values.map((v) => element("option", { value: v }, v)));
}

summary();
choices("disease", ["none", ...[...new Set(data.triplets.flatMap((t) => diseasesOf(data.studies[t.studies[0]])))].sort()]);
choices("kind", [...new Set(data.triplets.map((t) => t.kind))].sort());
choices("conflict", ["any", ...[...new Set(data.triplets.flatMap((t) => t.conflicts))].sort()]);
at("filters").addEventListener("input", () => { page = 0; show(); });
at("back").addEventListener("click", () => { page -= 1; show(); });
at("forth").addEventListener("click", () => { page += 1; show(); });
show();
