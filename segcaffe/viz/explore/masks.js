// Distances and masks, as the layers Im2dist, Scale and Exp (or a softmax) compute them.

// The distance between two cells, given by their numbers.
function distance(grid, one, other, l1) {
  const { values, channels } = grid;
  let sum = 0;
  for (let c = 0, a = one * channels, b = other * channels; c < channels; c++, a++, b++) {
    const difference = values[a] - values[b];
    sum += l1 ? Math.abs(difference) : difference * difference;
  }
  return l1 ? sum : sum / 2;
}

// The distance of each cell from one of them.
function distances(grid, row, col, l1) {
  const found = new Float32Array(grid.rows * grid.cols), centre = row * grid.cols + col;
  for (let i = 0; i < found.length; i++) found[i] = distance(grid, centre, i, l1);
  return found;
}

// What each cell of a window counts: for every tap its cell (row, col), whether it is outside, and its weight.
function windowMask(grid, row, col, view) {
  const half = view.kernel >> 1, taps = [];
  for (let i = -half; i <= half; i++) {
    for (let j = -half; j <= half; j++) {
      const y = row + i * view.dilation, x = col + j * view.dilation;
      const outside = y < 0 || x < 0 || y >= grid.rows || x >= grid.cols, centre = i === 0 && j === 0;
      const gone = centre && view.remove_center || outside && view.remove_bounds;
      const far = outside ? 0 : distance(grid, row * grid.cols + col, y * grid.cols + x, view.norm === "l1");
      taps.push({ row: y, col: x, outside, centre, weight: gone ? 0 : Math.exp(-view.scale * far) });
    }
  }
  if (view.sum_to) {
    const total = taps.reduce((sum, tap) => sum + tap.weight, 0);
    for (const tap of taps) tap.weight = view.sum_to * (total ? tap.weight / total : 1 / taps.length);
  }
  return taps;
}
