// A button that copies a text and says that it did.

import { announce, h, icon } from "../dom.js";

/** How long the button shows what it did. */
const SHOWN = 1_600;

/** `label`: its name; `text()`: what is copied, asked for at the click. */
export function copyButton(label, text) {
  const button = h("button", { type: "button", class: "icon-button is-small copy", icon: "copy", "aria-label": label, title: label });
  let timer = 0;
  button.addEventListener("click", async () => {
    const copied = await copy(text());
    announce(copied ? "Copied" : "It could not be copied.");
    button.classList.toggle("is-done", copied);
    button.replaceChildren(icon(copied ? "check" : "alert"));
    button.title = copied ? "Copied" : "It could not be copied.";
    clearTimeout(timer);
    timer = setTimeout(() => {
      button.classList.remove("is-done");
      button.replaceChildren(icon("copy"));
      button.title = label;
    }, SHOWN);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelected(text);
  }
}

/** The old way, for pages that are not served from a secure origin. */
function copySelected(text) {
  const focused = document.activeElement;
  const area = h("textarea", { class: "visually-hidden", "aria-hidden": "true", tabindex: -1 });
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  focused?.focus({ preventScroll: true });
  return copied;
}
