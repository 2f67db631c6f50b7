// Where a reader is in something that grows: at its end, which is followed; or somewhere above, and then what is read stays
// where it is on the screen, whatever comes in above it. Browsers differ in that, so theirs is switched off (`overflow-anchor`).

/** Nearer to the end than this counts as being there. */
const NEAR = 60;
/** How deep into what is read the place is looked for. */
const DEPTH = 8;

export class Place {
  #scroller;
  #content;
  #moved;
  #atEnd = true;
  /** Where it was scrolled to when that was last looked at. */
  #top = 0;
  /** What is at the top of the screen, from the outside in, and its depth: if the inmost goes, the next one counts. */
  #anchors = [];

  /** `content` is what scrolls, its articles are what is read; `moved()` is called when `atEnd` may be another. */
  constructor(scroller, content, moved) {
    this.#scroller = scroller;
    this.#content = content;
    this.#moved = moved;
    scroller.addEventListener("scroll", () => this.#look(), { passive: true });
    content.addEventListener("click", ({ target }) => {
      const opener = target.closest("summary, [aria-expanded], .receipt-line");
      if (opener) this.hold(opener);
    });
    const sizes = new ResizeObserver(() => this.keep());
    sizes.observe(content);
    sizes.observe(scroller);
  }

  get atEnd() {
    return this.#atEnd;
  }

  toEnd(smooth = false) {
    this.#scroller.scrollTo({ top: this.#scroller.scrollHeight, behavior: smooth ? "smooth" : "instant" });
    if (smooth) return;
    this.#top = this.#scroller.scrollTop;
    if (this.#atEnd) return;
    this.#atEnd = true;
    this.#moved();
  }

  /** What is about to change is to leave this element where it is. */
  hold(element) {
    this.#atEnd = false;
    this.#anchors = [[element, this.#depth(element)]];
    // Behind the frame in which it changes; there may be no end to be away from.
    requestAnimationFrame(() => requestAnimationFrame(() => this.#judge()));
  }

  /** Follows the end, or puts back in its place what has been moved. */
  keep() {
    if (this.#atEnd) return this.toEnd();
    const anchor = this.#anchors.findLast(([element]) => element.isConnected && element.checkVisibility());
    const strayed = anchor ? this.#depth(anchor[0]) - anchor[1] : 0;
    if (Math.abs(strayed) < 0.5) return;
    this.#scroller.scrollTop += strayed;
    this.#top = this.#scroller.scrollTop;
    for (const it of this.#anchors) it[1] = this.#depth(it[0]);
  }

  /** How far below the beginning of the content it is. Scrolling does not change that; what comes in above it does. */
  #depth(element) {
    return element.getBoundingClientRect().top + this.#scroller.scrollTop;
  }

  /** Scrolled: by the reader, or by this. */
  #look() {
    const { scrollTop } = this.#scroller;
    const [up, still] = [scrollTop < this.#top - 1, Math.abs(scrollTop - this.#top) <= 1];
    this.#top = scrollTop;
    // Only who scrolls up leaves the end. If it is further away otherwise, something has come in, and it is followed.
    if (!this.#atEnd || up) this.#judge();
    this.keep();
    if (still) return;
    this.#anchors = [];
    const edge = this.#scroller.getBoundingClientRect().top;
    let among = [...this.#content.children].filter((element) => element.matches("article"));
    while (among.length && this.#anchors.length < DEPTH) {
      const found = among.find((element) => element.getBoundingClientRect().bottom > edge + 1);
      if (!found) break;
      this.#anchors.push([found, this.#depth(found)]);
      among = found.getBoundingClientRect().top < edge ? [...found.children] : [];
    }
  }

  #judge() {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroller;
    this.#atEnd = scrollHeight - scrollTop - clientHeight < NEAR;
    this.#moved();
  }
}
