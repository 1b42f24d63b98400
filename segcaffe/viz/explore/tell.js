// What the page says in words and numbers of the pixel, its mask, and the classes that are there.

function className(label) {
  return label === 255 ? "nothing (void)" : data.classes[label] || `class ${label}`;
}

function tell(taps) {
  const at = Math.round(state.y) * scene().width + Math.round(state.x), said = [];
  for (const [kind, words] of [["before", "before the CRF"], ["prediction", "predicted"], ["truth", "in truth"]]) {
    if (labels(kind)) said.push(`${words} ${className(labels(kind)[at])}`);
  }
  const sum = taps.reduce((total, tap) => total + tap.weight, 0), counted = taps.length;
  const squares = taps.reduce((total, tap) => total + tap.weight ** 2, 0);
  // Of weights that always add up to the same, how many pixels would share them if these counted alike.
  const kept = state.view.sum_to ? sum * sum / squares : sum;
  $("reading").textContent = `Column ${Math.round(state.x)}, row ${Math.round(state.y)}` +
    `${said.length ? ": " + said.join(", ") : ""}. The mask keeps ${Math.round(100 * kept / counted)}% of the window` +
    ` (${kept.toFixed(1)} of ${counted}).${state.held ? " Held." : ""}`;
  tellOptions();
}

// How two pixels compare: the one that is held, or in the middle, and the one that is pointed at.
function tellPair(cells, row, col, taps) {
  const { view } = state;
  if (!state.other) {
    $("pair").textContent = view.sum_to ? "A pixel counts exp(−λ · distance), divided by the sum over the window."
      : "A pixel counts exp(−λ · distance): 1 at distance 0.";
    return;
  }
  const [y, x] = state.other, far = distance(cells, row * cells.cols + col, y * cells.cols + x, view.norm === "l1");
  const tap = taps.find(one => one.row === y && one.col === x);
  $("pair").textContent = `Beside column ${Math.round(x * cells.across)}, row ${Math.round(y * cells.down)}: distance ` +
    `${short(far)}, exp(−${short(view.scale)} × ${short(far)}) = ${short(Math.exp(-view.scale * far))}` +
    (tap ? `; counts ${short(tap.weight)}.` : "; outside the window.");
}
const short = value => Number(value.toPrecision(3));

function tellOptions() {
  const { down, across } = grid(), pixels = Math.round(Math.max(down, across));
  $("scale-value").textContent = Number(state.view.scale.toPrecision(4));
  $("kernel-value").textContent = `${state.view.kernel} × ${state.view.kernel} ` +
    (pixels > 1 ? `cells, each of ${Math.round(down)} × ${Math.round(across)} pixels` : "pixels");
  $("dilation-value").textContent = stepped(state.view) * stored().step;
  $("far-value").textContent = `≥ ${Number(stored().far[state.view.norm].toPrecision(2))}`;
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
