/**
 * Conversations kept in this browser, which all its tabs share; in memory where it keeps nothing.
 *
 * A turn is a record of its own, and two copies of one are put together rather than written over,
 * so tabs do not destroy each other's work. Each change is told to the other tabs.
 */

import { HERE } from "../api.js";
import { merged } from "./conversation.js";

/**
 * @typedef {object} Change
 * @property {string} conversation Its id.
 * @property {string} [turn] The turn that changed; all of it where there is none.
 */

/**
 * Open the store.
 *
 * @param {(change: Change) => void} changed Called for changes that other tabs make.
 * @returns {Promise<Store>}
 */
export async function openStore(changed) {
  let database = null;
  try {
    database = await opened();
  } catch {
    // a private window, or a full disk: `lasting` says so to the person
  }
  return new Store(database, changed);
}

/**
 * The conversations of this browser. Where the database fails later, `notkept` tells of it, and
 * what comes then is in memory.
 */
export class Store {
  /**
   * @param {IDBDatabase | null} database Null keeps all in memory.
   * @param {(change: Change) => void} changed
   */
  constructor(database, changed) {
    this.database = database;
    this.memory = { conversations: new Map(), turns: new Map() };
    this.channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel(HERE);
    this.channel?.addEventListener("message", (event) => changed(event.data));
  }

  /** Whether what is put here outlives the page. */
  get lasting() {
    return this.database !== null;
  }

  /** @returns {Promise<object[]>} All conversations, the latest first. */
  async conversations() {
    const all = await this.#read("conversations", (kept) => kept.getAll(), () => [
      ...this.memory.conversations.values(),
    ]);
    return all.sort((a, b) => b.changed - a.changed);
  }

  /** @param {string} id @returns {Promise<object | undefined>} A conversation. */
  conversation(id) {
    return this.#one("conversations", id);
  }

  /** @param {string} id Of a conversation. @returns {Promise<object[]>} Its turns, in order. */
  async turns(id) {
    const found = await this.#read("turns", (kept) => kept.index("conversation").getAll(id), () =>
      [...this.memory.turns.values()].filter((turn) => turn.conversation === id),
    );
    return found.sort((a, b) => a.at - b.at);
  }

  /** @param {string} id @returns {Promise<object | undefined>} A turn. */
  turn(id) {
    return this.#one("turns", id);
  }

  /** @returns {Promise<object[]>} The turns with an answer that is on its way. */
  openTurns() {
    return this.#read("turns", (kept) => kept.index("open").getAll(), () => []);
  }

  /** @param {object} conversation Put it in the place of what is there. */
  async putConversation(conversation) {
    await this.#write(["conversations"], (kept) => kept.conversations.put(conversation), () =>
      this.memory.conversations.set(conversation.id, conversation),
    );
    this.#tell({ conversation: conversation.id });
  }

  /**
   * Put a turn together with what is there. That of a conversation which is gone stays away.
   *
   * @param {object} turn
   */
  async putTurn(turn) {
    await this.#write(
      ["conversations", "turns"],
      (kept) => {
        kept.conversations.getKey(turn.conversation).onsuccess = (there) => {
          if (there.target.result === undefined) return;
          kept.turns.get(turn.id).onsuccess = (found) => {
            kept.turns.put(merged(found.target.result, turn));
          };
        };
      },
      () => this.memory.turns.set(turn.id, turn),
    );
    this.#tell({ conversation: turn.conversation, turn: turn.id });
  }

  /**
   * Take a conversation out.
   *
   * @param {string} id
   * @returns {Promise<{conversation: object, turns: object[]}>} All of it, for `restore`.
   */
  async remove(id) {
    const kept = { conversation: await this.conversation(id), turns: await this.turns(id) };
    const takeOut = ({ conversations, turns }) => {
      conversations.delete(id);
      for (const turn of kept.turns) turns.delete(turn.id);
    };
    await this.#write(["conversations", "turns"], takeOut, () => takeOut(this.memory));
    this.#tell({ conversation: id });
    return kept;
  }

  /** @param {{conversation: object, turns: object[]}} kept From `remove`; put back. */
  async restore(kept) {
    if (!kept.conversation) return;
    await this.putConversation(kept.conversation);
    for (const turn of kept.turns) await this.putTurn(turn);
  }

  #one(name, id) {
    return this.#read(name, (kept) => kept.get(id), () => this.memory[name].get(id));
  }

  #read(name, ask, remembered) {
    return this.#tried(remembered, (resolve, reject) => {
      const asked = ask(this.database.transaction(name).objectStore(name));
      asked.onsuccess = () => resolve(asked.result);
      asked.onerror = () => reject(asked.error);
    });
  }

  #write(names, put, remember) {
    return this.#tried(remember, (resolve, reject) => {
      const transaction = this.database.transaction(names, "readwrite");
      put(Object.fromEntries(names.map((name) => [name, transaction.objectStore(name)])));
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
  }

  async #tried(otherwise, work) {
    try {
      if (this.database !== null) return await new Promise(work);
    } catch {
      dispatchEvent(new Event("notkept"));
    }
    return otherwise();
  }

  #tell(change) {
    this.channel?.postMessage(change);
  }
}

/**
 * Do something while no other tab does the same; where that cannot be told, do it.
 *
 * @param {string} id Of what is done.
 * @param {() => Promise<void>} work
 * @returns {Promise<void>} When it is done.
 */
export function alone(id, work) {
  // only there where the page is served over TLS, or from this machine
  return navigator.locks ? navigator.locks.request(`${HERE}${id}`, work) : work();
}

function opened() {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(HERE, 1);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore("conversations", { keyPath: "id" });
      const turns = asked.result.createObjectStore("turns", { keyPath: "id" });
      turns.createIndex("conversation", "conversation");
      turns.createIndex("open", "open");
    };
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
    asked.onblocked = () => reject(new Error("the database is in use"));
  });
}
