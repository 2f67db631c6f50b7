// Reads tasks from the server: the pages of what is shown, how many there are in each view, and single ones that are shown elsewhere.

import { VIEWS, queryOf } from "./task-views.js";

/** Tasks that are read at once. */
export const PAGE = 100;
/** The most that the server gives at once, and how many requests single tasks are worth. */
const MOST = 200;
const MAX_REQUESTS = 5;

export class TaskReader {
  #api;

  constructor(api) {
    this.#api = api;
  }

  /** What is asked for, from its beginning up to so many tasks or a few more: `tasks`, `total`, `next`. */
  async list(query, wanted) {
    const tasks = [];
    let page = await this.more(query, undefined, Math.min(Math.max(wanted, PAGE), MOST));
    tasks.push(...page.tasks);
    while (page.next && tasks.length < wanted) {
      page = await this.more(query, page.next, MOST);
      tasks.push(...page.tasks);
    }
    return { tasks, total: page.total, next: page.next };
  }

  /** The page behind this cursor. */
  async more(query, cursor, limit = PAGE) {
    const page = await this.#api.tasks({ ...queryOf(query), limit, cursor });
    return { tasks: page.tasks, total: page.total, next: page.next_cursor ?? null };
  }

  /** How many tasks each view has, but for one of which that is known. */
  async counts(known) {
    const views = Object.keys(VIEWS).filter((view) => view !== known);
    const pages = await Promise.all(views.map((view) => this.#api.tasks({ ...VIEWS[view], limit: 1 })));
    return Object.fromEntries(views.map((view, index) => [view, pages[index].total]));
  }

  /**
   * The tasks of these ids, as far as there are any. Ids are in the order of their making and the whole list is, too, so a few of them
   * are found by going on from just before the first one. Those beyond what a few requests reach are missing in `looked`.
   */
  async some(ids) {
    let left = [...ids].sort();
    const tasks = [];
    const looked = [];
    for (let request = 0; left.length && request < MAX_REQUESTS; request++) {
      const page = await this.#api.tasks({ cursor: before(left[0]), limit: left.length === 1 ? 1 : MOST });
      const wanted = new Set(left);
      tasks.push(...page.tasks.filter(({ id }) => wanted.has(id)));
      const end = page.next_cursor ? page.tasks.at(-1).id : "~";
      looked.push(...left.filter((id) => id <= end));
      left = left.filter((id) => id > end);
    }
    return { tasks, looked };
  }
}

/** The UUID just before this one. */
function before(id) {
  const number = BigInt(`0x${id.replaceAll("-", "")}`) - 1n;
  return number.toString(16).padStart(32, "0").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
