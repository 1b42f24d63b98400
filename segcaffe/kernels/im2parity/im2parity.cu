// Whether the pixels of a window carry the same label as its centre.

KERNEL forward(
    const REAL* label, REAL* parity, int num, INDEX channels, int height, int width, int rows, int cols,
    int kh, int kw, int sh, int sw, int ph, int pw, int dh, int dw, int ignored, REAL outside
) {
    const int taps = kh * kw;
    EACH(i, (INDEX)num * taps * rows * cols) {
        const int ox = i % cols, oy = i / cols % rows, tap = i / cols / rows % taps;
        const INDEX n = i / cols / rows / taps;
        const int x = ox * sw - pw + kw / 2 * dw, y = oy * sh - ph + kh / 2 * dh;
        const int x2 = x + (tap % kw - kw / 2) * dw, y2 = y + (tap / kw - kh / 2) * dh;
        // Of several channels the last one counts.
        const REAL* plane = label + ((n + 1) * channels - 1) * height * width;
        if (x < 0 || x >= width || y < 0 || y >= height) {
            parity[i] = outside;
            continue;
        }
        const bool inside = x2 >= 0 && x2 < width && y2 >= 0 && y2 < height;
        const int own = (int)plane[(INDEX)y * width + x], other = inside ? (int)plane[(INDEX)y2 * width + x2] : 0;
        parity[i] = own == ignored || other == ignored ? outside : own == other ? 1 : 0;
    }
}
