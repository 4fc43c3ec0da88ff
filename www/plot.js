// @ts-check
/** Latency over time as SVG, drawn anew with each frame. */

import { duration } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { top: 22, right: 14, bottom: 26, left: 56 };

/** Steps between two lines of an axis, in milliseconds. */
const STEPS = [5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000];

/**
 * @typedef {[x: number, y: number]} Point both in milliseconds
 * @typedef {{ name: string, known: Point[], waiting: Point[] }} Series `waiting`: not answered yet, as old as they are
 */

/** @param {string} name @param {Record<string, string | number>} attributes @param {string} [text] */
function node(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  if (text !== undefined) made.textContent = text;
  return made;
}

/** @param {number} most @param {number} lines at most so many */
function stepFor(most, lines) {
  return STEPS.find((step) => most / step <= lines) ?? most;
}

/**
 * @param {SVGSVGElement} svg fills its box
 * @param {Series[]} series the last is drawn on top
 * @param {{ until: number, mark?: number | undefined }} time `mark`: when the upload began
 */
export function draw(svg, series, { until, mark }) {
  const { width, height } = svg.getBoundingClientRect();
  if (!width || !height) return;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const all = series.flatMap(({ known, waiting }) => [...known, ...waiting]);
  const highest = Math.max(200, ...all.map(([, y]) => y)) * 1.05;
  const [right, bottom] = [width - MARGIN.right, height - MARGIN.bottom];
  const x = (/** @type {number} */ ms) => MARGIN.left + (ms / until) * (right - MARGIN.left);
  const y = (/** @type {number} */ ms) => bottom - (ms / highest) * (bottom - MARGIN.top);
  /** @type {SVGElement[]} */
  const nodes = [];

  const up = stepFor(highest, 5);
  for (let at = 0; at <= highest; at += up) {
    nodes.push(node("line", { class: at ? "grid" : "base", x1: MARGIN.left, x2: right, y1: y(at), y2: y(at) }));
    nodes.push(node("text", { class: "tick", x: MARGIN.left - 10, y: y(at) + 4, "text-anchor": "end" }, at ? duration(at) : "0"));
  }
  const along = Math.max(1_000, stepFor(until, width < 520 ? 5 : 10));
  for (let at = 0; at <= until; at += along) {
    const anchor = at + along > until && x(at) > right - 16 ? "end" : "middle";
    nodes.push(node("text", { class: "tick", x: x(at), y: height - 6, "text-anchor": anchor }, `${at / 1_000} s`));
  }
  if (mark !== undefined) {
    nodes.push(node("line", { class: "mark", x1: x(mark), x2: x(mark), y1: MARGIN.top, y2: bottom }));
    nodes.push(node("text", { class: "tick", x: Math.max(x(mark) - 4, MARGIN.left), y: MARGIN.top - 7 }, "upload begins"));
  }
  if (!all.length) {
    const middle = { x: (MARGIN.left + right) / 2, y: (MARGIN.top + bottom) / 2, "text-anchor": "middle" };
    nodes.push(node("text", { class: "hint", ...middle }, "Start, and all lanes are drawn here"));
  }
  series.forEach(({ known, waiting }, index) => {
    const path = (/** @type {Point[]} */ points) => points.map(([at, ms], i) => `${i ? "L" : "M"}${x(at).toFixed(1)} ${y(ms).toFixed(1)}`).join("");
    const lane = `lane-${index}`;
    const last = known.at(-1);
    if (last) {
      const area = `${path(known)}L${x(last[0])} ${bottom}L${x(known[0]?.[0] ?? 0)} ${bottom}Z`;
      nodes.push(node("path", { class: `area ${lane}`, d: area }), node("path", { class: `line ${lane}`, d: path(known) }));
    }
    if (waiting.length) {
      const from = last && last[0] < /** @type {Point} */ (waiting[0])[0] ? [last] : [];
      nodes.push(node("path", { class: `line waiting ${lane}`, d: path([...from, ...waiting]) }));
    }
  });
  svg.replaceChildren(...nodes);
}
