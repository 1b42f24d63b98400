// Maxima over groups of channels: x is (groups, size, positions).

KERNEL forward(const REAL* x, REAL* y, int* first, int size, INDEX positions, INDEX count) {
    EACH(i, count) {
        const REAL* column = x + i / positions * size * positions + i % positions;
        REAL best = column[0];
        int place = 0;
        for (int c = 1; c < size; ++c) {
            const REAL value = column[c * positions];
            if (value > best) {
                best = value;
                place = c;
            }
        }
        y[i] = best;
        first[i] = place;
    }
}

KERNEL backward(const REAL* dy, const int* first, REAL* dx, int size, INDEX positions, INDEX count) {
    EACH(i, count) {
        const INDEX at = i / positions / size * positions + i % positions;
        dx[i] = first[at] == (int)(i / positions % size) ? dy[at] : 0;
    }
}
