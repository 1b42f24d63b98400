// What is shown, what is chosen, and how pointer, keys and sliders change it.

const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const PANELS = ["image", "distance", "embedding", "prediction", "truth"];
const state = { scene: 0, x: 0, y: 0, wipe: 50, held: false, colours: "safe", view: { ...data.views[0] }, chosen: 0 };
const cache = new Map();
let pixels = null, photo = null, far = null, waiting = false;

function cached(key, make) {
  if (!cache.has(key)) cache.set(key, make());
  return cache.get(key);
}
const scene = () => data.scenes[state.scene];
const stored = () => scene().embeddings[state.view.embedding];
const palette = () => data.palettes[state.colours];
function grid() { return cached(`grid ${state.view.embedding}`, () => unpack(stored(), scene().extent)); }
function labels(kind) {
  return scene().labels[kind] && cached(`labels ${kind}`, () => bytesOf(scene().labels[kind]));
}
function cell() {
  const { rows, cols, down, across } = grid();
  return [Math.min(rows - 1, Math.round(state.y / down)), Math.min(cols - 1, Math.round(state.x / across))];
}

// How many of the page's cells lie between taps: those that were left out lie between, too.
const stepped = view => Math.max(1, Math.round(view.dilation / stored().step));

function show() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; render(); });
}

function render() {
  const shown = scene(), cells = grid(), [row, col] = cell(), view = { ...state.view, dilation: stepped(state.view) };
  const key = `${state.scene} ${view.embedding} ${view.norm} ${row} ${col}`;
  if (!far || far.key !== key) far = { key, values: distances(cells, row, col, view.norm === "l1") };
  const most = stored().far[view.norm];
  const pictures = {
    image: photo && [photo],
    distance: [painted(cells.rows, cells.cols, i => rampColour(1 - far.values[i] / most)), cells.down, cells.across],
    embedding: [cached(`embedding ${view.embedding} ${state.colours}`,
                       () => embeddingPicture(cells, stored(), state.colours === "safe")), cells.down, cells.across],
    prediction: labelled("prediction"),
    truth: labelled("truth"),
  };
  for (const name of PANELS) {
    const canvas = $(name);
    if (!pictures[name]) continue;
    fit(canvas, shown);
    lay(canvas, pictures[name][0], shown, ...pictures[name].slice(1));
    if (name === "prediction") drawBefore(canvas);
    mark(canvas, shown, cells, row, col, view);
  }
  const taps = windowMask(cells, row, col, view);
  drawWindows(taps, view, cells);
  tell(taps, row, col);
  fillNumbers(taps, view.kernel);
}

function labelled(kind) {
  const found = labels(kind);
  return found && [cached(`picture ${kind} ${state.colours}`, () => labelPicture(found, scene(), palette()))];
}

function drawBefore(canvas) {
  const before = labelled("before");
  if (!before) return;
  const context = canvas.getContext("2d"), edge = canvas.width * state.wipe / 100;
  context.save();
  context.beginPath(); context.rect(0, 0, edge, canvas.height); context.clip();
  context.drawImage(before[0], 0, 0, canvas.width, canvas.height);
  context.restore();
  context.fillStyle = "#000"; context.fillRect(edge - 2, 0, 4, canvas.height);
  context.fillStyle = "#fff"; context.fillRect(edge - 1, 0, 2, canvas.height);
}

function drawWindows(taps, view, cells) {
  const most = view.sum_to ? Math.max(...taps.map(tap => tap.weight), 1e-12) : 1;
  const colour = tap => {
    const y = Math.round(tap.row * cells.down), x = Math.round(tap.col * cells.across), { width, height } = scene();
    if (!pixels || y < 0 || x < 0 || y >= height || x >= width) return [225, 225, 225];
    return [...pixels.subarray(4 * (y * width + x), 4 * (y * width + x) + 3)];
  };
  drawTaps($("window"), taps, view.kernel, colour);
  drawTaps($("mask"), taps, view.kernel, tap => rampColour(tap.weight / most));
  drawTaps($("through"), taps, view.kernel, tap => colour(tap).map(value => value * tap.weight / most));
}

function className(label) {
  return label === 255 ? "nothing (void)" : data.classes[label] || `class ${label}`;
}

