// Lengths of pixels: x is (images, channels, positions), norm (images, positions), scale (channels).

KERNEL forward(const REAL* x, const REAL* scale, REAL* norm, REAL* y, REAL inside, REAL outside, int channels,
               INDEX positions, INDEX count) {
    EACH(i, count) {
        const INDEX first = i / positions * channels * positions + i % positions;
        REAL sum = inside;
        for (int c = 0; c < channels; c++) sum += x[first + c * positions] * x[first + c * positions];
        norm[i] = sqrt(sum) + outside;
        for (int c = 0; c < channels; c++) y[first + c * positions] = scale[c] * x[first + c * positions] / norm[i];
    }
}

KERNEL backward(const REAL* x, const REAL* scale, const REAL* norm, const REAL* dy, REAL* dx, int channels,
                INDEX positions, INDEX count) {
    EACH(i, count) {
        const INDEX first = i / positions * channels * positions + i % positions;
        REAL dot = 0;
        for (int c = 0; c < channels; c++) dot += scale[c] * dy[first + c * positions] * x[first + c * positions];
        dot /= norm[i] * norm[i];
        for (int c = 0; c < channels; c++) {
            const INDEX at = first + c * positions;
            dx[at] = (scale[c] * dy[at] - x[at] * dot) / norm[i];
        }
    }
}
