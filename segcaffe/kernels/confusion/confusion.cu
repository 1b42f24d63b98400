// Confusion matrix. Whole numbers are added and compared by atomics: their sum has no order.

KERNEL count(
    const REAL* x, const REAL* label, const long long* ignore, int ignored, long long* counts, long long* bad,
    int classes, INDEX inner, INDEX columns
) {
    EACH(i, columns) {
        const int k = class_of(label[i], classes, -(1ll << 40));
        bool counted = true;
        for (int j = 0; j < ignored; ++j) counted = counted && (long long)label[i] != ignore[j];
        if (!counted) continue;
        if (k < 0) {
            atomicMax(bad, (long long)i);
            continue;
        }
        const REAL* column = x + i / inner * classes * inner + i % inner;
        int best = 0;
        for (int c = 1; c < classes; ++c) {
            if (column[c * inner] >= column[best * inner]) best = c;
        }
        atomicAdd((unsigned long long*)counts + k * classes + best, 1ull);
    }
}
