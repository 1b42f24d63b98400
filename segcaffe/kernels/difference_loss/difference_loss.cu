// Losses of the difference of two arrays: sums in float64 over parts, (2, blocks), and each element's derivative.

KERNEL absolute(const REAL* a, const REAL* b, REAL plateau, REAL* slope, double* partial, INDEX count) {
    double total = 0, known = 0;
    EACH(i, count) {
        const REAL d = b ? a[i] - b[i] : a[i];
        const bool is_known = d == d, counts = is_known && fabs(d) >= plateau;
        slope[i] = !counts ? 0 : d > 0 ? 1 : -1;
        total += counts ? fabs(d) : 0;
        known += is_known;
    }
    total = block_sum(total);
    known = block_sum(known);
    if (threadIdx.x == 0) {
        partial[blockIdx.x] = total;
        partial[gridDim.x + blockIdx.x] = known;
    }
}

KERNEL smooth(
    const REAL* a, const REAL* b, const REAL* inside, const REAL* outside, REAL* slope, REAL sharpness, double* partial,
    INDEX count
) {
    double total = 0;
    EACH(i, count) {
        const REAL w = inside ? inside[i] : 1, v = outside ? outside[i] : 1;
        const REAL d = sharpness * w * (a[i] - b[i]);
        const REAL s = d < -1 ? -1 : d > 1 ? 1 : d;
        // f(d) = s d - s² / 2, s being its derivative.
        total += v * s * (d - s / 2);
        slope[i] = v * w * s;
    }
    total = block_sum(total / sharpness);
    if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

KERNEL squares(const REAL* a, const REAL* b, REAL* difference, double* partial, INDEX count) {
    double total = 0;
    EACH(i, count) {
        const REAL d = a[i] - b[i];
        difference[i] = d;
        total += (double)d * d;
    }
    total = block_sum(total);
    if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

// One block for each total.
KERNEL add_partial_sums(const double* partial, int parts, double* totals) {
    double total = 0;
    EACH_OF_BLOCK(i, parts) total += partial[blockIdx.x * parts + i];
    total = block_sum(total);
    if (threadIdx.x == 0) totals[blockIdx.x] = total;
}
