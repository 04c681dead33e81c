// The page of `medtrim serve`: the query in the form, in the address and in the chips, and what the server answers.
import { $, choice, closeOnBackdrop, h } from "./dom.js";
import * as api from "./api.js";
import * as basket from "./basket.js";
import * as viewer from "./viewer.js";
import { countFilters, drawChips, drawFilters, setKnown } from "./chips.js";
import { drawAnswer, findingWords, refreshBasketButtons } from "./results.js";
import { blank, chipsOf, decode, encode, request, words } from "./state.js";

const pictures = new Map(); // uploads of this page by key: an address can name one and never hold it
let query = blank();
let chips = null; // what is drawn: the query's own, or those that the server read
let answer = null;
let asked = 0;

const picture = () => pictures.get(query.picture) ?? null;

/** The query in words, for titles and the basket. */
function describe() {
  const parts = [query.text && `“${query.text.length > 60 ? `${query.text.slice(0, 60)}…` : query.text}”`, query.picture && "your X-ray", query.study && `study ${query.study}`];
  return parts.filter(Boolean).join(" and ") || "nothing";
}

function say(text, bad = false) {
  $("status").classList.toggle("error", bad);
  $("status").textContent = text;
}

/** Change the query, make it a step of the browser's history, and ask the server. */
function change(next) {
  query = { ...query, ...next };
  fillFields();
  drawForm();
  history.pushState({ picture: query.picture }, "", `#${encode(query)}`);
  ask();
}

/** Change an option: asked at once where there are hits already, with whatever has been typed since. */
function choose(next) {
  if (answer) change({ ...typed(), ...next, offset: 0 });
  else {
    query = { ...query, ...next };
    drawForm();
  }
}

/** What stands in the fields and has not been asked; typed words are read anew. */
function typed() {
  const text = $("text").value.trim(), study = $("study").value.trim();
  if (text === query.text && study === query.study) return {};
  return { text, study, picture: study ? "" : query.picture, chips: null };
}

const isEmpty = () => !query.text.trim() && !query.study && !picture();

async function ask() {
  const turn = ++asked;
  if (query.picture && !picture()) {
    show(null);
    say("The X-ray is not part of the address, so it has to be chosen again.", true);
    return;
  }
  if (isEmpty()) {
    show(null);
    say("");
    return;
  }
  say("Searching …");
  document.body.classList.add("busy");
  try {
    const found = await api.search(request(query, picture()));
    if (turn !== asked) return;
    show(found);
    const count = found.hits.length;
    say(count ? `${count} studies like ${describe()}.` : `Nothing like ${describe()}: loosen the findings or filters.`);
  } catch (error) {
    if (turn !== asked) return;
    show(null);
    say(`That did not work: ${error.message}.`, true);
  } finally {
    if (turn === asked) document.body.classList.remove("busy");
  }
}

function show(found) {
  answer = found;
  $("found").hidden = !found;
  $("understood").hidden = !found && !query.chips;
  showChips(query.chips ?? (found ? chipsOf(found) : []));
  if (found) {
    drawAnswer(query, found, {
      open: (rank) => viewer.open(found.hits, rank - query.offset - 1, query.offset + 1, queryPicture()),
      like: (hit) => { change({ ...blank(), study: hit.study_id, mode: query.mode, against: query.against, k: query.k, filters: query.filters, onePerPatient: query.onePerPatient }); toResults(); },
      page: (offset) => { change({ offset }); toResults(); },
    });
  }
  drawStudy();
}

/** Chips that are there already are left alone, and the focus with them. */
function showChips(next) {
  if (next === chips) return;
  chips = next;
  drawChips($("chips"), chips, edited);
}

/** A button that is drawn anew would lose the focus: the heading of the hits takes it. */
function toResults() {
  $("results-title").focus({ preventScroll: true });
  $("results-title").scrollIntoView({ block: "start" });
}

function queryPicture() {
  if (picture()) return { url: picture().url, small: picture().url };
  const row = answer?.query_row ?? null;
  return row === null ? null : { url: api.original(row), small: api.thumbnail(row) };
}

/** Chips were edited: they are asked for as they are, and the words follow them, so that both say the same. */
function edited(next, focus) {
  const used = next.filter((chip) => !chip.off);
  const text = query.text && used.length ? used.map(words).join(", ") : query.text;
  showChips(next);
  (document.querySelector(`[data-chip="${Math.min(focus, next.length - 1)}"]`) ?? $("add-finding")).focus();
  change({ chips: next, text, offset: 0 });
}

function fillFields() {
  if ($("text").value !== query.text) $("text").value = query.text;
  if ($("study").value !== query.study) $("study").value = query.study;
}

