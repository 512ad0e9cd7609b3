/* The few loops of group ranking that numpy and torch take many small calls for; `compiled.py` says what each returns.
 *
 * Everything here works on plain C-contiguous buffers, checks how long they are and keeps nothing. Optional: where it is
 * not built, the same is said in numpy and torch, more slowly, and the tests compare the two.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define LEAST(a, b) ((a) < (b) ? (a) : (b))
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#define WIDEST __attribute__((target_clones("avx2", "default")))
#else
#define WIDEST
#endif
#define BLOCK 32 /* tracks a block of item factors; compiled.py lays them out */
#define LINE 16 /* single-precision numbers in a line of a cache */
#define EARLY 16 /* rows that are asked for before they are needed */
#define LINES 24 /* rows of scores that are written to in turns: more would not find room in the caches */
#define AT_ONCE 6 /* vectors multiplied together: their sums fill the registers of AVX2 */

#if defined(__x86_64__)
#define NAME(name) name##_avx512
#define BYTES 64
#define TARGET __attribute__((target("avx512f,avx512dq")))
#include "_products.h"
#define NAME(name) name##_avx2
#define BYTES 32
#define TARGET __attribute__((target("avx2,fma")))
#include "_products.h"
#endif
#define NAME(name) name##_any
#define BYTES 16
#define TARGET
#include "_products.h"

#if defined(__x86_64__)
#define BY_PROCESSOR(call)                                                                       \
    do {                                                                                         \
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) call(avx512); \
        else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) call(avx2);    \
        else call(any);                                                                          \
    } while (0)
#else
#define BY_PROCESSOR(call) call(any)
#endif

/* The product of sizes; -1, which nothing is long, where it is too large or one of them is negative. */
static Py_ssize_t size(const Py_ssize_t *factors, int count) {
    Py_ssize_t product = 1;
    for (int i = 0; i < count; i++)
        if (factors[i] < 0 || __builtin_mul_overflow(product, factors[i], &product)) return -1;
    return product;
}

/* Whether each of the buffers is as long as it should be; releases them and raises where one is not. */
static int fit(Py_buffer *buffers, const Py_ssize_t *bytes, int count) {
    for (int i = 0; i < count; i++)
        if (buffers[i].len != bytes[i]) {
            PyErr_Format(PyExc_ValueError, "array %d has %zd bytes, not %zd", i, buffers[i].len, bytes[i]);
            for (int j = 0; j < count; j++) PyBuffer_Release(&buffers[j]);
            return 0;
        }
    return 1;
}

static PyObject *done(Py_buffer *buffers, int count) {
    for (int i = 0; i < count; i++) PyBuffer_Release(&buffers[i]);
    Py_RETURN_NONE;
}

#define LENGTH(array) ((int)(sizeof(array) / sizeof(*(array))))
#define SIZE(...) size((const Py_ssize_t[]){__VA_ARGS__}, LENGTH(((const Py_ssize_t[]){__VA_ARGS__})))
#define FLOATS (Py_ssize_t)sizeof(float)
#define DOUBLES (Py_ssize_t)sizeof(double)
#define INT64S (Py_ssize_t)sizeof(int64_t)
#define INT32S (Py_ssize_t)sizeof(int32_t)
#define BLOCKS(tracks) ((tracks) / BLOCK + ((tracks) % BLOCK != 0))

static void scores_with(const float *blocks, Py_ssize_t tracks, Py_ssize_t dim, const float *vectors, Py_ssize_t rows,
                        float *out) {
#define CALL(target) scores_##target(blocks, tracks, dim, vectors, rows, out)
    BY_PROCESSOR(CALL);
#undef CALL
}

static PyObject *scores(PyObject *module, PyObject *arguments) {
    Py_buffer b[3];
    Py_ssize_t tracks, dim, rows;
    if (!PyArg_ParseTuple(arguments, "y*y*w*nnn", b, b + 1, b + 2, &tracks, &dim, &rows)) return NULL;
    const Py_ssize_t bytes[] = {SIZE(BLOCKS(tracks), BLOCK, dim, FLOATS), SIZE(rows, dim, FLOATS),
                                SIZE(rows, tracks, FLOATS)};
    if (!fit(b, bytes, LENGTH(b))) return NULL;
    Py_BEGIN_ALLOW_THREADS
    scores_with(b[0].buf, tracks, dim, b[1].buf, rows, b[2].buf);
    Py_END_ALLOW_THREADS
    return done(b, LENGTH(b));
}

