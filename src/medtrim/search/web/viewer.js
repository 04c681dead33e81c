// One X-ray large, beside the query's: zoom, pan, window and level, invert, report; arrow keys go from hit to hit.
import { $, h } from "./dom.js";
import { original, thumbnail } from "./api.js";
import * as basket from "./basket.js";
import { drawFacts, drawMarks, drawReport } from "./results.js";

const FULL = 255, MIDDLE = 127.5, MAX_ZOOM = 16;
let hits = [], first = 1, at = 0, query = null, template = "", view = 0;
let look = fresh();

function fresh() {
  return { zoom: 1, x: 0, y: 0, width: FULL, level: MIDDLE, invert: false };
}

/** The address of a study in the hospital's viewer, with {study_id} in it; empty where there is none. */
export function setTemplate(text) {
  template = text;
}

/** Set up the viewer's buttons and keys, once. */
export function start() {
  const dialog = $("viewer");
  dialog.addEventListener("keydown", key);
  $("viewer-close").addEventListener("click", () => dialog.close());
  $("viewer-previous").addEventListener("click", () => go(at - 1));
  $("viewer-next").addEventListener("click", () => go(at + 1));
  $("zoom-in").addEventListener("click", () => zoom(1.25));
  $("zoom-out").addEventListener("click", () => zoom(0.8));
  $("invert").addEventListener("click", () => set({ invert: !look.invert }));
  $("reset").addEventListener("click", () => set(fresh()));
  $("window").addEventListener("input", () => set({ width: Number($("window").value) }));
  $("level").addEventListener("input", () => set({ level: Number($("level").value) }));
  $("viewer-keep").addEventListener("click", () => { basket.toggle(hits[at], first + at); keepButton(); });
  for (const pane of document.querySelectorAll(".pane")) follow(pane);
}

/** Show hit `position` of `shown`, whose first has rank `rank`; `asked` is {url, small} of the query's picture, or null. */
export function open(shown, position, rank, asked) {
  [hits, first, query, look] = [shown, rank, asked, fresh()];
  $("viewer").showModal();
  go(position);
  $("hit-pane").focus();
}

function go(position) {
  if (position < 0 || position >= hits.length) return;
  at = position;
  view = 0;
  const hit = hits[at];
  $("viewer-title").textContent = `${first + at} · ${hit.study_id}`;
  $("viewer-facts").textContent = drawFacts(hit);
  $("viewer-marks").replaceChildren(...drawMarks(hit));
  $("viewer-report").replaceChildren(...drawReport(hit));
  $("viewer-previous").disabled = at === 0;
  $("viewer-next").disabled = at === hits.length - 1;
  if (document.activeElement.disabled) $("hit-pane").focus(); // a disabled button hears no keys
  const link = $("viewer-link");
  link.hidden = !template;
  if (template) link.href = template.replaceAll("{study_id}", encodeURIComponent(hit.study_id)).replaceAll("{patient_id}", encodeURIComponent(hit.patient_id));
  $("query-pane").hidden = !query;
  if (query) show($("query-pane"), query.url, query.small, "Query");
  $("views").replaceChildren(...(hit.views.length > 1 ? hit.views.map((name, i) =>
    h("button", { type: "button", className: "second", "aria-pressed": String(i === view), onclick: () => turn(i) }, name || `view ${i + 1}`)) : []));
  picture(hit);
  keepButton();
  draw();
}

function turn(to) {
  view = to;
  [...$("views").children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === view)));
  picture(hits[at]);
}

function picture(hit) {
  show($("hit-pane"), original(hit.row, view), hit.has_image && view === 0 ? thumbnail(hit.row) : "", `Hit ${first + at}`);
}

/** The thumbnail at once, the full picture when it is there; where there is none, the thumbnail stays and says so. */
function show(pane, full, small, name) {
  const [image, caption] = [pane.querySelector("img"), pane.querySelector("figcaption")];
  pane.dataset.wanted = full;
  image.alt = `${name}, X-ray`;
  if (small) image.src = small;
  else image.removeAttribute("src");
  caption.textContent = `${name}: loading …`;
  const loading = new Image();
  loading.addEventListener("load", () => {
    if (pane.dataset.wanted !== full) return;
    image.src = full;
    caption.textContent = `${name}: ${loading.naturalWidth} × ${loading.naturalHeight} px`;
  });
  loading.addEventListener("error", () => {
    if (pane.dataset.wanted === full) caption.textContent = small ? `${name}: stored thumbnail; the original file is not there` : `${name}: no picture`;
  });
  loading.src = full;
}

function keepButton() {
  const kept = basket.has(hits[at].study_id);
  $("viewer-keep").setAttribute("aria-pressed", String(kept));
  $("viewer-keep").textContent = kept ? "In basket ✓" : "Add to basket";
}

function set(change) {
  look = { ...look, ...change };
  draw();
}

function zoom(factor) {
  const next = Math.min(MAX_ZOOM, Math.max(1, look.zoom * factor));
  const held = next / look.zoom; // what is in the middle stays there
  set(next === 1 ? { zoom: 1, x: 0, y: 0 } : { zoom: next, x: look.x * held, y: look.y * held });
}

/** Gray values: out = (in − (level − width / 2)) / width, the linear window of DICOM; both panes look alike. */
function draw() {
  const sign = look.invert ? -1 : 1;
  const slope = FULL / look.width;
  const intercept = -(look.level - look.width / 2) / look.width;
  for (const part of document.querySelectorAll("#gray feFuncR, #gray feFuncG, #gray feFuncB")) {
    part.setAttribute("slope", sign * slope);
    part.setAttribute("intercept", look.invert ? 1 - intercept : intercept);
  }
  for (const image of document.querySelectorAll(".pane img")) {
    image.style.transform = `translate(${look.x}px, ${look.y}px) scale(${look.zoom})`;
    const plain = look.width === FULL && look.level === MIDDLE && !look.invert;
    image.style.filter = plain ? "none" : "url(#gray)";
  }
  $("window").value = look.width;
  $("level").value = look.level;
  $("invert").setAttribute("aria-pressed", String(look.invert));
  $("zoom").textContent = `${Math.round(look.zoom * 100)} %`;
}

/** Drag pans, the right button sets window and level, the wheel zooms, a double click goes back. */
function follow(pane) {
  let from = null;
  pane.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    pane.setPointerCapture(event.pointerId);
    from = { x: event.clientX, y: event.clientY, look, gray: event.button === 2 };
  });
  pane.addEventListener("pointermove", (event) => {
    if (!from) return;
    const [dx, dy] = [event.clientX - from.x, event.clientY - from.y];
    if (from.gray) set({ width: clamp(from.look.width + dx / 2, 1, FULL), level: clamp(from.look.level + dy / 2, 0, FULL) });
    else set({ x: from.look.x + dx, y: from.look.y + dy });
  });
  for (const name of ["pointerup", "pointercancel"]) pane.addEventListener(name, () => { from = null; });
  pane.addEventListener("contextmenu", (event) => event.preventDefault());
  pane.addEventListener("dblclick", () => set(fresh()));
  pane.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15); }, { passive: false });
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
  const step = 40;
  const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
  const keys = {
    ArrowLeft: () => go(at - 1), ArrowRight: () => go(at + 1), "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8),
    0: () => set(fresh()), i: () => set({ invert: !look.invert }), b: () => $("viewer-keep").click(),
  };
  const act = event.shiftKey && moves[event.key] ? () => set({ x: look.x + moves[event.key][0], y: look.y + moves[event.key][1] }) : keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}
