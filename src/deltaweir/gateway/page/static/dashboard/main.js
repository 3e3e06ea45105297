/**
 * The dashboard: what runs now, what was used, how well it went.
 */

import { Refused, askJson } from "../api.js";
import { Buckets } from "./buckets.js";
import { make } from "./dom.js";
import { Endings } from "./endings.js";
import { Feed } from "./feed.js";
import { Figures } from "./figures.js";
import { Status, refusal } from "./status.js";
import { Streams } from "./streams.js";
import { Upstreams } from "./upstreams.js";
import { Usage } from "./usage.js";

/** How old what was used may get, in milliseconds. */
const USAGE_MS = 60_000;
const RENDER = "dashboard render";

let open = null;

/**
 * Show the dashboard.
 *
 * @param {HTMLElement} root
 * @param {object} settings What `GET /page/settings` says; see `gateway/page/settings.py`.
 */
export async function enter(root, settings) {
  // it is entered again with another key
  leave();
  // a deferred script, which may come later than modules do
  if (document.readyState === "loading") {
    await new Promise((done) => addEventListener("DOMContentLoaded", done, { once: true }));
  }
  open = new Dashboard(root, settings);
}

/** Ask the server for nothing more. */
export function leave() {
  open?.leave();
  open = null;
}

class Dashboard {
  #snapshot = null;
  #frame = 0;
  #timer = 0;
  #used = -USAGE_MS;
  #left = new AbortController();

  constructor(root, settings) {
    this.root = root;
    this.feed = new Feed((snapshot) => this.#take(snapshot), (...told) => this.#tell(...told));
    this.status = new Status((paused) => { this.feed.paused = paused; });
    this.figures = new Figures();
    this.streams = new Streams((words) => this.status.announce(words), nothing(settings));
    this.usage = new Usage();
    this.first = new Buckets("first-token", "Time to first token", "first tokens", "first_token");
    this.gaps = new Buckets("gaps", "Gaps between tokens", "gaps", "gaps");
    this.endings = new Endings();
    this.upstreams = new Upstreams();
    this.parts = make("div", { class: "parts" }, this.figures.root, this.streams.root,
      this.usage.root, make("div", { class: "pair" }, this.first.root, this.gaps.root),
      make("div", { class: "pair uneven" }, this.endings.root, this.upstreams.root));
    root.replaceChildren(this.status.root, this.parts);
    addEventListener("hashchange", this.#mark);
    this.#mark();
    this.feed.start();
  }

  leave() {
    this.#left.abort();
    this.feed.stop();
    this.usage.leave();
    removeEventListener("hashchange", this.#mark);
    clearTimeout(this.#timer);
    cancelAnimationFrame(this.#frame);
    this.root.replaceChildren();
  }

  #take(snapshot) {
    this.#snapshot = snapshot;
    // of several that came meanwhile only the newest is drawn
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#render());
  }

  #render() {
    performance.clearMeasures(RENDER);
    const start = performance.now();
    for (const part of [this.status, this.figures, this.streams, this.first, this.gaps,
      this.endings, this.upstreams]) part.show(this.#snapshot);
    performance.measure(RENDER, { start });
  }

  #tell(state, error) {
    this.status.tell(state);
    this.parts.hidden = error !== null;
    this.root.querySelector(".no-entry")?.remove();
    if (error !== null) this.root.append(refusal(error, () => this.feed.start()));
    clearTimeout(this.#timer);
    if (state === "live") this.#useIn(this.#used + USAGE_MS - performance.now());
  }

  /** Ask what was used, from time to time while all is live. */
  #useIn(wait_ms) {
    if (wait_ms <= 0) {
      this.#used = performance.now();
      this.usage.load();
      this.#today();
    }
    this.#timer = setTimeout(() => this.#useIn(0), wait_ms > 0 ? wait_ms : USAGE_MS);
  }

  async #today() {
    const day = new Date().toISOString().slice(0, 10);
    try {
      const options = { signal: this.#left.signal, cache: "no-store" };
      const { data, total } = await askJson(`v1/usage?group_by=hour&since=${day}`, options);
      this.figures.today(total, data);
    } catch (error) {
      // the panel of usage says what is wrong with these requests
      if (error.name !== "AbortError" && !(error instanceof Refused)) throw error;
    }
  }

  #mark = () => {
    const query = new URLSearchParams(location.hash.split("?")[1] ?? "");
    this.streams.highlight(query.get("stream"));
  };
}

/** What stands where streams would, while there are none: how to make one. */
function nothing(settings) {
  const model = settings.models[0]?.id ?? settings.patterns[0]?.replace("*", "model") ?? "model";
  const body = { model, stream: true, messages: [{ role: "user", content: "Hello" }] };
  const key = settings.auth === "keys" ? " \\\n  -H 'Authorization: Bearer YOUR_KEY'" : "";
  const address = new URL("v1/chat/completions", document.baseURI);
  const command = `curl -N ${address}${key} \\\n  -H 'Content-Type: application/json' \\\n` +
    `  -d '${JSON.stringify(body)}'`;
  return make("div", {},
    make("p", {}, "No stream is alive. Each answer shows up here while it is being written."),
    make("p", { class: "quiet" },
      "Ask something in Chat, point any OpenAI client at this server, or:"),
    make("pre", { tabindex: "0" }, make("code", {}, command)));
}
