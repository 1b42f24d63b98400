// Hits and labels of each class. Whole numbers are added and compared by atomics: their sum has no order.

KERNEL count(
    const REAL* x, const REAL* label, int top_k, long long ignore, long long* counts, long long* bad, int classes,
    INDEX inner, INDEX columns
) {
    EACH(i, columns) {
        const int k = class_of(label[i], classes, ignore);
        if (k == -2) atomicMax(bad, (long long)i);
        if (k < 0) continue;
        const REAL* column = x + i / inner * classes * inner + i % inner;
        const REAL own = column[k * inner];
        // The true class is as good as itself; NaN is as good as nothing, and never a hit.
        int better = -1;
        for (int c = 0; c < classes; ++c) better += column[c * inner] >= own;
        if (better >= 0 && better < top_k) atomicAdd((unsigned long long*)counts + k, 1ull);
        atomicAdd((unsigned long long*)counts + classes + k, 1ull);
    }
}
