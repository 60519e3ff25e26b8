/* sort.c - sorting of light curves and of indices. */
#include "nightjar/lc.h"

#include <math.h>

/* Insertion below this: light curves of one band are mostly shorter. */
enum { SHORT = 24 };

static void insert(double *v, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        double x = v[i];
        uint32_t k = i;
        for (; k > 0 && v[k - 1] > x; k--) v[k] = v[k - 1];
        v[k] = x;
    }
}

static void sift(double *v, uint32_t root, uint32_t n)
{
    double x = v[root];
    for (uint32_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && v[child + 1] > v[child]) child++;
        if (v[child] <= x) break;
        v[root] = v[child];
    }
    v[root] = x;
}

/* Heapsort beyond: n log n whatever the order. */
void nj_sort_f64(double *v, uint32_t n)
{
    if (n <= SHORT) {
        insert(v, n);
        return;
    }
    for (uint32_t i = n / 2; i-- > 0;) sift(v, i, n);
    for (uint32_t i = n; --i > 0;) {
        double top = v[0];
        v[0] = v[i];
        v[i] = top;
        sift(v, 0, i);
    }
}

static int before(double a, double b)
{
    return a < b || (!isnan(a) && isnan(b));
}

/* Is the pair (a, i) behind (b, k)? Ties by index make an unstable sort stable. */
static int behind(const double *key, uint32_t i, uint32_t k)
{
    return before(key[k], key[i]) || (!before(key[i], key[k]) && i > k);
}

static void sift_order(const double *key, uint32_t *order, uint32_t root, uint32_t n)
{
    uint32_t x = order[root];
    for (uint32_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && behind(key, order[child + 1], order[child])) child++;
        if (!behind(key, order[child], x)) break;
        order[root] = order[child];
    }
    order[root] = x;
}

static void heap_order(const double *key, uint32_t *order, uint32_t n)
{
    for (uint32_t i = n / 2; i-- > 0;) sift_order(key, order, i, n);
    for (uint32_t i = n; i-- > 1;) {
        uint32_t top = order[0];
        order[0] = order[i];
        order[i] = top;
        sift_order(key, order, 0, i);
    }
}

void nj_order_f64(const double *key, uint32_t n, uint32_t *order)
{
    uint64_t moves = 0, most = 16 * (uint64_t)n;
    uint32_t i;
    for (i = 0; i < n && moves <= most; i++) {
        uint32_t k = i;
        for (; k > 0 && before(key[i], key[order[k - 1]]); k--) order[k] = order[k - 1];
        order[k] = i;
        moves += i - k;
    }
    if (i == n) return;
    for (i = 0; i < n; i++) order[i] = i; /* far from sorted */
    heap_order(key, order, n);
}

static void swap(uint32_t *a, uint32_t *b)
{
    uint32_t x = *a;
    *a = *b;
    *b = x;
}

/* Splits order[low..high] about the median of its first, middle and last key; returns where that one went. */
static uint32_t split(const double *key, uint32_t *order, uint32_t low, uint32_t high)
{
    uint32_t middle = low + ((high - low) >> 1), i = low, k = high - 1;
    if (before(key[order[middle]], key[order[low]])) swap(&order[middle], &order[low]);
    if (before(key[order[high]], key[order[middle]])) swap(&order[high], &order[middle]);
    if (before(key[order[middle]], key[order[low]])) swap(&order[middle], &order[low]);
    double pivot = key[order[middle]];
    swap(&order[middle], &order[k]);
    for (;;) {
        do i++;
        while (before(key[order[i]], pivot));
        do k--;
        while (before(pivot, key[order[k]]));
        if (i >= k) break;
        swap(&order[i], &order[k]);
    }
    swap(&order[i], &order[high - 1]);
    return i;
}

static void insert_order(const double *key, uint32_t *order, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        uint32_t x = order[i], k = i;
        for (; k > 0 && before(key[x], key[order[k - 1]]); k--) order[k] = order[k - 1];
        order[k] = x;
    }
}

void nj_order_numpy(const double *key, uint32_t n, uint32_t *order)
{
    enum { SMALL = 15 };
    struct {
        uint32_t low, high;
        int splits; /* still allowed: 2 log2 n, then heapsort */
    } stack[64];
    uint32_t depth = 0;
    int splits = 0;
    for (uint32_t i = 0; i < n; i++) order[i] = i;
    for (uint32_t i = n; i > 1; i /= 2) splits += 2;
    if (!n) return;
    stack[depth].low = 0, stack[depth].high = n - 1, stack[depth++].splits = splits;
    while (depth) {
        uint32_t low = stack[--depth].low, high = stack[depth].high;
        splits = stack[depth].splits;
        while (high - low > SMALL && splits-- > 0) {
            uint32_t i = split(key, order, low, high); /* low < i < high */
            /* the larger side waits, so that 64 entries do for any n */
            bool left = i - low < high - i;
            stack[depth].low = left ? i + 1 : low;
            stack[depth].high = left ? high : i - 1;
            stack[depth++].splits = splits;
            if (left)
                high = i - 1;
            else
                low = i + 1;
        }
        if (high - low > SMALL)
            heap_order(key, order + low, high - low + 1);
        else
            insert_order(key, order + low, high - low + 1);
    }
}
