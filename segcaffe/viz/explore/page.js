// What is shown, what is chosen, and how pointer, keys and sliders change it.

const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const PANELS = ["image", "distance", "embedding", "prediction", "truth"];
const state = {
  scene: 0, x: 0, y: 0, other: null, wipe: 50, held: false, colours: "safe", view: { ...data.views[0] }, chosen: 0,
};
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
function cellAt(x, y) {
  const { rows, cols, down, across } = grid();
  return [Math.min(rows - 1, Math.round(y / down)), Math.min(cols - 1, Math.round(x / across))];
}
const cell = () => cellAt(state.x, state.y);

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
    if (state.other) markOther(canvas, shown, cells, ...state.other);
  }
  const taps = windowMask(cells, row, col, view);
  drawWindows(taps, view, cells);
  tell(taps);
  tellPair(cells, row, col, taps);
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
  $("most-value").textContent = Number(most.toPrecision(2));
}

// The slider's square law leaves room for small values; its middle is a quarter of the largest.
const largest = () => 8 * data.views[state.chosen].scale || 1;
const sliderOf = scale => Math.round(400 * Math.sqrt(Math.min(1, scale / largest())));
const scaleOf = slider => largest() * (slider / 400) ** 2;

function chooseScene(index) {
  state.scene = (index + data.scenes.length) % data.scenes.length;
  state.other = null;
  cache.clear(); far = null; pixels = null; photo = null;
  [state.x, state.y] = scene().start;
  $("scene").value = state.scene;
  $("truth-figure").hidden = !scene().labels.truth;
  $("prediction-figure").hidden = !scene().labels.prediction;
  $("wipe").hidden = !scene().labels.before;
  $("prediction-caption").textContent = scene().labels.before
    ? `What the network says: left of the line before its last step, the CRF, in which alike pixels agree; right of it ` +
      `after. It changes ${changed()} of the pixels.`
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

function chooseView(index) {
  state.chosen = (index + data.views.length) % data.views.length;
  state.view = { ...data.views[state.chosen] };
  $("view").value = state.chosen;
  $("about").textContent = data.views[state.chosen].about;
  state.other = null; far = null;
  show();
}

function change(name, value) { state.view[name] = value; show(); }
const changeKernel = by => change("kernel", Math.max(1, Math.min(41, state.view.kernel + by)));
const changeDilation = by => change("dilation", stored().step * Math.max(1, Math.min(16, stepped(state.view) + by)));
function changeScale(by) { change("scale", scaleOf(Math.max(0, Math.min(400, sliderOf(state.view.scale) + by)))); }

function moveTo(x, y) {
  state.other = null;
  state.x = Math.max(0, Math.min(scene().width - 1, x)); state.y = Math.max(0, Math.min(scene().height - 1, y));
  show();
}

// The pixel of the picture that an event is at.
function placeOf(event) {
  const box = event.target.getBoundingClientRect();
  return [Math.floor((event.clientX - box.left) / box.width * scene().width),
          Math.floor((event.clientY - box.top) / box.height * scene().height)];
}

function compareWith(row, col) {
  const { rows, cols } = grid();
  state.other = row < 0 || col < 0 || row >= rows || col >= cols ? null : [row, col];
  show();
}

// The cell of a window that an event is at.
function compareWithTap(event) {
  const box = event.target.getBoundingClientRect(), { kernel } = state.view, [row, col] = cell();
  const tap = (from, size, at) => Math.max(0, Math.min(kernel - 1, Math.floor((at - from) / size * kernel)));
  const step = stepped(state.view);
  compareWith(row + step * (tap(box.top, box.height, event.clientY) - (kernel >> 1)),
              col + step * (tap(box.left, box.width, event.clientX) - (kernel >> 1)));
}
function compareNone() { state.other = null; show(); }

function toggleHeld() { state.held = !state.held; show(); }
function toggleWipe() { state.wipe = state.wipe < 50 ? 100 : 0; show(); }
function chooseColours(name) { state.colours = name; $("colours").value = name; showClasses(); show(); }

const SPOKEN = {
  image: "The picture", distance: "How alike every pixel is", embedding: "The embeddings as colours",
  prediction: "What the network says", truth: "The right answer",
  window: "The window", mask: "The mask", through: "The window times the mask",
};
for (const name of PANELS) {
  const canvas = $(name);
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", `${SPOKEN[name]}; arrow keys move the pixel`);
  canvas.setAttribute("aria-describedby", "reading");
  canvas.addEventListener("pointermove", event => {
    const [x, y] = placeOf(event);
    if (state.held && event.pointerType === "mouse") compareWith(...cellAt(x, y)); else moveTo(x, y);
  });
  canvas.addEventListener("pointerdown", event => {
    moveTo(...placeOf(event));
    if (event.pointerType === "mouse") toggleHeld();
  });
  canvas.addEventListener("pointerleave", compareNone);
}
for (const name of ["window", "mask", "through"]) {
  $(name).setAttribute("role", "img");
  $(name).setAttribute("aria-label", `${SPOKEN[name]}; its numbers are below`);
  for (const event of ["pointermove", "pointerdown"]) $(name).addEventListener(event, compareWithTap);
  $(name).addEventListener("pointerleave", event => { if (event.pointerType === "mouse") compareNone(); });
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
// Arrows and the space bar are the page's in pictures alone: elsewhere they scroll, slide and press.
document.addEventListener("keydown", event => {
  const key = KEYS[event.key], moves = event.key === " " || event.key.startsWith("Arrow");
  if (!key || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select")) return;
  if (moves && !PANELS.includes(event.target.id)) return;
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
$("image").focus({ preventScroll: true });