static void sums_of_powers_with(const float *blocks, Py_ssize_t tracks, Py_ssize_t dim, const float *vectors,
                                const float *floors, const float *factors, Py_ssize_t groups, Py_ssize_t members,
                                int power, float *out) {
#define CALL(target) sums_of_powers_##target(blocks, tracks, dim, vectors, floors, factors, groups, members, power, out)
    BY_PROCESSOR(CALL);
#undef CALL
}

/* A score in units of relevance. */
INLINE float relevance(float score, float low, float scale) {
    const float vote = (score - low) * scale;
    return vote > 0 ? LEAST(vote, 1) : 0;
}

/* What some listeners think of some tracks, (members, count): scores, or relevance where `low` is given. Rows of item
 * factors lie anywhere in memory, so those to come are asked for early; `blocks` is room for them, laid out as blocks. */
static void votes_of(const float *items, Py_ssize_t dim, const float *vectors, const float *low, const float *scale,
                     Py_ssize_t members, const int64_t *rows, Py_ssize_t count, float *blocks, float *votes) {
    for (Py_ssize_t i = 0; i < count; i++) {
        if (i + EARLY < count)
            for (Py_ssize_t d = 0; d < dim; d += LINE) __builtin_prefetch(items + rows[i + EARLY] * dim + d);
        const float *item = items + (rows[i] < 0 ? 0 : rows[i]) * dim;
        float *block = blocks + i / BLOCK * BLOCK * dim + i % BLOCK;
        for (Py_ssize_t d = 0; d < dim; d++) block[d * BLOCK] = item[d];
    }
    scores_with(blocks, count, dim, vectors, members, votes);
    for (Py_ssize_t u = 0; low && u < members; u++, votes += count)
        for (Py_ssize_t i = 0; i < count; i++) votes[i] = relevance(votes[i], low[u], scale[u]);
}

static PyObject *scores_of(PyObject *module, PyObject *arguments) {
    Py_buffer b[6];
    Py_ssize_t tracks, dim, groups, members, count;
    if (!PyArg_ParseTuple(arguments, "y*y*y*y*y*w*nnnnn", b, b + 1, b + 2, b + 3, b + 4, b + 5, &tracks, &dim, &groups,
                          &members, &count))
        return NULL;
    const Py_ssize_t voters = SIZE(groups, members);
    const int of_relevance = b[1].len > 0;
    const Py_ssize_t bytes[] = {SIZE(tracks, dim, FLOATS), of_relevance ? SIZE(voters, FLOATS) : 0,
                                of_relevance ? SIZE(voters, FLOATS) : 0, SIZE(voters, dim, FLOATS),
                                SIZE(groups, count, INT64S), SIZE(voters, count, FLOATS)};
    if (!fit(b, bytes, LENGTH(b))) return NULL;
    const float *low = of_relevance ? b[1].buf : NULL, *scale = b[2].buf;
    const int64_t *rows = b[4].buf;
    for (Py_ssize_t i = 0; i < groups * count; i++)
        if (rows[i] < -1 || rows[i] >= tracks) {
            done(b, LENGTH(b));
            return PyErr_Format(PyExc_IndexError, "there is no track row %lld", (long long)rows[i]);
        }
    float *blocks = calloc((size_t)(BLOCKS(count) * BLOCK), (size_t)dim * sizeof(float));
    for (Py_ssize_t group = 0; blocks && group < groups; group++) {
        const Py_ssize_t first = group * members;
        votes_of(b[0].buf, dim, (float *)b[3].buf + first * dim, low ? low + first : NULL, scale + first, members,
                 rows + group * count, count, blocks, (float *)b[5].buf + first * count);
    }
    PyObject *nothing = done(b, LENGTH(b));
    return blocks || !count ? (free(blocks), nothing) : PyErr_NoMemory();
}

/* Moves the values that are higher than a pivot, or equal to it, to the front and returns their number; has no branch to
 * guess wrong, which with values in no order costs more than the moves. */
INLINE Py_ssize_t to_front(float *values, Py_ssize_t n, float pivot, int equal) {
    Py_ssize_t count = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        const float value = values[i];
        values[i] = values[count];
        values[count] = value;
        count += equal ? value == pivot : value > pivot;
    }
    return count;
}

