// The designs of a sweep as points that a reader hovers and filters. Each .points box holds its own data as JSON:
// axes {cost: title}, dials [name], ways {way: colour}, points [{number, way, a_final, dials, tip, a value a cost}].
// Other colours are the page's. No other file is needed.
"use strict";
const SVG = "http://www.w3.org/2000/svg", WIDE = 720, HIGH = 360, LEFT = 56, RIGHT = 14, TOP = 12, FOOT = 44;
const DECADE = 10;

const make = (parent, tag, attributes = {}, text = "") => {
  const svg = tag === "svg" || parent.namespaceURI === SVG;
  const made = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return parent.appendChild(made);
};

const choice = (parent, label, values, name) => {
  const frame = make(parent, "label", {}, `${label} `);
  const select = make(frame, "select", { name });
  for (const [value, text] of values) make(select, "option", { value }, text);
  return select;
};

// As flow/explore/fronts.py: cheapest first, each more accurate than all before it.
const frontOf = (points, cost) => {
  const order = [...points].sort((a, b) => a[cost] - b[cost] || b.a_final - a.a_final || a.number - b.number);
  let best = -1;
  return order.filter((p) => p.a_final > best && ((best = p.a_final), true));
};

const scale = (values, low, high, log) => {
  const f = log ? Math.log10 : (v) => v;
  let [a, b] = [Math.min(...values), Math.max(...values)].map(f);
  const room = (b - a || Math.abs(b) || 1) * 0.05;
  a -= room;
  b += room;
  const at = (v) => low + ((f(v) - a) / (b - a)) * (high - low);
  const ticks = [0, 1, 2, 3, 4].map((i) => a + ((i + 0.5) / 5) * (b - a)).map((v) => (log ? 10 ** v : v));
  return { at, ticks };
};

const draw = (box, data, controls) => {
  const { cost, filters, only, plot, count, told } = controls;
  const fits = (p) => filters.every(([dial, s]) => !s.value || String(p.dials[dial] ?? "–") === s.value);
  const chosen = data.points.filter(fits);
  const front = frontOf(chosen, cost.value);
  const shown = only.checked ? front : chosen;
  plot.replaceChildren();
  count.textContent = `${shown.length} of ${data.points.length} designs, ${front.length} on the front`;
  told.textContent = "Point at a design, or reach it with the tabulator key.";
  if (!shown.length) return;
  const costs = shown.map((p) => p[cost.value]);
  const x = scale(costs, LEFT, WIDE - RIGHT, Math.max(...costs) > DECADE * Math.min(...costs));
  const y = scale(shown.map((p) => 100 * p.a_final), HIGH - FOOT, TOP, false);
  const line = { stroke: "var(--line)" }, small = { "font-size": 11, fill: "var(--soft)" };
  for (const v of x.ticks) {
    make(plot, "line", { ...line, x1: x.at(v), x2: x.at(v), y1: TOP, y2: HIGH - FOOT });
    const text = Number(v.toPrecision(3)).toLocaleString("en", { maximumSignificantDigits: 3 });
    make(plot, "text", { ...small, x: x.at(v), y: HIGH - FOOT + 15, "text-anchor": "middle" }, text);
  }
  for (const v of y.ticks) {
    make(plot, "line", { ...line, x1: LEFT, x2: WIDE - RIGHT, y1: y.at(v), y2: y.at(v) });
    make(plot, "text", { ...small, x: LEFT - 6, y: y.at(v) + 4, "text-anchor": "end" }, v.toFixed(1));
  }
  make(plot, "text", { ...small, x: (LEFT + WIDE) / 2, y: HIGH - 6, "text-anchor": "middle" }, data.axes[cost.value]);
  make(plot, "text", { ...small, x: 12, y: TOP + 2, transform: `rotate(-90 12 ${TOP})`, "text-anchor": "end" }, "a_final, %");
  const steps = front.map((p, i) => `${i ? `H${x.at(p[cost.value])}V` : `M${x.at(p[cost.value])} `}${y.at(100 * p.a_final)}`);
  make(plot, "path", { d: steps.join(""), fill: "none", stroke: "var(--ink)", "stroke-width": 1.1 });
  for (const p of shown) {
    const dot = make(plot, "circle", {
      cx: x.at(p[cost.value]), cy: y.at(100 * p.a_final), r: front.includes(p) ? 5.5 : 4, tabindex: 0,
      fill: data.ways[p.way], "fill-opacity": front.includes(p) ? 1 : 0.45,
      "data-point": p.number,
    });
    make(dot, "title", {}, p.tip);
    for (const event of ["mouseenter", "focus"]) dot.addEventListener(event, () => (told.textContent = p.tip));
  }
};

for (const box of document.querySelectorAll(".points")) {
  const data = JSON.parse(box.querySelector("script").textContent);
  const bar = make(box, "p", { class: "bar" });
  const cost = choice(bar, "cost", Object.entries(data.axes), "cost");
  const filters = data.dials.map((dial) => {
    const values = [...new Set(data.points.map((p) => String(p.dials[dial] ?? "–")))];
    return [dial, choice(bar, dial, [["", "all"], ...values.map((v) => [v, v])], dial)];
  });
  const only = make(make(bar, "label", {}, "front only "), "input", { type: "checkbox", name: "front" });
  const legend = make(box, "p", { class: "caption" });
  for (const [way, colour] of Object.entries(data.ways)) make(legend, "span", { style: `color: ${colour}` }, `● ${way}  `);
  const plot = make(box, "svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": "designs of the sweep" });
  const count = make(box, "p", { class: "caption count" });
  const told = make(box, "p", { class: "told", "aria-live": "polite" });
  const controls = { cost, filters, only, plot, count, told };
  box.addEventListener("change", () => draw(box, data, controls));
  draw(box, data, controls);
}
