// The colours of a plot's series can be told apart, also by people who see some of them alike.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const CSS = readFileSync(new URL(
  "../../../src/deltaweir/gateway/page/static/style/dashboard.css", import.meta.url), "utf8");
/** Distances in OKLab, times 100; 2 is about the least that can be seen side by side. */
const APART = 8;
const CONTRAST = 3;
// Machado, Oliveira, Fernandes 2009: who lacks one kind of cone
const SIGHTS = {
  all: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998]],
  deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881]],
  tritanopia: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039]],
};

const times = (matrix, vector) =>
  matrix.map((row) => row.reduce((all, one, place) => all + one * vector[place], 0));

function linear(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
    .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
}

function oklab(rgb) {
  const cones = times([[0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]],
  rgb.map((one) => Math.min(1, Math.max(0, one)))).map(Math.cbrt);
  return times([[0.2104542553, 0.793617785, -0.0040720468],
    [1.9779984951, -2.428592205, 0.4505937099], [0.0259040371, 0.7827717662, -0.808675766]], cones);
}

const luminance = (rgb) => times([[0.2126, 0.7152, 0.0722]], rgb)[0];

function contrast(one, other) {
  const [dark, light] = [luminance(linear(one)), luminance(linear(other))].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

const colours = (block) => [...block.matchAll(/--series-\w+: (#\w{6})/g)].map(([, hex]) => hex);
const BLOCKS = [...CSS.matchAll(/\{[^{}]*--series-1:[^{}]*\}/g)].map(([block]) => colours(block));
const THEMES = { light: [BLOCKS[0], "#ffffff"], dark: [BLOCKS[2], "#1c2024"] };

test("the dark colours are the same, whether chosen or the system's", () => {
  assert.equal(BLOCKS.length, 3);
  assert.deepEqual(BLOCKS[1], BLOCKS[2]);
});

for (const [theme, [shown, ground]] of Object.entries(THEMES)) {
  test(`${theme}: eight series and the others stand out from the ground`, () => {
    assert.equal(shown.length, 9);
    for (const hex of shown) assert.ok(contrast(hex, ground) >= CONTRAST, hex);
  });
  for (const [sight, matrix] of Object.entries(SIGHTS)) {
    test(`${theme}: any two differ for those with ${sight === "all" ? "all cones" : sight}`, () => {
      const seen = shown.map((hex) => oklab(times(matrix, linear(hex))));
      seen.forEach((one, place) => seen.slice(place + 1).forEach((other, more) => {
        const far = 100 * Math.hypot(...one.map((value, axis) => value - other[axis]));
        assert.ok(far >= APART, `${shown[place]} and ${shown[place + 1 + more]}: ${far.toFixed(1)}`);
      }));
    });
  }
}
