"use strict";
// The page of `medtrim serve`. Whatever comes from the index goes into the page as text, never as markup.
const $ = (id) => document.getElementById(id);
let picked = null;
let asked = 0;

async function call(path, options) {
  const response = await fetch(path, options);
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  const detail = Array.isArray(body.detail) ? body.detail.map((d) => d.msg).join("; ") : body.detail;
  throw new Error(body.error || detail || `the server answered ${response.status}`);
}

const json = (body) => ({ method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
const options = () => ({ against: $("against").value, k: Number($("k").value), disease: $("disease").value, side: $("side").value });

function span(text, name) {
  const element = document.createElement("span");
  element.textContent = text;
  if (name) element.className = name;
  return element;
}

function mark(finding) {
  const element = span("", `mark ${finding.verdict}`);
  if (finding.uncertain) element.append(span("possible "));
  for (const word of finding.descriptors) element.append(span(word.text, word.verdict), " ");
  element.append(finding.disease);
  if (finding.conflicts.length) element.append(span(` ✗ ${finding.conflicts.join(", ")}`, "why"));
  else if (finding.verdict === "agrees") element.append(span(" ✓", "why"));
  return element;
}

function show(hit, rank) {
  const item = $("hit").content.cloneNode(true).firstElementChild;
  const picture = item.querySelector("img");
  const words = hit.marks.map((m) => [...m.descriptors.map((d) => d.text), m.disease].join(" ")).join(", ");
  picture.alt = `X-ray at rank ${rank}: ${words}`;
  if (hit.has_image) picture.src = `api/images/${hit.row}`;
  else picture.remove();
  item.classList.toggle("bad", hit.conflicts.length > 0);
  item.querySelector("b").textContent = `${rank} · ${hit.study_id}`;
  item.querySelector(".similarity").textContent = hit.similarity.toFixed(2);
  const marks = item.querySelector(".marks");
  marks.append(...hit.marks.map(mark), ...hit.missing.map((d) => span(d, "mark missing")));
  const report = item.querySelector(".report");
  for (const [title, text] of [["", hit.findings], ["Impression: ", hit.impression]]) {
    if (!text) continue;
    const line = document.createElement("p");
    if (title) line.append(Object.assign(document.createElement("b"), { textContent: title }));
    line.append(text);
    report.append(line);
  }
  item.querySelector("button").addEventListener("click", () => {
    scrollTo({ top: 0 });
    ask(`Studies like ${hit.study_id}`, () => call("api/search/study", json({ ...options(), study_id: hit.study_id })));
  });
  return item;
}

async function ask(title, request) {
  const turn = ++asked;
  $("status").className = "";
  $("status").textContent = "Searching …";
  $("go").disabled = true;
  try {
    const answer = await request();
    if (turn !== asked) return;
    $("query").hidden = answer.query.length === 0;
    $("query").querySelector(".marks").replaceChildren(...answer.query.map(mark));
    $("hits").replaceChildren(...answer.hits.map((hit, i) => show(hit, i + 1)));
    $("key").hidden = answer.hits.length === 0 || answer.query.length === 0;
    const count = answer.hits.length;
    $("status").textContent = count ? `${title}: ${count} found.` : `${title}: nothing found; loosen the filters.`;
  } catch (error) {
    if (turn !== asked) return;
    $("status").className = "error";
    $("status").textContent = `That did not work: ${error.message}.`;
  } finally {
    if (turn === asked) $("go").disabled = false;
  }
}

function pick(file) {
  picked = file;
  if ($("preview").src) URL.revokeObjectURL($("preview").src);
  const shown = file && file.type.startsWith("image/");
  $("preview").hidden = !shown;
  if (shown) $("preview").src = URL.createObjectURL(file);
  else $("preview").removeAttribute("src");
  $("picked").hidden = !file || shown;
  $("picked").textContent = file && !shown ? "DICOM file chosen" : "";
  $("clear").hidden = !file;
  if (!file) $("file").value = "";
}

$("file").addEventListener("change", () => pick($("file").files[0] || null));
$("clear").addEventListener("click", () => pick(null));
for (const name of ["dragover", "drop"]) {
  $("drop").addEventListener(name, (event) => {
    event.preventDefault();
    if (name === "drop" && event.dataTransfer.files.length) pick(event.dataTransfer.files[0]);
  });
}
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    $("form").requestSubmit();
  }
});
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (picked) {
    const query = new URLSearchParams(options());
    ask("Studies like your X-ray", () =>
      call(`api/search/image?${query}`, { method: "POST", headers: { "content-type": "application/octet-stream" }, body: picked }));
  } else if (text) {
    ask("Studies like your words", () => call("api/search/text", json({ ...options(), text })));
  } else {
    $("status").className = "error";
    $("status").textContent = "Write some findings or choose an X-ray first.";
  }
});

call("api/about").then((about) => {
  $("about").textContent = `${about.studies.toLocaleString("en")} studies. Similar means alike in disease, side, zone, size and severity.`;
  $("text").maxLength = about.max_text;
  for (const name of about.diseases) $("disease").append(new Option(name, name));
}).catch((error) => {
  $("about").textContent = `The index cannot be read: ${error.message}.`;
});