function drawForm() {
  $("weight").value = query.weight;
  $("weighting").hidden = !(query.text.trim() && (query.picture || query.study));
  $("weights").textContent = `words ${100 - query.weight} %, ${query.study ? "study" : "X-ray"} ${query.weight} %`;
  $("patients").checked = query.onePerPatient;
  const option = (name, label, options) => choice(label, options, String(query[name]), (value) => choose({ [name]: name === "k" ? Number(value) : value }));
  $("options").replaceChildren(
    option("mode", "Rank by", [["both", "findings and similarity"], ["embedding", "similarity alone"], ["findings", "findings alone"]]),
    option("against", "Compare with", [["image", "X-rays"], ["text", "reports"]]),
    ...(query.study ? [option("using", "Ask by the study’s", [["image", "X-ray"], ["text", "report"]])] : []),
    option("k", "Show", ["6", "12", "24", "48"]));
  drawFilters($("filters"), query.filters, (filters) => choose({ filters }));
  const set = countFilters(query.filters);
  $("filters-title").textContent = set ? `Filters (${set})` : "Filters";
  const shown = picture();
  $("preview").hidden = !shown;
  if (shown) $("preview-image").src = shown.url;
  $("picked").textContent = shown ? `${shown.name}, ${shown.width} × ${shown.height} px` : "";
  $("drop-hint").hidden = Boolean(shown);
}

/** The study that is asked by, in the form. */
function drawStudy() {
  const row = answer?.query_row ?? null;
  const known = query.study && row !== null;
  $("study-picture").hidden = !known;
  if (known) $("study-picture").src = api.thumbnail(row);
}

async function pick(file) {
  if (!file) return;
  $("drop").classList.add("waiting");
  say("Reading the X-ray …");
  try {
    const seen = await api.preview(file);
    const key = `${Date.now()}-${pictures.size}`; // never the key of an earlier page: history outlives a reload
    pictures.set(key, seen);
    say("");
    $("study").value = "";
    change({ ...typed(), picture: key, study: "", chips: null, offset: 0 });
  } catch (error) {
    say(`${file.name} cannot be used: ${error.message}.`, true);
  } finally {
    $("drop").classList.remove("waiting");
    $("file").value = "";
  }
}

function submit() {
  const next = { ...query, ...typed(), offset: 0 };
  if (!next.text && !next.study && !next.picture) {
    say("Write some findings, choose an X-ray or name a study first.", true);
    $("text").focus();
    return;
  }
  change(next);
}

function restore(state) {
  query = { ...decode(location.hash), picture: state?.picture ?? (decode(location.hash).picture && "lost") };
  fillFields();
  drawForm();
  ask();
}

function listen() {
  $("form").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); submit(); }
  });
  $("file").addEventListener("change", () => pick($("file").files[0]));
  $("clear").addEventListener("click", () => { change({ ...typed(), picture: "", chips: null, offset: 0 }); $("file").focus(); });
  $("weight").addEventListener("input", () => { query.weight = Number($("weight").value); drawForm(); });
  $("weight").addEventListener("change", () => choose({}));
  $("patients").addEventListener("change", () => choose({ onePerPatient: $("patients").checked }));
  $("new").addEventListener("click", () => { change(blank()); $("text").focus(); });
  for (const name of ["dragover", "dragleave", "drop"]) {
    $("drop").addEventListener(name, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", name === "dragover");
      if (name === "drop") pick(event.dataTransfer.files[0]);
    });
  }
  for (const example of document.querySelectorAll("[data-example]")) {
    example.addEventListener("click", () => change({ ...blank(), text: example.dataset.example, k: query.k, mode: query.mode }));
  }
  addEventListener("popstate", (event) => restore(event.state));
  closeOnBackdrop($("facts"));
  $("open-facts").addEventListener("click", () => $("facts").showModal());
  $("close-facts").addEventListener("click", () => $("facts").close());
}

async function start() {
  listen();
  basket.start(refreshBasketButtons, describe, (hit) => (hit.read ? hit.marks.map(findingWords).join("; ") : "not read"));
  viewer.start();
  restore(history.state);
  try {
    const about = await api.about();
    $("count").textContent = `${about.studies.toLocaleString("en")} studies`;
    $("text").maxLength = about.max_text;
    $("facts-list").replaceChildren(...Object.entries(about.facts).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    $("filters-box").hidden = !about.filters.length;
    setKnown(about);
    viewer.setTemplate(about.viewer_url);
    drawForm();
  } catch (error) {
    say(`The index cannot be read: ${error.message}.`, true);
  }
}

start();
