// The task panel by keys: each does what a click would, wherever nobody is typing.

const VIEWS = { t: "today", u: "upcoming", a: "all", d: "done" };
/** The second key of `g t` has to come within this time. */
const CHORD = 1_500;

export class TaskKeys {
  #panel;
  #open;
  #goingSince = 0;

  /** `open()` makes the panel seen, where it is a drawer. */
  constructor({ panel, open }) {
    this.#panel = panel;
    this.#open = open;
  }

  /** Whether it was a key of the task panel, and was used. */
  press(event) {
    const { key } = event;
    const isSecond = event.timeStamp - this.#goingSince < CHORD;
    this.#goingSince = 0;
    if (isSecond && Object.hasOwn(VIEWS, key)) {
      this.#open();
      this.#panel.show(VIEWS[key]);
      this.#panel.focusList();
      return true;
    }
    return this.#anywhere(event) || this.#onRow(event);
  }

  #anywhere(event) {
    const panel = this.#panel;
    switch (event.key) {
      case "n": case "a":
        this.#open();
        panel.add();
        return true;
      case "/":
        this.#open();
        panel.search();
        return true;
      case "j": case "k":
        this.#open();
        panel.move(event.key === "j" ? 1 : -1);
        return true;
      case "z":
        panel.undo();
        return true;
      case "g":
        this.#goingSince = event.timeStamp;
        return true;
      default:
        return false;
    }
  }

  #onRow({ key }) {
    const row = this.#panel.focused;
    if (!row) return false;
    if (key === "ArrowDown" || key === "ArrowUp") this.#panel.move(key === "ArrowDown" ? 1 : -1);
    else if (key === "x") this.#panel.tick(row);
    else if (key === "e") this.#panel.edit(row);
    else if (key === "Delete" || key === "Backspace") this.#panel.remove(row);
    else if (/^[1-4]$/.test(key)) this.#panel.prioritize(row, `p${key}`);
    else return false;
    return true;
  }
}
