// Sums of rows that belong to one index; order holds the rows' numbers sorted by index, starts where each index begins.

KERNEL add_rows(
    const REAL* rows, const long long* order, const long long* starts, REAL* table, INDEX width, INDEX count
) {
    EACH(i, count) {
        REAL sum = table[i];
        for (long long j = starts[i / width]; j < starts[i / width + 1]; ++j) sum += rows[order[j] * width + i % width];
        table[i] = sum;
    }
}
