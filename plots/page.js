"use strict";
// Draws what gdpure computed: a path on its map, and its gap beside what is proven of it.

const at = (id) => document.getElementById(id);

function fail(error) {
  document.documentElement.dataset.error = error;
  at("said").textContent = `The figure cannot be drawn here: ${error}`;
}
window.addEventListener("error", (event) => fail(event.message));
window.addEventListener("unhandledrejection", (event) => fail(event.reason));

// -- data -----------------------------------------------------------------------------------------

const page = JSON.parse(at("data").textContent);
const rows = page.steps + 1;
const cells = (o) => page.units.length * page.momenta.length * o.starts.length;

/** Undo `gdpure.plots.page.packed`: differences of rows as two planes of bytes, then numbers. */
async function unpack() {
  const packed = Uint8Array.from(atob(page.packed), (c) => c.charCodeAt(0));
  const inflated = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(inflated).arrayBuffer();
  const count = page.objectives.reduce((n, o) => n + cells(o) * rows * (3 + o.proven.length), 0);
  const [bytes, codes] = [new Uint8Array(buffer), new Int16Array(count)];
  for (let i = 0; i < count; i++) {
    const code = (bytes[i] << 8) | bytes[count + i];
    const step = code & 1 ? -((code + 1) >> 1) : code >> 1;
    codes[i] = i % rows ? codes[i - 1] + step : step;
  }
  const numbers = new Float32Array(buffer.slice(2 * count));
  let [code, number] = [0, 0];
  for (const o of page.objectives) {
    const take = () => codes.subarray(code, (code += cells(o) * rows));
    const last = () => numbers.subarray(number, (number += cells(o)));
    Object.assign(o, { x: take(), y: take(), gap: take(), bounds: o.proven.map(take) });
    Object.assign(o, { last: last(), most: last() });
  }
}

// -- state ----------------------------------------------------------------------------------------

const form = document.forms[0];
const sliders = { step: at("step"), momentum: at("momentum"), start: at("start") };
const choices = {
  step: () => page.units,
  momentum: () => page.momenta,
  start: () => chosen().starts.map((_, i) => i + 1),
};
const chosen = () => page.objectives.find((o) => o.key === form.elements.objective.value);
const index = (name) => Number(sliders[name].value);

/** Set the sliders to what an address such as "#objective=bowl&step=1.5" says. */
function read() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const known = page.objectives.some((o) => o.key === asked.get("objective"));
  form.elements.objective.value = known ? asked.get("objective") : page.objectives[1].key;
  for (const [name, slider] of Object.entries(sliders)) {
    slider.max = choices[name]().length - 1;
    const place = choices[name]().findIndex((x) => Math.abs(x - Number(asked.get(name))) < 1e-9);
    slider.value = place >= 0 ? place : name === "step" ? page.units.indexOf(1.5) : 0;
  }
  draw();
}

function write() {
  const values = Object.keys(sliders).map((name) => `${name}=${choices[name]()[index(name)]}`);
  history.replaceState(null, "", `#objective=${chosen().key}&${values.join("&")}`);
}

// -- words ----------------------------------------------------------------------------------------

const raised = (n) => [...String(n)].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻").join("");

function spelled(x, digits = 3) {
  const [mantissa, exponent] = x.toExponential(digits - 1).split("e").map(Number);
  const plain = x === 0 || (exponent > -4 && exponent < 4);
  const text = String(plain ? Number(x.toPrecision(digits)) : mantissa).replace("-", "−");
  return plain ? text : `${text} × 10${raised(exponent)}`;
}

const point = (p) => `(${p.map((x) => spelled(x)).join(", ")})`;