function tell(taps, row, col) {
  const at = Math.round(state.y) * scene().width + Math.round(state.x), said = [];
  for (const [kind, words] of [["before", "before the CRF"], ["prediction", "predicted"], ["truth", "in truth"]]) {
    if (labels(kind)) said.push(`${words} ${className(labels(kind)[at])}`);
  }
  const sum = taps.reduce((total, tap) => total + tap.weight, 0), counted = taps.length;
  const squares = taps.reduce((total, tap) => total + tap.weight ** 2, 0);
  // Of weights that always add up to the same, how many pixels would share them if these counted alike.
  const kept = state.view.sum_to ? `The mask spreads over ${(sum * sum / squares).toFixed(1)}`
    : `The mask keeps ${sum.toFixed(1)}`;
  $("reading").textContent = `Column ${Math.round(state.x)}, row ${Math.round(state.y)}` +
    `${said.length ? ": " + said.join(", ") : ""}. ${kept} of ${counted} pixels.${state.held ? " (held)" : ""}`;
  $("scale-value").textContent = Number(state.view.scale.toPrecision(4));
  $("kernel-value").textContent = `${state.view.kernel} × ${state.view.kernel}`;
  $("dilation-value").textContent = stepped(state.view) * stored().step;
  for (const name of ["kernel", "norm"]) $(name).value = state.view[name];
  $("dilation").value = stepped(state.view);
  $("scale").value = sliderOf(state.view.scale);
  $("wipe").value = state.wipe;
  $("link").href = "#" + new URLSearchParams({
    scene: state.scene, mask: state.chosen, x: Math.round(state.x), y: Math.round(state.y), scale: state.view.scale,
    kernel: state.view.kernel, dilation: state.view.dilation, norm: state.view.norm, wipe: state.wipe,
    colours: state.colours,
  });
}

function fillNumbers(taps, kernel) {
  if (!$("numbers").open) return;
  const rows = [];
  for (let i = 0; i < kernel; i++) {
    const line = document.createElement("tr");
    for (const tap of taps.slice(i * kernel, (i + 1) * kernel)) {
      const place = document.createElement("td");
      place.textContent = tap.weight.toPrecision(4);
      if (tap.outside) place.className = "outside";
      if (tap.centre) place.className = "centre";
      line.append(place);
    }
    rows.push(line);
  }
  $("numbers").querySelector("table").replaceChildren(...rows);
}

// The slider's square law leaves room for small values; its middle is a quarter of the largest.
const largest = () => 8 * data.views[state.chosen].scale || 1;
const sliderOf = scale => Math.round(400 * Math.sqrt(Math.min(1, scale / largest())));
const scaleOf = slider => largest() * (slider / 400) ** 2;

function chooseScene(index) {
  state.scene = (index + data.scenes.length) % data.scenes.length;
  cache.clear(); far = null; pixels = null; photo = null;
  [state.x, state.y] = scene().start;
  $("scene").value = state.scene;
  $("truth-figure").hidden = !scene().labels.truth;
  $("prediction-figure").hidden = !scene().labels.prediction;
  $("wipe").hidden = !scene().labels.before;
  $("prediction-caption").textContent = scene().labels.before
    ? `What the network says: left of the line before the CRF, right of it after. ${changed()} of the pixels change.`
    : "What the network says";
  showClasses();
  const wanted = state.scene, loading = new Image();
  loading.onload = () => {
    if (state.scene !== wanted) return;
    const canvas = document.createElement("canvas");
    canvas.width = loading.width; canvas.height = loading.height;
    const context = canvas.getContext("2d");
    context.drawImage(loading, 0, 0);
    photo = canvas; pixels = context.getImageData(0, 0, loading.width, loading.height).data;
    show();
  };
  loading.src = scene().image;
  show();
}

function changed() {
  const before = labels("before"), after = labels("prediction");
  let count = 0;
  for (let i = 0; i < after.length; i++) count += before[i] !== after[i];
  return `${(100 * count / after.length).toFixed(1)}%`;
}

function showClasses() {
  const there = new Set();
  for (const kind of ["truth", "prediction", "before"]) for (const label of labels(kind) || []) there.add(label);
  const parts = [...there].sort((a, b) => a - b).flatMap(label => {
    const swatch = document.createElement("canvas");
    swatch.className = "swatch"; swatch.width = swatch.height = 1;
    const context = swatch.getContext("2d");
    context.fillStyle = `rgb(${(palette()[label] || [200, 200, 200]).join(",")})`;
    context.fillRect(0, 0, 1, 1);
    return [swatch, className(label)];
  });
  $("classes").replaceChildren(...parts);
}

function chooseView(index) {
  state.chosen = (index + data.views.length) % data.views.length;
  state.view = { ...data.views[state.chosen] };
  $("view").value = state.chosen;
  $("about").textContent = data.views[state.chosen].about;
  far = null;
  show();
}

