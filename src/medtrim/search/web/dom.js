// Building elements. Whatever comes from the index or the user goes into the page as text, never as markup.

export const $ = (id) => document.getElementById(id);

/** An element with properties, `data-` and `aria-` attributes and event listeners (`on…`), and children. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role" || name === "for" || name === "list") element.setAttribute(name, value === true ? "" : value);
    else element[name] = value;
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A labelled select; `options` are values or [value, words] pairs. */
export function choice(label, options, value, onchange) {
  const select = h("select", { onchange: () => onchange(select.value) });
  for (const option of options) {
    const [key, words] = Array.isArray(option) ? option : [option, option];
    select.append(new Option(words, key, false, key === value));
  }
  return h("label", { className: "field" }, label, select);
}

/** Ends a dialog when its backdrop is clicked; Escape does so by itself. */
export function closeOnBackdrop(dialog) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}