/* The k-th highest of n values, which it reorders (quickselect). */
static float kth_highest(float *values, Py_ssize_t n, Py_ssize_t k) {
    while (n > 1) {
        const float pivot = values[n / 2];
        const Py_ssize_t higher = to_front(values, n, pivot, 0);
        if (k <= higher) {
            n = higher;
            continue;
        }
        values += higher, n -= higher, k -= higher;
        const Py_ssize_t equal = to_front(values, n, pivot, 1);
        if (k <= equal || !equal) return pivot; /* nothing equals a NaN */
        values += equal, n -= equal, k -= equal;
    }
    return *values;
}

/* A threshold that at least k of n values reach, and few more: the k-th highest of the maxima of 4 k disjoint sets. */
WIDEST static float threshold(const float *values, Py_ssize_t n, Py_ssize_t k, float *maxima) {
    Py_ssize_t sets = LEAST(4 * k, n);
    memcpy(maxima, values, (size_t)sets * sizeof(float));
    for (Py_ssize_t begin = sets; begin < n; begin += sets) {
        const float *line = values + begin;
        Py_ssize_t width = LEAST(sets, n - begin);
        for (Py_ssize_t i = 0; i < width; i++) maxima[i] = line[i] > maxima[i] ? line[i] : maxima[i];
    }
    return kth_highest(maxima, sets, k);
}

typedef struct {
    float value;
    int64_t column;
} Entry;

/* Whether any of BLOCK values is high enough. */
INLINE int any_reaches(const float *values, float enough) {
    int any = 0;
    for (int i = 0; i < BLOCK; i++) any |= values[i] >= enough;
    return any;
}

/* The columns of the k highest of n values, ascending, of equal values the lowest; `least` is the least of these values.
 * Returns 0 where memory is short, or so many values are NaN that there are no k highest. */
WIDEST static int highest_of(const float *values, Py_ssize_t n, Py_ssize_t k, int64_t *columns, float *least) {
    float *maxima = malloc((size_t)LEAST(4 * k, n) * sizeof(float));
    if (!maxima) return 0;
    const float enough = threshold(values, n, k, maxima);
    free(maxima);
    Py_ssize_t count = 0, found = 0, ties = k;
    for (Py_ssize_t i = 0; i < n; i++) count += values[i] >= enough;
    if (count < k) return 0;
    Entry *entries = malloc((size_t)(count + 1) * sizeof(Entry)); /* one more than are kept, to write to */
    float *room = malloc((size_t)(count + 1) * sizeof(float));
    if (entries && room) {
        count = 0;
        for (Py_ssize_t begin = 0; begin < n; begin += BLOCK) {
            Py_ssize_t end = LEAST(begin + BLOCK, n);
            if (end == begin + BLOCK && !any_reaches(values + begin, enough)) continue;
            for (Py_ssize_t i = begin; i < end; i++) {
                room[count] = values[i];
                entries[count] = (Entry){values[i], i};
                count += values[i] >= enough;
            }
        }
        *least = kth_highest(room, count, k);
        for (Py_ssize_t i = 0; i < count; i++) ties -= entries[i].value > *least;
        for (Py_ssize_t i = 0; i < count; i++)
            if (entries[i].value > *least || (entries[i].value == *least && ties-- > 0))
                columns[found++] = entries[i].column;
    }
    free(entries), free(room);
    return found == k;
}

static PyObject *no_highest(Py_ssize_t k, Py_ssize_t n) {
    return PyErr_Format(PyExc_ValueError, "there are no %zd highest of %zd scores: some are NaN, or memory is short", k, n);
}

static int best_first(const void *left, const void *right) {
    const Entry *a = left, *b = right;
    if (a->value != b->value) return a->value > b->value ? -1 : 1;
    return (a->column > b->column) - (a->column < b->column);
}