function change(name, value) { state.view[name] = value; show(); }
const changeKernel = by => change("kernel", Math.max(1, Math.min(41, state.view.kernel + by)));
const changeDilation = by => change("dilation", stored().step * Math.max(1, Math.min(16, stepped(state.view) + by)));
function changeScale(by) { change("scale", scaleOf(Math.max(0, Math.min(400, sliderOf(state.view.scale) + by)))); }

function moveTo(x, y) {
  state.x = Math.max(0, Math.min(scene().width - 1, x)); state.y = Math.max(0, Math.min(scene().height - 1, y));
  show();
}

function moveToEvent(event) {
  const box = event.target.getBoundingClientRect();
  moveTo(Math.floor((event.clientX - box.left) / box.width * scene().width),
         Math.floor((event.clientY - box.top) / box.height * scene().height));
}

function toggleHeld() { state.held = !state.held; show(); }
function toggleWipe() { state.wipe = state.wipe < 50 ? 100 : 0; show(); }
function chooseColours(name) { state.colours = name; $("colours").value = name; showClasses(); show(); }

for (const name of PANELS) {
  const canvas = $(name);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${name}; arrow keys move the pixel`);
  canvas.addEventListener("pointermove", event => {
    if (!state.held || event.pointerType !== "mouse") moveToEvent(event);
  });
  canvas.addEventListener("pointerdown", event => {
    moveToEvent(event);
    if (event.pointerType === "mouse") toggleHeld();
  });
}

const KEYS = {
  "[": () => changeScale(-8), "]": () => changeScale(8), "-": () => changeKernel(-2), "+": () => changeKernel(2),
  "=": () => changeKernel(2), ",": () => changeDilation(-1), ".": () => changeDilation(1),
  n: () => chooseScene(state.scene + 1), p: () => chooseScene(state.scene - 1), m: () => chooseView(state.chosen + 1),
  c: toggleWipe, " ": toggleHeld,
  ArrowLeft: by => moveTo(state.x - by * grid().across, state.y),
  ArrowRight: by => moveTo(state.x + by * grid().across, state.y),
  ArrowUp: by => moveTo(state.x, state.y - by * grid().down),
  ArrowDown: by => moveTo(state.x, state.y + by * grid().down),
};
document.addEventListener("keydown", event => {
  const key = KEYS[event.key];
  if (!key || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, button, a, summary")) {
    return;
  }
  event.preventDefault();
  key(event.shiftKey ? 10 : 1);
});

$("scene").addEventListener("change", event => chooseScene(Number(event.target.value)));
$("view").addEventListener("change", event => chooseView(Number(event.target.value)));
$("colours").addEventListener("change", event => chooseColours(event.target.value));
$("scale").addEventListener("input", event => change("scale", scaleOf(Number(event.target.value))));
$("kernel").addEventListener("input", event => change("kernel", Number(event.target.value)));
$("dilation").addEventListener("input", event => change("dilation", stored().step * Number(event.target.value)));
$("norm").addEventListener("change", event => change("norm", event.target.value));
$("wipe").addEventListener("input", event => { state.wipe = Number(event.target.value); show(); });
$("reset").addEventListener("click", () => chooseView(state.chosen));
$("numbers").addEventListener("toggle", show);

// What a link to a view says, as far as it can be.
function follow() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const number = (name, least, most) => {
    const value = asked.has(name) ? Number(asked.get(name)) : NaN;
    return value >= least && value <= most ? value : null;
  };
  chooseView(number("mask", 0, data.views.length - 1) ?? 0);
  chooseScene(number("scene", 0, data.scenes.length - 1) ?? 0);
  moveTo(number("x", 0, Infinity) ?? state.x, number("y", 0, Infinity) ?? state.y);
  for (const [name, most] of [["scale", Infinity], ["kernel", 41], ["dilation", 1024]]) {
    const value = number(name, name === "scale" ? 0 : 1, most);
    if (value !== null) state.view[name] = name === "kernel" ? value | 1 : value;
  }
  if (["l1", "l2"].includes(asked.get("norm"))) state.view.norm = asked.get("norm");
  state.wipe = number("wipe", 0, 100) ?? state.wipe;
  chooseColours(asked.get("colours") === "own" ? "own" : "safe");
}

data.scenes.forEach((one, i) => $("scene").append(new Option(one.name, i)));
data.views.forEach((one, i) => $("view").append(new Option(one.name, i)));
for (const bar of document.querySelectorAll(".ramp")) {
  const stops = [0, 64, 128, 192, 255].map(i => `rgb(${data.ramp[i].join(",")})`);
  bar.style.background = `linear-gradient(to right, ${stops.join(",")})`;
}
window.addEventListener("hashchange", follow);
follow();
