"use strict";
// Diseases of the map: one pressed button dims every mark of the other classes.
const buttons = [...document.querySelectorAll(".classes button")];
for (const button of buttons) {
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    for (const other of buttons) other.setAttribute("aria-pressed", String(on && other === button));
    for (const mark of document.querySelectorAll(".maps svg > *")) {
      mark.classList.toggle("dim", on && !mark.classList.contains(`c${button.dataset.class}`));
    }
  });
}
// Paper shows what a screen folds away, but for the reports of retrieved studies.
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("section > details:not([open])")) {
    fold.open = true;
    fold.dataset.printed = "";
  }
});
addEventListener("afterprint", () => {
  for (const fold of document.querySelectorAll("details[data-printed]")) {
    fold.open = false;
    delete fold.dataset.printed;
  }
});