static PyObject *highest(PyObject *module, PyObject *arguments) {
    Py_buffer b[3];
    Py_ssize_t rows, n, k;
    int sorted;
    if (!PyArg_ParseTuple(arguments, "y*w*w*nnnp", b, b + 1, b + 2, &rows, &n, &k, &sorted)) return NULL;
    const Py_ssize_t bytes[] = {SIZE(rows, n, FLOATS), SIZE(rows, k, INT64S),
                                sorted ? SIZE(rows, k, FLOATS) : SIZE(rows, FLOATS)};
    if (!fit(b, bytes, LENGTH(b))) return NULL;
    Entry *entries = malloc((size_t)k * sizeof(Entry));
    int possible = 0 < k && k <= n && entries;
    for (Py_ssize_t row = 0; possible && row < rows; row++) {
        const float *values = (const float *)b[0].buf + row * n;
        int64_t *columns = (int64_t *)b[1].buf + row * k;
        float least, *out = (float *)b[2].buf + (sorted ? row * k : row);
        possible = highest_of(values, n, k, columns, &least);
        if (!possible) break;
        if (!sorted) {
            *out = least;
            continue;
        }
        for (Py_ssize_t i = 0; i < k; i++) entries[i] = (Entry){values[columns[i]], columns[i]};
        qsort(entries, (size_t)k, sizeof(Entry), best_first);
        for (Py_ssize_t i = 0; i < k; i++) columns[i] = entries[i].column, out[i] = entries[i].value;
    }
    free(entries);
    PyObject *nothing = done(b, LENGTH(b));
    return possible ? nothing : no_highest(k, n);
}

/* The `count` tracks of a group with the highest sums, ascending, what each member thinks of them, and the least of these
 * sums; `blocks` is room for the factors of these tracks. Tracks with a sum of -INFINITY are -1. */
static int contenders_of(const float *items, Py_ssize_t tracks, Py_ssize_t dim, const float *vectors, const float *low,
                         const float *scale, Py_ssize_t members, const float *sums, Py_ssize_t count, float *blocks,
                         int64_t *rows, float *votes, double *tau) {
    float least;
    if (!highest_of(sums, tracks, count, rows, &least)) return 0;
    *tau = least;
    votes_of(items, dim, vectors, low, scale, members, rows, count, blocks, votes);
    for (Py_ssize_t i = 0; least == -INFINITY && i < count; i++)
        if (sums[rows[i]] == -INFINITY) rows[i] = -1;
    return 1;
}

static PyObject *contenders(PyObject *module, PyObject *arguments) {
    Py_buffer b[10];
    Py_ssize_t tracks, dim, groups, members, count;
    int power;
    if (!PyArg_ParseTuple(arguments, "y*y*y*y*y*y*y*w*w*w*nnnnni", b, b + 1, b + 2, b + 3, b + 4, b + 5, b + 6, b + 7,
                          b + 8, b + 9, &tracks, &dim, &groups, &members, &count, &power))
        return NULL;
    const Py_ssize_t voters = SIZE(groups, members);
    const Py_ssize_t bytes[] = {SIZE(tracks, dim, FLOATS), SIZE(BLOCKS(tracks), BLOCK, dim, FLOATS),
                                SIZE(voters, dim, FLOATS), SIZE(voters, FLOATS), SIZE(voters, FLOATS),
                                SIZE(voters, DOUBLES), b[6].len ? SIZE(groups, tracks) : 0,
                                SIZE(groups, count, INT64S), SIZE(voters, count, FLOATS), SIZE(groups, DOUBLES)};
    if (!fit(b, bytes, LENGTH(b))) return NULL;
    const float *vectors = b[2].buf, *low = b[3].buf, *scale = b[4].buf;
    const double *factors = b[5].buf;
    const char *allowed = b[6].len ? b[6].buf : NULL;
    float *sums = malloc((size_t)SIZE(groups, tracks, FLOATS));
    float *scaled = malloc((size_t)(voters * (dim + 2)) * sizeof(float)); /* relevance is a score less the floor */
    float *blocks = calloc((size_t)(BLOCKS(count) * BLOCK), (size_t)dim * sizeof(float));
    int possible = 0 < count && count <= tracks && sums && scaled && blocks;
    if (possible) {
        float *floors = scaled + voters * dim, *shares = floors + voters;
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t u = 0; u < voters; u++) {
            for (Py_ssize_t d = 0; d < dim; d++) scaled[u * dim + d] = vectors[u * dim + d] * scale[u];
            floors[u] = low[u] * scale[u], shares[u] = (float)factors[u];
        }
        sums_of_powers_with(b[1].buf, tracks, dim, scaled, floors, shares, groups, members, power, sums);
        for (Py_ssize_t i = 0; allowed && i < groups * tracks; i++)
            if (!allowed[i]) sums[i] = -INFINITY;
        for (Py_ssize_t group = 0; possible && group < groups; group++) {
            const Py_ssize_t first = group * members;
            possible = contenders_of(b[0].buf, tracks, dim, vectors + first * dim, low + first, scale + first, members,
                                     sums + group * tracks, count, blocks, (int64_t *)b[7].buf + group * count,
                                     (float *)b[8].buf + first * count, (double *)b[9].buf + group);
        }
        Py_END_ALLOW_THREADS
    }
    free(sums), free(scaled), free(blocks);
    PyObject *nothing = done(b, LENGTH(b));
    return possible ? nothing : no_highest(count, tracks);
}

