// Softmax over the taps of a window: weights are (num, taps, positions), a thread for each window.

// The largest argument of the softmax: differences of two of them must not overflow.
#define FARTHEST ((REAL)8.5e+37)

__device__ inline REAL argument(REAL distance, REAL factor) {
    // The comparisons are put so that a NaN passes them.
    const REAL x = distance * factor;
    return x < -FARTHEST ? -FARTHEST : x > FARTHEST ? FARTHEST : x;
}

// One pass finds the largest argument and the sum of exponentials together, the second writes.
KERNEL softmax(REAL* weights, REAL factor, int taps, INDEX positions, INDEX windows) {
    EACH(i, windows) {
        REAL* window = weights + i / positions * taps * positions + i % positions;
        REAL top = argument(window[0], factor), sum = 1;
        for (int tap = 1; tap < taps; ++tap) {
            const REAL x = argument(window[tap * positions], factor);
            if (x <= top) {
                sum += exp(x - top);
            } else {
                sum = sum * exp(top - x) + 1;
                top = x;
            }
        }
        const REAL scale = 1 / sum;
        for (int tap = 0; tap < taps; ++tap) {
            window[tap * positions] = exp(argument(window[tap * positions], factor) - top) * scale;
        }
    }
}

KERNEL softmax_backward(
    const REAL* weights, REAL* weight_grad, REAL factor, int taps, INDEX positions, INDEX windows
) {
    EACH(i, windows) {
        const INDEX first = i / positions * taps * positions + i % positions;
        REAL dot = 0;
        for (int tap = 0; tap < taps; ++tap) dot += weights[first + tap * positions] * weight_grad[first + tap * positions];
        for (int tap = 0; tap < taps; ++tap) {
            const INDEX j = first + tap * positions;
            weight_grad[j] = factor * weights[j] * (weight_grad[j] - dot);
        }
    }
}
