"use strict";
// Arrays out of the page's text: base64, 16-bit floats, and cells with their values one after the other.

function bytesOf(text) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

// What each 16-bit float is worth.
function halfFloats() {
  const worth = new Float32Array(1 << 16);
  for (let bits = 0; bits < worth.length; bits++) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent === 31) worth[bits] = fraction ? NaN : sign * Infinity;
    else worth[bits] = sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
  }
  return worth;
}

// A blob's grid: its values (rows, cols, channels), and how many pixels lie between two cells, down and across.
function unpack(stored, extent) {
  const [channels, height, width] = stored.shape, bytes = bytesOf(stored.data);
  const rows = Math.ceil(height / stored.step), cols = Math.ceil(width / stored.step);
  const values = new Float32Array(rows * cols * channels);
  if (stored.bits === 16) {
    const worth = halfFloats();
    for (let i = 0; i < values.length; i++) values[i] = worth[bytes[2 * i] | bytes[2 * i + 1] << 8];
  } else {
    for (let i = 0; i < values.length; i++) {
      values[i] = stored.low[i % channels] + stored.unit[i % channels] * bytes[i];
    }
  }
  const down = stored.step * (extent[0] - 1) / Math.max(1, height - 1);
  const across = stored.step * (extent[1] - 1) / Math.max(1, width - 1);
  return { values, channels, rows, cols, down: down || 1, across: across || 1 };
}