/* What a track adds to the sum of weighted logarithms. */
INLINE double gain(const double *values, const double *weights, const double *scale, Py_ssize_t members,
                   Py_ssize_t tracks) {
    double total = 0;
    for (Py_ssize_t u = 0; u < members; u++) total += weights[u] * log1p(values[u * tracks] * scale[u]);
    return total;
}

/* The first of the tracks that gain most, -1 where none is open, by lazy greedy search (Minoux 1978): gains only fall, so
 * a track whose last gain is no higher than the best of this step need not be looked at. */
static int64_t best_by_gain(const double *values, const double *weights, const double *scale, Py_ssize_t members,
                            Py_ssize_t tracks, const char *shut, double *gains) {
    double best = -INFINITY;
    int64_t winner = -1;
    for (Py_ssize_t track = 0; track < tracks; track++) {
        if (!(gains[track] > best) || (shut && shut[track])) continue;
        gains[track] = gain(values + track, weights, scale, members, tracks);
        if (gains[track] > best) best = gains[track], winner = track;
    }
    return winner;
}

/* The same where all weights are equal, without logarithms: the product has its maximum where their sum has. */
WIDEST static int64_t best_by_product(const double *values, const double *scale, Py_ssize_t members, Py_ssize_t tracks,
                                      const double *barred, const char *shut, double *products) {
    double best = -INFINITY;
    int64_t winner = -1;
    for (Py_ssize_t track = 0; track < tracks; track++) products[track] = 1;
    for (Py_ssize_t u = 0; u < members; u++)
        for (Py_ssize_t track = 0; track < tracks; track++) products[track] *= 1 + values[u * tracks + track] * scale[u];
    for (Py_ssize_t track = 0; track < tracks; track++) {
        const double product = products[track] + barred[track];
        if (product > best && !(shut && shut[track])) best = product, winner = track;
    }
    return winner;
}

/* Whether a track off the list may gain more than this; `race.highest_gain` says why no track gains more than the least
 * that any level allows. */
static int may_gain(double more_than, double tau, const double *caps, const double *weights, const double *shares,
                    Py_ssize_t members, const double *levels, Py_ssize_t count, double offset) {
    const double sum = tau > 0 ? tau : 0;
    double weight = 0, water = sum;
    for (Py_ssize_t u = 0; u < members; u++) {
        weight += weights[u];
        water += weights[u] * (shares[u] + offset);
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        const double level = levels[i] * water / weight;
        double most = sum / level;
        for (Py_ssize_t u = 0; u < members; u++) {
            const double base = shares[u] + offset, filled = fmin(fmax(level - base, 0), caps[u]);
            if (filled > 0) most += weights[u] * (log1p(filled / base) - filled / level);
        }
        if (most <= more_than) return 0;
    }
    return 1;
}

/* The members of a group, and what they have by now. */
typedef struct {
    const double *weights, *worth;
    double *shares;
    Py_ssize_t count;
} Voters;

/* What shuts tracks: a byte a track that is not 0 while it may not win, and whom to tell of each winner, who then says
 * so anew; NULL for nobody. */
typedef struct {
    const char *shut;
    PyObject *take;
    Py_ssize_t group;
} Door;

/* One group's race; `room` is for tracks * (members + 2) + members numbers. Returns whether a track that was not in it
 * may have gained more than a winner by more than `rounding`, or -1 where the door raised an exception. */
