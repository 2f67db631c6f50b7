// The title and the icon of the tab: which conversation is shown, and how many tasks are due today.

const NAME = "Errand";
let page = null;
let due = 0;

/** What the page shows: the title of a conversation, or null. */
export function namePage(title) {
  page = title;
  show();
}

/** How many tasks are due today or overdue. */
export function countDue(count) {
  if (count === due) return;
  due = count;
  show();
  const link = document.querySelector("link[rel~=icon][type='image/svg+xml']");
  if (link) link.href = due ? `data:image/svg+xml,${encodeURIComponent(badge(due > 99 ? "99+" : String(due)))}` : "/ui/icon.svg";
  // An installed app has an icon of its own.
  if (due) navigator.setAppBadge?.(due).catch(() => {});
  else navigator.clearAppBadge?.().catch(() => {});
}

function show() {
  const title = page ? `${page} · ${NAME}` : NAME;
  document.title = due ? `(${due}) ${title}` : title;
}

/** The mark of icon.svg with a number in its corner. */
function badge(number) {
  const width = 9 + 7.4 * number.length;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="9" fill="#1e6b52"/>
<path d="M9.2 14.8l4.6 4.7L23.6 8.8" fill="none" stroke="#fff" stroke-width="3.2" stroke-linecap="round" stroke-linejoin="round"/>
<rect x="${32 - width}" y="15" width="${width}" height="17" rx="8.5" fill="#c2412a" stroke="#fff" stroke-width="1.6"/>
<text x="${32 - width / 2}" y="28" font-family="sans-serif" font-size="13" font-weight="700" text-anchor="middle" fill="#fff">${number}</text></svg>`;
}