/** What a run does, what is proven of it, and whether it is beyond the limit of convergence. */
function sentences(o, run, unit, momentum, start) {
  const [first, last, most] = [o.first[start], o.last[run], o.most[run]];
  const fate = Number.isNaN(last) ? "leaves the floating-point numbers"
    : Math.abs(last - first) < 0.005 * first ? `stays at ${spelled(first)}` // to its three digits
    : `${last < first ? "falls" : "rises"} from ${spelled(first)} to ${spelled(last)}`;
  const said = `${page.steps} steps at ${unit}/L = ${spelled(unit / o.L)}, momentum ${momentum}, `
    + `from ${point(o.starts[start])}: the gap ${fate}.`;
  if (!o.smooth) {
    const why = "f is not convex, and its curvature has no bound; L is the one at the minimizer";
    return [said, `Nothing is proven of it: ${why}.`, ""];
  }
  const limit = 2 * (1 + momentum);
  const edge = momentum ? `2(1 + β)/L = ${spelled(limit)}/L` : "2/L";
  if (Math.abs(unit - limit) < 1e-9) return [said, `At ${edge} it need not fall any more.`, ""];
  return unit < limit
    ? [said, `Proven: it is ${spelled(most)} at most.`, ""]
    : [said, "", `Beyond ${edge} it diverges.`];
}

// -- drawing --------------------------------------------------------------------------------------

const line = (points) => points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
const label = (x, y, text, kind = "", anchor = "middle") =>
  `<text x="${x}" y="${y}" class="${kind}" text-anchor="${anchor}">${text}</text>`;
const circle = ([x, y], r, kind, more = "") =>
  `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="${r}" class="${kind}" ${more}/>`;

/** Circles at points, but for those that the circle before would hide. */
function dots(points) {
  let [last, drawn] = [[-99, -99], ""];
  for (const p of points) {
    if (Math.hypot(p[0] - last[0], p[1] - last[1]) > 3) drawn += circle((last = p), 2.7, "dot");
  }
  return drawn;
}

function sized(svg, height) {
  const width = svg.clientWidth;
  svg.setAttribute("viewBox", `0 0 ${width} ${height(width)}`);
  return [width, height(width)];
}

const placed = { map: [], gap: [] }; // where each iterate is drawn

function drawMap(o, run, start) {
  const [left, foot, edge] = [30, 34, 6];
  const [width, height] = sized(at("map"), (w) => w - left + foot);
  const half = (width - left - edge) / 2;
  const [cx, cy] = [left + half, edge + half];
  const place = (x, y) => [cx + x * half, cy - y * half];
  const share = (x, [from, to]) => (2 * x - from - to) / (to - from);
  const inWindow = (p) => place(...p.map((x, i) => share(x, o.window[i])));
  for (const map of at("maps").children) map.toggleAttribute("hidden", map.id !== `map-${o.key}`);
  const scale = half / page.sharp;
  at("maps").setAttribute("transform", `translate(${cx} ${cy}) scale(${scale} ${-scale})`);
  const points = [];
  for (let k = 0; k < rows && o.x[run * rows + k] !== page.missing; k++) {
    points.push(place(o.x[run * rows + k] / page.fine, o.y[run * rows + k] / page.fine));
  }
  placed.map = points;
  const bottom = cy + half;
  let numbers = "";
  for (const t of o.ticks[0]) {
    if (Math.abs(share(t, o.window[0])) <= 1) numbers += label(inWindow([t, 0])[0], bottom + 15, spelled(t));
  }
  for (const t of o.ticks[1]) {
    const y = inWindow([0, t])[1];
    if (y > edge + 18 && y <= bottom) numbers += label(left - 6, y + 4, spelled(t), "", "end");
  }
  const star = place(...o.minimizer);
  const rays = Array.from({ length: 10 }, (_, i) => {
    const [r, turn] = [i % 2 ? 3 : 7.5, (i * Math.PI) / 5];
    return [star[0] + r * Math.sin(turn), star[1] - r * Math.cos(turn)];
  });
  let others = "";
  o.starts.forEach((s, i) => {
    if (i !== start) others += circle(inWindow(s), 4.5, "other", `data-start="${i}"`);
  });
  const from = inWindow(o.starts[start]);
  const beside = points[1][0] > from[0] || from[0] + 45 > width ? -1 : 1; // away from the path
  at("path").innerHTML = `<clipPath id="window"><rect x="${left}" y="${edge}" width="${2 * half}" height="${2 * half}"/></clipPath>
    <g clip-path="url(#window)"><polyline class="line" points="${line(points)}"/>${dots(points)}</g>
    <polygon class="star" points="${line(rays)}"/>${others}${circle(from, 4.5, "start")}
    ${label(from[0] + 8 * beside, from[1] - 7, "start", "said", beside > 0 ? "start" : "end")}
    <path class="axis" d="M${left} ${edge}V${bottom}H${left + 2 * half}"/>${numbers}
    <g id="map-iterate" clip-path="url(#window)"></g>
    ${label(cx, height - 4, "θ₀")}${label(left - 20, edge + 10, "θ₁")}`;
  at("formula").innerHTML = `<em>f</em>(θ) = ${o.formula}`;
}

