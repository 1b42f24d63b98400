// Softmax over the taps of a window: weights are (num, taps, positions), a thread for each window.

// The largest argument of the softmax: differences of two of them must not overflow.
#define FARTHEST ((REAL)8.5e+37)

__device__ inline REAL argument(REAL distance, REAL factor) {
    // The comparisons are put so that a NaN passes them.
    const REAL x = distance * factor;
    return x < -FARTHEST ? -FARTHEST : x > FARTHEST ? FARTHEST : x;
}

// Taps that a thread reads together: reads do not wait for the sums, and threads of a warp read neighbours.
#define AHEAD 8

// One pass finds the largest argument and the sum of exponentials together, the second writes: three times the weights'
// bytes and about two exponentials for each.
KERNEL softmax(REAL* weights, REAL factor, int taps, INDEX positions, INDEX windows) {
    EACH(i, windows) {
        REAL* window = weights + i / positions * taps * positions + i % positions;
        REAL top = argument(window[0], factor), sum = 0;
        for (int tap = 0; tap < taps; tap += AHEAD) {
            REAL x[AHEAD], largest = top;
#pragma unroll
            for (int k = 0; k < AHEAD; ++k) {
                x[k] = tap + k < taps ? argument(window[(tap + k) * positions], factor) : top;
            }
#pragma unroll
            for (int k = 0; k < AHEAD; ++k) largest = x[k] <= largest ? largest : x[k];
            sum *= exp(top - largest);
            top = largest;
#pragma unroll
            for (int k = 0; k < AHEAD; ++k) sum += tap + k < taps ? exp(x[k] - top) : 0;
        }
        const REAL scale = 1 / sum;
        for (int tap = 0; tap < taps; tap += AHEAD) {
            REAL x[AHEAD];
#pragma unroll
            for (int k = 0; k < AHEAD; ++k) x[k] = tap + k < taps ? window[(tap + k) * positions] : 0;
#pragma unroll
            for (int k = 0; k < AHEAD; ++k) {
                if (tap + k < taps) window[(tap + k) * positions] = exp(argument(x[k], factor) - top) * scale;
            }
        }
    }
}

KERNEL softmax_backward(
    const REAL* weights, REAL* weight_grad, REAL factor, int taps, INDEX positions, INDEX windows
) {
    EACH(i, windows) {
        const INDEX first = i / positions * taps * positions + i % positions;
        const REAL* weight = weights + first;
        REAL *grad = weight_grad + first, dot = 0;
        for (int tap = 0; tap < taps; tap += AHEAD) {
            REAL products[AHEAD];
#pragma unroll
            for (int k = 0; k < AHEAD; ++k) {
                const INDEX at = (tap + k) * positions;
                products[k] = tap + k < taps ? weight[at] * grad[at] : 0;
            }
#pragma unroll
            for (int k = 0; k < AHEAD; ++k) dot += products[k];
        }
        for (int tap = 0; tap < taps; tap += AHEAD) {
            REAL results[AHEAD];
#pragma unroll
            for (int k = 0; k < AHEAD; ++k) {
                const INDEX at = (tap + k) * positions;
                results[k] = tap + k < taps ? factor * weight[at] * (grad[at] - dot) : 0;
            }
#pragma unroll
            for (int k = 0; k < AHEAD; ++k) {
                if (tap + k < taps) grad[(tap + k) * positions] = results[k];
            }
        }
    }
}
