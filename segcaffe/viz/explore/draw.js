// Pictures: each is painted cell by cell, enlarged to lie over the image, and marked with the pixel and its window.

function rampColour(part) { return data.ramp[Math.max(0, Math.min(255, Math.round(255 * part)))]; }

// Components 0 to 1 as a colour: brightness, then blue to yellow, then green to red, which some eyes do not tell apart.
function componentColour(parts, safe) {
  const [first, second, third] = parts.map(part => Math.max(0, Math.min(1, part)));
  if (!safe) return [255 * first, 255 * second, 255 * third];
  const bright = 60 + 150 * first, yellow = 100 * (second - .5), red = 50 * (third - .5);
  return [bright + .6 * yellow + red, bright + .6 * yellow - red, bright - 1.2 * yellow];
}

function painted(rows, cols, colourOf) {
  const canvas = document.createElement("canvas");
  canvas.width = cols; canvas.height = rows;
  const context = canvas.getContext("2d"), pixels = context.createImageData(cols, rows);
  for (let i = 0; i < rows * cols; i++) {
    const [red, green, blue] = colourOf(i);
    pixels.data.set([red, green, blue, 255], 4 * i);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function embeddingPicture(grid, stored, safe) {
  return painted(grid.rows, grid.cols, i => componentColour(stored.axes.map((axis, k) => {
    let sum = stored.offsets[k];
    for (let c = 0; c < grid.channels; c++) sum += axis[c] * grid.values[i * grid.channels + c];
    return sum;
  }), safe));
}

function labelPicture(labels, scene, palette) {
  return painted(scene.height, scene.width, i => palette[labels[i]] || [200, 200, 200]);
}

// Lay a picture of a grid's cells over a canvas: the first cell's centre on the first pixel's centre.
function lay(canvas, picture, scene, down = 1, across = 1) {
  const zoom = canvas.width / scene.width, context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, zoom * (1 - across) / 2, zoom * (1 - down) / 2,
                    zoom * across * picture.width, zoom * down * picture.height);
}

function fit(canvas, scene) {
  const zoom = Math.max(1, Math.round(480 / scene.width));
  if (canvas.width !== scene.width * zoom) canvas.width = scene.width * zoom;
  if (canvas.height !== scene.height * zoom) canvas.height = scene.height * zoom;
}

// The window's outline and the pixel, in black and white, to be seen on any colour.
function mark(canvas, scene, grid, row, col, view) {
  const zoom = canvas.width / scene.width, context = canvas.getContext("2d");
  const x = (col * grid.across + .5) * zoom, y = (row * grid.down + .5) * zoom;
  const half = (view.kernel >> 1) * view.dilation + .5;
  const frame = [x - half * grid.across * zoom, y - half * grid.down * zoom,
                 2 * half * grid.across * zoom, 2 * half * grid.down * zoom];
  const arm = Math.max(2, Math.min(7, frame[2] / 4));
  for (const [colour, width] of [["#000", 4], ["#fff", 2]]) {
    context.strokeStyle = colour; context.lineWidth = width;
    context.strokeRect(...frame);
    context.beginPath();
    context.moveTo(x - arm, y); context.lineTo(x + arm, y); context.moveTo(x, y - arm); context.lineTo(x, y + arm);
    context.stroke();
  }
}

// Another cell that is compared with the pixel: a ring.
function markOther(canvas, scene, grid, row, col) {
  const zoom = canvas.width / scene.width, context = canvas.getContext("2d");
  for (const [colour, width] of [["#000", 4], ["#fff", 2]]) {
    context.strokeStyle = colour; context.lineWidth = width;
    context.beginPath();
    context.arc((col * grid.across + .5) * zoom, (row * grid.down + .5) * zoom, 6, 0, 2 * Math.PI);
    context.stroke();
  }
}

// A window, tap by tap.
function drawTaps(canvas, taps, kernel, colourOf) {
  const cell = Math.max(6, Math.floor(320 / kernel)), context = canvas.getContext("2d");
  canvas.width = canvas.height = kernel * cell;
  taps.forEach((tap, i) => {
    const x = i % kernel * cell, y = Math.floor(i / kernel) * cell;
    context.fillStyle = `rgb(${colourOf(tap).map(Math.round).join(",")})`;
    context.fillRect(x, y, cell, cell);
    context.strokeStyle = "#888"; context.lineWidth = 1;
    if (tap.outside) { context.beginPath(); context.moveTo(x, y); context.lineTo(x + cell, y + cell); context.stroke(); }
  });
  for (const [colour, width] of [["#000", 5], ["#fff", 2]]) {
    context.strokeStyle = colour; context.lineWidth = width;
    context.strokeRect((kernel >> 1) * cell, (kernel >> 1) * cell, cell, cell);
  }
}
