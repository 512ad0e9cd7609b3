/* Products of vectors with item factors, written once and compiled for each width of register that a processor may have.
 *
 * Whoever includes this says what NAME makes of a name, how many BYTES a register holds, and which TARGET knows them.
 * Item factors lie in blocks of BLOCK tracks, each (dim, BLOCK), so that memory is read in one stream. A score adds up
 * its products in the order of the dimensions, whatever it is computed with: equal vectors get equal scores.
 */

typedef float NAME(lanes) __attribute__((vector_size(BYTES), aligned(sizeof(float))));
typedef int32_t NAME(masks) __attribute__((vector_size(BYTES)));
#define LANES NAME(lanes)
#define WIDTH (BYTES / (Py_ssize_t)sizeof(float))
#define STRIP (2 * WIDTH) /* tracks looked at together: enough chains of additions to hide what one of them waits */

/* Scores of a strip of tracks for `count` vectors; a constant `count` lets the sums stay in registers. */
TARGET INLINE void NAME(strip_of)(const int count, const float *vectors, const float *strip, Py_ssize_t dim,
                                  LANES (*scores)[2]) {
    LANES sums[AT_ONCE][2];
    for (int u = 0; u < count; u++) sums[u][0] = sums[u][1] = (LANES){0};
    for (Py_ssize_t d = 0; d < dim; d++) {
        LANES low = *(const LANES *)(strip + d * BLOCK), high = *(const LANES *)(strip + d * BLOCK + WIDTH);
        for (int u = 0; u < count; u++) {
            float x = vectors[u * dim + d];
            sums[u][0] += x * low;
            sums[u][1] += x * high;
        }
    }
    for (int u = 0; u < count; u++) scores[u][0] = sums[u][0], scores[u][1] = sums[u][1];
}

TARGET INLINE void NAME(strip)(int count, const float *vectors, const float *strip, Py_ssize_t dim, LANES (*scores)[2]) {
    switch (count) {
        case 1: NAME(strip_of)(1, vectors, strip, dim, scores); break;
        case 2: NAME(strip_of)(2, vectors, strip, dim, scores); break;
        case 3: NAME(strip_of)(3, vectors, strip, dim, scores); break;
        case 4: NAME(strip_of)(4, vectors, strip, dim, scores); break;
        case 5: NAME(strip_of)(5, vectors, strip, dim, scores); break;
        default: NAME(strip_of)(AT_ONCE, vectors, strip, dim, scores);
    }
}

TARGET static void NAME(scores)(const float *blocks, Py_ssize_t tracks, Py_ssize_t dim, const float *vectors,
                                Py_ssize_t rows, float *out) {
    LANES scores[AT_ONCE][2];
    for (Py_ssize_t first = 0; first < rows; first += LINES, vectors += LINES * dim, out += LINES * tracks)
        for (Py_ssize_t track = 0; track < tracks; track += STRIP) {
            const float *strip = blocks + track / BLOCK * BLOCK * dim + track % BLOCK;
            size_t bytes = sizeof(float) * (size_t)LEAST(STRIP, tracks - track);
            for (Py_ssize_t row = 0; row < LEAST(LINES, rows - first); row += AT_ONCE) {
                int count = (int)LEAST(AT_ONCE, rows - first - row);
                NAME(strip)(count, vectors + row * dim, strip, dim, scores);
                for (int u = 0; u < count; u++) memcpy(out + (row + u) * tracks + track, scores[u], bytes);
            }
        }
}

TARGET static void NAME(sums_of_powers)(const float *blocks, Py_ssize_t tracks, Py_ssize_t dim, const float *vectors,
                                        const float *floors, const float *factors, Py_ssize_t groups,
                                        Py_ssize_t members, int power, float *out) {
    LANES scores[AT_ONCE][2];
    Py_ssize_t parts = (members + AT_ONCE - 1) / AT_ONCE, part = (members + parts - 1) / parts;
    for (Py_ssize_t track = 0; track < tracks; track += STRIP) {
        const float *strip = blocks + track / BLOCK * BLOCK * dim + track % BLOCK;
        size_t bytes = sizeof(float) * (size_t)LEAST(STRIP, tracks - track);
        for (Py_ssize_t group = 0; group < groups; group++) {
            LANES sums[2] = {{0}, {0}};
            for (Py_ssize_t member = 0; member < members; member += part) {
                Py_ssize_t first = group * members + member;
                int count = (int)LEAST(part, members - member);
                NAME(strip)(count, vectors + first * dim, strip, dim, scores);
                for (int u = 0; u < count; u++)
                    for (int half = 0; half < 2; half++) {
                        LANES vote = scores[u][half] - floors[first + u];
                        vote = (LANES)((vote > 0) & (NAME(masks))vote);
                        LANES raised = vote;
                        for (int times = 1; times < power; times++) raised *= vote;
                        sums[half] += factors[first + u] * raised;
                    }
            }
            memcpy(out + group * tracks + track, sums, bytes);
        }
    }
}

#undef LANES
#undef WIDTH
#undef STRIP
#undef NAME
#undef BYTES
#undef TARGET
