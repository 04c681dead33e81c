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
let chips = []; // what is drawn: the query's own, or those that the server read
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

/** Change the query; `push` makes it a step of the browser's history and asks the server. */
function change(next, { push = true, focus = null } = {}) {
  query = { ...query, ...next };
  drawForm();
  if (!push) return;
  history.pushState({ picture: query.picture }, "", `#${encode(query)}`);
  ask(focus);
}

const isEmpty = () => !query.text.trim() && !query.study && !picture();

async function ask(focus) {
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
    show(found, focus);
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

function show(found, focus) {
  answer = found;
  $("found").hidden = !found;
  chips = query.chips ?? (found ? chipsOf(found) : []);
  $("understood").hidden = !found && !query.chips;
  drawChips($("chips"), chips, edited);
  if (found) {
    drawAnswer(query, found, {
      open: (rank) => viewer.open(found.hits, rank - query.offset - 1, query.offset + 1, queryPicture()),
      like: (hit) => { change({ ...blank(), study: hit.study_id, mode: query.mode, against: query.against, k: query.k, filters: query.filters, onePerPatient: query.onePerPatient }); toResults(); },
      page: (offset) => { change({ offset }); toResults(); },
    });
  }
  drawStudy();
  if (typeof focus === "number") (document.querySelector(`[data-chip="${Math.min(focus, chips.length - 1)}"]`) ?? $("add-finding")).focus();
}

/** A button that is drawn anew would lose the focus: the heading of the hits takes it. */
function toResults() {
  $("results-title").focus({ preventScroll: true });
  $("results-title").scrollIntoView({ block: "start" });
}

function queryPicture() {
  if (picture()) return { url: picture().url };
  return answer?.query_row === null || answer?.query_row === undefined ? null : { url: api.original(answer.query_row) };
}

/** Chips were edited: they are asked for as they are, and the words follow them, so that both say the same. */
function edited(next, focus) {
  const used = next.filter((chip) => !chip.off);
  const text = query.text && used.length ? used.map(words).join(", ") : query.text;
  change({ chips: next, text, offset: 0 }, { focus });
}

function drawForm() {
  if ($("text").value !== query.text) $("text").value = query.text;
  if ($("study").value !== query.study) $("study").value = query.study;
  $("weight").value = query.weight;
  $("weighting").hidden = !(query.text.trim() && (query.picture || query.study));
  $("weights").textContent = `words ${100 - query.weight} %, ${query.study ? "study" : "X-ray"} ${query.weight} %`;
  $("patients").checked = query.onePerPatient;
  const option = (name, label, options) => choice(label, options, String(query[name]), (value) => choose(name, value));
  $("options").replaceChildren(
    option("mode", "Rank by", [["both", "findings and similarity"], ["embedding", "similarity alone"], ["findings", "findings alone"]]),
    option("against", "Compare with", [["image", "X-rays"], ["text", "reports"]]),
    ...(query.study ? [option("using", "Ask by the study’s", [["image", "X-ray"], ["text", "report"]])] : []),
    option("k", "Show", ["6", "12", "24", "48"]));
  drawFilters($("filters"), query.filters, (filters) => change({ filters, offset: 0 }, { push: Boolean(answer) }));
  const set = countFilters(query.filters);
  $("filters-title").textContent = set ? `Filters (${set})` : "Filters";
  const shown = picture();
  $("preview").hidden = !shown;
  if (shown) $("preview-image").src = shown.url;
  $("picked").textContent = shown ? `${shown.name}, ${shown.width} × ${shown.height} px` : "";
  $("drop-hint").hidden = Boolean(shown);
}

function choose(name, value) {
  change({ [name]: name === "k" ? Number(value) : value, offset: 0 }, { push: Boolean(answer) });
}

/** The study that is asked by, in the form. */
function drawStudy() {
  const row = answer?.query_row;
  const known = query.study && row !== null && row !== undefined;
  $("study-picture").hidden = !known;
  if (known) $("study-picture").src = api.thumbnail(row);
}

async function pick(file) {
  if (!file) return;
  $("drop").classList.add("waiting");
  say("Reading the X-ray …");
  try {
    const seen = await api.preview(file);
    const key = `${pictures.size + 1}`;
    pictures.set(key, seen);
    say("");
    change({ picture: key, study: "", chips: null, offset: 0 }, { push: false });
    submit();
  } catch (error) {
    say(`${file.name} cannot be used: ${error.message}.`, true);
  } finally {
    $("drop").classList.remove("waiting");
    $("file").value = "";
  }
}

/** What stands in the form is asked; words that were typed are read anew. */
function submit() {
  const text = $("text").value.trim(), study = $("study").value.trim();
  const same = text === query.text && study === query.study;
  const next = { text, study, picture: study ? "" : query.picture, offset: 0, chips: same ? query.chips : null };
  if (!text && !study && !next.picture) {
    say("Write some findings, choose an X-ray or name a study first.", true);
    $("text").focus();
    return;
  }
  change(next);
}

function restore(state) {
  query = { ...decode(location.hash), picture: state?.picture ?? (decode(location.hash).picture && "lost") };
  drawForm();
  ask();
}

function listen() {
  $("form").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); submit(); }
  });
  $("file").addEventListener("change", () => pick($("file").files[0]));
  $("clear").addEventListener("click", () => { change({ picture: "", offset: 0 }, { push: !isEmpty() && Boolean(answer) && Boolean(query.text || query.study) }); $("file").focus(); });
  $("weight").addEventListener("input", () => { query.weight = Number($("weight").value); drawForm(); });
  $("weight").addEventListener("change", () => change({ offset: 0 }, { push: Boolean(answer) }));
  $("patients").addEventListener("change", () => change({ onePerPatient: $("patients").checked, offset: 0 }, { push: Boolean(answer) }));
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
  try {
    const about = await api.about();
    $("count").textContent = `${about.studies.toLocaleString("en")} studies`;
    $("text").maxLength = about.max_text;
    $("facts-list").replaceChildren(...Object.entries(about.facts).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    $("filters-box").hidden = !about.filters.length;
    setKnown(about);
    viewer.start(about);
    basket.start(refreshBasketButtons, describe, (hit) => (hit.read ? hit.marks.map(findingWords).join("; ") : "not read"));
    restore(history.state);
  } catch (error) {
    say(`The index cannot be read: ${error.message}.`, true);
  }
}

start();
