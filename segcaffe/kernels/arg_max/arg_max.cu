// The k largest of each column of (outer, classes, inner): one after the other, by a thread of its own.

KERNEL arg_max(const REAL* x, REAL* values, REAL* indices, int classes, int k, INDEX inner, INDEX columns) {
    EACH(i, columns) {
        const REAL* column = x + i / inner * classes * inner + i % inner;
        REAL last = 0;
        int where = -1;
        for (int j = 0; j < k; ++j) {
            // Each comes after the one before: it is smaller, or equal and further left.
            REAL best = 0;
            int place = -1;
            for (int c = 0; c < classes; ++c) {
                const REAL value = column[c * inner];
                if (j > 0 && !(value < last || (value == last && c < where))) continue;
                if (place < 0 || value >= best) {
                    best = value;
                    place = c;
                }
            }
            const INDEX to = (i / inner * k + j) * inner + i % inner;
            values[to] = last = best;
            indices[to] = where = place;
        }
    }
}
