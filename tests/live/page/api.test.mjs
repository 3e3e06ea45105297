/** What the page keeps is its mount's own; and how long a server is waited for. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ours } from "./reading.mjs";

globalThis.document = { baseURI: "https://example.com/ai/page?x#y" };
const { HERE, Patience, hopeless } = await ours("api.js");

test("what is kept is named by the path", () => assert.equal(HERE, "deltaweir/ai/"));

test("pauses grow, and are over after five minutes of them", () => {
  Object.defineProperty(globalThis, "navigator", { value: { onLine: true }, configurable: true });
  const patience = new Patience();
  const pauses = [];
  while (!patience.over) {
    patience.failed();
    pauses.push(patience.pause);
  }
  assert.deepEqual(pauses.slice(0, 6), [500, 1000, 2000, 4000, 8000, 8000]);
  assert.equal(pauses.length, 41);
  patience.again();
  assert.deepEqual([patience.pause, patience.over], [0, false]);
  navigator.onLine = false;
  for (let at = 0; at < 100; at += 1) patience.failed();
  assert.ok(!patience.over);
});

test("only the gateway's own words end the hope", () => {
  for (const code of ["stream_not_found", "stream_gone"]) assert.ok(hopeless({ status: 404, code }));
  assert.ok(hopeless({ status: 204, code: null }));
  for (const status of [0, 400, 401, 403, 404, 410, 429, 500]) {
    assert.equal(hopeless({ status, code: null }), null);
  }
});