static int race_of(const float *votes, const int64_t *rows, Py_ssize_t tracks, double tau, Voters voters,
                   const double *levels, Py_ssize_t level_count, int power, Py_ssize_t k, double offset,
                   double rounding, Door door, double *room, int64_t *picks) {
    const Py_ssize_t members = voters.count;
    const double *weights = voters.weights;
    double *values = room, *standing = values + members * tracks, *products = standing + tracks;
    double *scale = products + tracks, *shares = voters.shares;
    int equal = 1, in_doubt = 0;
    for (Py_ssize_t u = 0; u < members; u++) {
        equal &= weights[u] == weights[0];
        for (Py_ssize_t i = u * tracks; i < (u + 1) * tracks; i++) {
            const double vote = votes[i];
            values[i] = vote;
            for (int times = 1; times < power; times++) values[i] *= vote;
            values[i] *= voters.worth[u];
        }
    }
    for (Py_ssize_t track = 0; track < tracks; track++)
        standing[track] = rows[track] < 0 ? -INFINITY : equal ? 0 : INFINITY;
    for (Py_ssize_t step = 0; step < k; step++) {
        for (Py_ssize_t u = 0; u < members; u++) scale[u] = 1 / (shares[u] + offset);
        const int64_t winner = equal ? best_by_product(values, scale, members, tracks, standing, door.shut, products)
                                     : best_by_gain(values, weights, scale, members, tracks, door.shut, standing);
        picks[step] = winner < 0 ? -1 : rows[winner];
        if (winner < 0) continue;
        const double won = gain(values + winner, weights, scale, members, tracks);
        in_doubt = in_doubt || may_gain(won + rounding, tau, voters.worth, weights, shares, members, levels, level_count,
                                        offset);
        standing[winner] = -INFINITY;
        for (Py_ssize_t u = 0; u < members; u++) shares[u] += values[u * tracks + winner];
        if (door.shut) {
            PyObject *nothing = PyObject_CallFunction(door.take, "nn", door.group, (Py_ssize_t)winner);
            if (!nothing) return -1;
            Py_DECREF(nothing);
        }
    }
    return in_doubt;
}

static PyObject *race(PyObject *module, PyObject *arguments) {
    Py_buffer b[10];
    PyObject *take;
    Py_ssize_t groups, members, tracks, levels, k;
    int power;
    double offset, rounding;
    if (!PyArg_ParseTuple(arguments, "y*y*y*y*y*y*y*w*w*y*Onnnnnidd", b, b + 1, b + 2, b + 3, b + 4, b + 5, b + 6,
                          b + 7, b + 8, b + 9, &take, &groups, &members, &tracks, &levels, &k, &power, &offset, &rounding))
        return NULL;
    const Py_ssize_t voters = SIZE(groups, members);
    const Py_ssize_t bytes[] = {SIZE(groups, tracks, INT64S), SIZE(voters, tracks, FLOATS), SIZE(groups, DOUBLES),
                                SIZE(voters, DOUBLES), SIZE(voters, DOUBLES), SIZE(voters, DOUBLES),
                                SIZE(levels, DOUBLES), SIZE(groups, k, INT64S), groups,
                                b[9].len ? SIZE(groups, tracks) : 0};
    if (!fit(b, bytes, LENGTH(b))) return NULL;
    double *room = malloc((size_t)(tracks * (members + 2) + 2 * members) * sizeof(double));
    int in_doubt = 0;
    for (Py_ssize_t group = 0; room && in_doubt >= 0 && group < groups; group++) {
        const Py_ssize_t first = group * members;
        const Door door = {b[9].len ? (const char *)b[9].buf + group * tracks : NULL, take, group};
        double *shares = room + tracks * (members + 2) + members;
        memcpy(shares, (double *)b[5].buf + first, (size_t)members * sizeof(double));
        const Voters of_group = {(double *)b[3].buf + first, (double *)b[4].buf + first, shares, members};
        in_doubt = race_of((float *)b[1].buf + first * tracks, (int64_t *)b[0].buf + group * tracks, tracks,
                           ((double *)b[2].buf)[group], of_group, b[6].buf, levels, power, k, offset, rounding, door,
                           room, (int64_t *)b[7].buf + group * k);
        ((char *)b[8].buf)[group] = in_doubt > 0;
    }
    free(room);
    PyObject *nothing = done(b, LENGTH(b));
    if (!room) return PyErr_NoMemory();
    return in_doubt < 0 ? NULL : nothing;
}

