// Pooling over regions by tables of their bins. Gradients are gathered: a thread for each pixel of a plane goes through
// the regions in their order, so that sums do not depend on which block comes first.

KERNEL max_forward(
    const REAL* x, const int* item, const int* rows, const int* columns, REAL* y, int* place, int channels, int height,
    int width, int high, int wide, INDEX count
) {
    EACH(k, count) {
        const int q = k % wide, p = k / wide % high, c = k / wide / high % channels;
        const int r = k / wide / high / channels;
        const REAL* plane = x + ((INDEX)item[r] * channels + c) * height * width;
        const int* row = rows + 2 * (r * high + p);
        const int* column = columns + 2 * (r * wide + q);
        REAL best = 0;
        int where = -1;
        for (int i = row[0]; i < row[1]; ++i) {
            for (int j = column[0]; j < column[1]; ++j) {
                if (where < 0 || plane[i * width + j] > best) {
                    best = plane[i * width + j];
                    where = i * width + j;
                }
            }
        }
        y[k] = best;
        place[k] = where;
    }
}

KERNEL max_backward(
    const REAL* dy, const int* item, const int* place, REAL* dx, int regions, int channels, int bins, int pixels,
    INDEX count
) {
    EACH(k, count) {
        const int pixel = k % pixels, c = k / pixels % channels, n = k / pixels / channels;
        REAL sum = 0;
        for (int r = 0; r < regions; ++r) {
            if (item[r] != n) continue;
            const INDEX from = ((INDEX)r * channels + c) * bins;
            for (int b = 0; b < bins; ++b) {
                if (place[from + b] == pixel) sum += dy[from + b];
            }
        }
        dx[k] = sum;
    }
}

KERNEL mean_forward(
    const REAL* x, const int* item, const int* rows, const int* columns, REAL* y, int channels, int height, int width,
    int high, int wide, INDEX count
) {
    EACH(k, count) {
        const int q = k % wide, p = k / wide % high, c = k / wide / high % channels;
        const int r = k / wide / high / channels;
        const REAL* plane = x + ((((INDEX)item[r] * channels + c) * high + p) * wide + q) * height * width;
        const int* row = rows + 2 * (r * high + p);
        const int* column = columns + 2 * (r * wide + q);
        REAL total = 0;
        int values = 0;
        for (int i = row[0]; i < row[1]; ++i) {
            for (int j = column[0]; j < column[1]; ++j) {
                total += plane[i * width + j];
                ++values;
            }
        }
        y[k] = total / (REAL)max(values, 1);
    }
}

KERNEL mean_backward(
    const REAL* dy, const int* item, const int* rows, const int* columns, REAL* dx, int regions, int channels,
    int height, int width, int high, int wide, INDEX count
) {
    EACH(k, count) {
        const int j = k % width, i = k / width % height;
        const INDEX map = k / width / height;
        const int q = map % wide, p = map / wide % high, c = map / wide / high % channels;
        const int n = map / wide / high / channels;
        REAL sum = 0;
        for (int r = 0; r < regions; ++r) {
            const int* row = rows + 2 * (r * high + p);
            const int* column = columns + 2 * (r * wide + q);
            if (item[r] != n || i < row[0] || i >= row[1] || j < column[0] || j >= column[1]) continue;
            const int values = (row[1] - row[0]) * (column[1] - column[0]);
            sum += dy[(((INDEX)r * channels + c) * high + p) * wide + q] / (REAL)values;
        }
        dx[k] = sum;
    }
}

KERNEL sample_forward(
    const REAL* x, const int* item, const int* low, const REAL* weight, REAL* y, int channels, int height, int width,
    int high, int wide, int samples, INDEX count
) {
    EACH(k, count) {
        const int q = k % wide, p = k / wide % high, c = k / wide / high % channels;
        const int r = k / wide / high / channels;
        const REAL* plane = x + ((INDEX)item[r] * channels + c) * height * width;
        const INDEX from = (INDEX)r * (high + wide) * samples;
        REAL total = 0;
        for (int s = p * samples; s < (p + 1) * samples; ++s) {
            const int i0 = low[from + s], i1 = min(i0 + 1, height - 1);
            const REAL b = weight[from + s];
            for (int t = (high + q) * samples; t < (high + q + 1) * samples; ++t) {
                const int j0 = low[from + t], j1 = min(j0 + 1, width - 1);
                const REAL a = weight[from + t];
                if (i0 < 0 || j0 < 0) continue;
                const REAL* upper = plane + i0 * width;
                const REAL* lower = plane + i1 * width;
                const REAL above = upper[j0] + (upper[j1] - upper[j0]) * a;
                const REAL below = lower[j0] + (lower[j1] - lower[j0]) * a;
                total += above + (below - above) * b;
            }
        }
        y[k] = total / (REAL)(samples * samples);
    }
}

// The share of a pixel in a sample between two pixels.
__device__ inline REAL share_of(int pixel, int low, REAL weight, int size) {
    if (low < 0) return 0;
    const REAL own = low == pixel ? 1 - weight : 0;
    return min(low + 1, size - 1) == pixel ? own + weight : own;
}

KERNEL sample_backward(
    const REAL* dy, const int* item, const int* low, const REAL* weight, REAL* dx, int regions, int channels,
    int height, int width, int high, int wide, int samples, INDEX count
) {
    EACH(k, count) {
        const int j = k % width, i = k / width % height, c = k / width / height % channels;
        const int n = k / width / height / channels;
        REAL sum = 0;
        for (int r = 0; r < regions; ++r) {
            if (item[r] != n) continue;
            const int* place = low + (INDEX)r * (high + wide) * samples;
            const REAL* beyond = weight + (INDEX)r * (high + wide) * samples;
            for (int p = 0; p < high; ++p) {
                REAL of_row = 0;
                for (int s = p * samples; s < (p + 1) * samples; ++s) {
                    of_row += share_of(i, place[s], beyond[s], height);
                }
                if (of_row == 0) continue;
                for (int q = 0; q < wide; ++q) {
                    REAL of_column = 0;
                    for (int t = (high + q) * samples; t < (high + q + 1) * samples; ++t) {
                        of_column += share_of(j, place[t], beyond[t], width);
                    }
                    sum += dy[(((INDEX)r * channels + c) * high + p) * wide + q] * of_row * of_column;
                }
            }
        }
        dx[k] = sum / (REAL)(samples * samples);
    }
}