function drawGap(o, run, unit, momentum, start) {
  const [low, high] = [-8, 6];
  const [left, top, foot] = [38, 6, 34];
  const [width, height] = sized(at("gap"), (w) => Math.max(260, Math.min(at("map").clientHeight, 460)));
  const right = 112;
  const [w, h] = [width - left - right, height - top - foot];
  const x = (k) => left + (k / page.steps) * w;
  const y = (decades) => top + ((high - decades) / (high - low)) * h;
  const first = Math.log10(o.first[start]); // the codes are of decades below it
  const decades = (code) => (code === page.missing ? NaN : first + code / page.decade);
  const series = (codes) => Array.from(codes.subarray(run * rows, (run + 1) * rows), decades);
  const seen = (values) => values.map((v, k) => [x(k), y(Math.max(v, low - 2))])
    .filter((p) => !Number.isNaN(p[1]));
  const [gap, bounds] = [series(o.gap), o.bounds.map(series)];
  placed.gap = seen(gap);
  let [grid, drawn, labels] = ["", "", []];
  for (let d = low; d <= high; d += 2) {
    grid += `<path class="grid" d="M${left} ${y(d)}h${w}"/>`;
    grid += label(left - 6, y(d) + 4, d ? `10${raised(d)}` : "1", "", "end");
  }
  for (let k = 0; k <= page.steps; k += 10) grid += label(x(k), top + h + 15, k);
  const held = bounds.filter((b) => !Number.isNaN(b[0]));
  if (held.length) {
    const least = gap.map((_, k) => Math.min(...held.map((b) => b[k])));
    const corners = [[[x(0), top]], seen(least), [[x(page.steps), top]]].flat();
    const why = w > 190 ? "excluded by what is proven" : "excluded";
    drawn += `<polygon class="excluded" points="${line(corners)}"/>`;
    drawn += label(left + w - 8, top + 18, why, "proven", "end");
  }
  bounds.forEach((b, i) => {
    if (Number.isNaN(b[0])) return;
    drawn += `<polyline class="bound ${o.proven[i].replace(" ", "-")}" points="${line(seen(b))}"/>`;
    labels.push([y(b.at(-1)), o.proven[i], "proven"]);
  });
  drawn += `<polyline class="line" points="${line(placed.gap)}"/>${dots(placed.gap)}`;
  const exit = gap.findIndex((v) => v > high);
  if (exit < 0) labels.push([placed.gap.at(-1)[1], "measured", "measured"]);
  const below = gap.filter((v) => v < low).length;
  // From the top down, each as low as its line or as the label before it wants.
  labels.sort((a, b) => a[0] - b[0]);
  let last = top - 6;
  for (const one of labels) last = one[0] = Math.max(Math.min(one[0], top + h - 2), last + 15);
  let next = top + h + 12;
  for (const one of labels.reverse()) next = one[0] = Math.min(one[0], next - 15);
  let texts = exit < 0 ? "" : label(x(exit) + 8, top + 14, "measured", "measured", "start");
  for (const [at, text, kind] of labels) texts += label(x(page.steps) + 8, at + 4, text, kind, "start");
  const note = (height, text, kind) => (texts += label(left + w - 8, height, text, kind, "end"));
  if (!o.smooth) note(top + 16, "nothing is proven", "muted");
  else if (unit > 2 * (1 + momentum) + 1e-9) {
    note(top + 0.6 * h, momentum ? "beyond 2(1 + β)/L" : "beyond 2/L", "beyond");
    note(top + 0.6 * h + 16, "it diverges", "beyond");
  }
  if (below) note(top + h - 6, `${below} below 10${raised(low)}`, "said measured");
  at("gap").innerHTML = `<clipPath id="plot"><rect x="${left}" y="${top}" width="${w + 4}" height="${h}"/></clipPath>
    ${grid}<g clip-path="url(#plot)">${drawn}</g><path class="axis" d="M${left} ${top}v${h}h${w}"/>
    ${texts}${label(left + w / 2, height - 4, "iteration k")}
    <g id="gap-iterate" clip-path="url(#plot)"></g>`;
}

