// Max unpooling: x and places are (planes, values), y is (planes, pixels).

// The place as an index, -1 where it is -1, -2 where it is out of range or NaN.
__device__ inline long long index_of(REAL place, INDEX size) {
    return place > (REAL)-1 && place < (REAL)size ? (long long)place : place == (REAL)-1 ? -1 : -2;
}

// The last value that each pixel is the place of; which thread comes last does not matter.
KERNEL owners(const REAL* places, int* owner, long long* bad, INDEX values, INDEX pixels, INDEX count) {
    EACH(i, count) {
        const long long k = index_of(places[i], pixels);
        if (k >= 0) atomicMax(owner + i / values * pixels + k, (int)(i % values));
        if (k == -2) atomicMax(bad, (long long)i);
    }
}

KERNEL forward(const REAL* x, const int* owner, REAL* y, INDEX values, INDEX pixels, INDEX count) {
    EACH(i, count) { y[i] = owner[i] >= 0 ? x[i / pixels * values + owner[i]] : 0; }
}

KERNEL backward(const REAL* dy, const REAL* places, REAL* dx, INDEX values, INDEX pixels, INDEX count) {
    EACH(i, count) {
        const long long k = index_of(places[i], pixels);
        dx[i] = k >= 0 ? dy[i / values * pixels + k] : 0;
    }
}