/* What relevance to some power adds up to over the best tracks of each user, the first of the kept ranks. */
static PyObject *ideals(PyObject *module, PyObject *arguments) {
    Py_buffer b[4];
    Py_ssize_t users, kept, best;
    int power;
    if (!PyArg_ParseTuple(arguments, "y*y*y*w*nnni", b, b + 1, b + 2, b + 3, &users, &kept, &best, &power)) return NULL;
    const Py_ssize_t bytes[] = {SIZE(users, kept, FLOATS), SIZE(users, FLOATS), SIZE(users, FLOATS),
                                SIZE(users, DOUBLES)};
    if (!fit(b, bytes, LENGTH(b))) return NULL;
    const float *scores = b[0].buf, *low = b[1].buf, *scale = b[2].buf;
    for (Py_ssize_t u = 0; u < users; u++, scores += kept) {
        double sum = 0;
        for (Py_ssize_t i = 0; i < LEAST(best, kept); i++) {
            const double vote = relevance(scores[i], low[u], scale[u]);
            double raised = vote;
            for (int times = 1; times < power; times++) raised *= vote;
            sum += raised;
        }
        ((double *)b[3].buf)[u] = sum;
    }
    return done(b, LENGTH(b));
}

static PyObject *percentiles(PyObject *module, PyObject *arguments) {
    Py_buffer b[6];
    Py_ssize_t users, kept, n;
    if (!PyArg_ParseTuple(arguments, "y*y*y*y*y*w*nnn", b, b + 1, b + 2, b + 3, b + 4, b + 5, &users, &kept, &n))
        return NULL;
    const Py_ssize_t bytes[] = {SIZE(users, kept, FLOATS), SIZE(kept, INT32S), b[2].len ? SIZE(users, FLOATS) : 0,
                                b[2].len ? SIZE(users, FLOATS) : 0, SIZE(users, n, FLOATS), SIZE(users, n, FLOATS)};
    if (!fit(b, bytes, LENGTH(b))) return NULL;
    const int32_t *ranks = b[1].buf;
    const float *floors = b[2].buf, *scale = b[3].buf;
    const int of_relevance = b[2].len > 0;
    const double tracks = kept ? ranks[kept - 1] : 0;
    float *table = malloc((size_t)(kept + 1) * sizeof(float));
    for (Py_ssize_t user = 0; table && kept && user < users; user++) {
        const float *scores = (const float *)b[0].buf + user * kept, *asked = (const float *)b[4].buf + user * n;
        float *share = (float *)b[5].buf + user * n;
        for (Py_ssize_t i = 0; i < kept; i++)
            table[i] = of_relevance ? relevance(scores[i], floors[user], scale[user]) : scores[i];
        for (Py_ssize_t i = 0; i < n; i++) {
            Py_ssize_t first = 0; /* how many of the kept ranks score no less */
            for (Py_ssize_t left = kept; left > 0;) {
                Py_ssize_t half = (left + 1) / 2;
                first += table[first + half - 1] >= asked[i] ? half : 0;
                left -= half;
            }
            const Py_ssize_t above = first > 0 ? first - 1 : 0, below = LEAST(above + 1, kept - 1);
            const float high = table[above], low = table[below], gap = high - low;
            const float step = gap > 0 ? (LEAST(asked[i], high) - low) / gap : 1;
            const double rank = ranks[below] + (double)(ranks[above] - ranks[below]) * step;
            share[i] = (float)fmin(fmax((tracks - rank) / fmax(1, tracks - 1), 0), 1);
        }
    }
    free(table);
    PyObject *nothing = done(b, LENGTH(b));
    return table ? nothing : PyErr_NoMemory();
}

static PyMethodDef functions[] = {
    {"scores", scores, METH_VARARGS, NULL},
    {"scores_of", scores_of, METH_VARARGS, NULL},
    {"highest", highest, METH_VARARGS, NULL},
    {"contenders", contenders, METH_VARARGS, NULL},
    {"race", race, METH_VARARGS, NULL},
    {"ideals", ideals, METH_VARARGS, NULL},
    {"percentiles", percentiles, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_compiled", .m_methods = functions};

PyMODINIT_FUNC PyInit__compiled(void) { return PyModuleDef_Init(&definition); }