/** Show in both pictures the iterate that is pointed at in one of them. */
function pointAt({ currentTarget, clientX, clientY }) {
  const box = currentTarget.getBoundingClientRect();
  const [x, y] = [clientX - box.left, clientY - box.top];
  const far = (p) => Math.hypot(p[0] - x, currentTarget.id === "gap" ? 0 : p[1] - y);
  const all = placed[currentTarget.id];
  const k = all.reduce((best, p, i) => (far(p) < far(all[best]) ? i : best), 0);
  for (const [id, places] of Object.entries(placed)) {
    const p = places[k];
    const name = label(p[0], p[1] + (p[1] < 30 ? 20 : -10), `k = ${k}`, "said");
    at(`${id}-iterate`).innerHTML = circle(p, 5.5, "ring") + name;
  }
}

/** Mark 1/L and the limit of convergence below the slider of step sizes. */
function drawMarks(o, momentum) {
  const limit = 2 * (1 + momentum);
  const edge = [limit, momentum ? "2(1+β)/L" : "2/L", "limit"];
  const marks = [[1, "1/L", ""], o.smooth ? edge : [2, "2/L", ""]];
  const [first, last] = [page.units[0], page.units.at(-1)];
  at("marks").innerHTML = marks.filter(([u]) => u <= last).map(([u, text, kind]) => {
    const share = (u - first) / (last - first);
    return `<span class="${kind}" style="left:calc(8px + ${share} * (100% - 16px))">${text}</span>`;
  }).join("");
}

function draw() {
  const o = chosen();
  const [i, j, start] = Object.keys(sliders).map(index);
  const [unit, momentum] = [page.units[i], page.momenta[j]];
  const run = (i * page.momenta.length + j) * o.starts.length + start;
  const said = {
    step: `${unit}/L = ${spelled(unit / o.L)}`,
    momentum: String(momentum),
    start: point(o.starts[start]),
  };
  for (const name of Object.keys(sliders)) {
    at(`${name}-said`).textContent = said[name];
    sliders[name].setAttribute("aria-valuetext", said[name]);
  }
  const [fact, proven, beyond] = sentences(o, run, unit, momentum, start);
  at("said").innerHTML = `${fact} ${proven}<span class="beyond">${beyond}</span>`;
  drawMarks(o, momentum);
  drawMap(o, run, start);
  drawGap(o, run, unit, momentum, start);
}

unpack().then(() => {
  read();
  form.addEventListener("input", draw);
  form.addEventListener("change", write);
  at("map").addEventListener("click", ({ target }) => {
    if (target.dataset.start) (sliders.start.value = target.dataset.start), draw(), write();
  });
  for (const id of Object.keys(placed)) {
    at(id).addEventListener("pointermove", pointAt);
    at(id).addEventListener("pointerleave", draw);
  }
  addEventListener("hashchange", read);
  addEventListener("resize", draw);
  document.documentElement.dataset.ready = "";
});
