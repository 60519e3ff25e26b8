/* trim.c - memory that was freed goes back to the system, once it has been free for a while. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "broker/flow/trim.h"
#include "broker/graph/growth.h"

enum { PIECES = 2048, PIECE = 64 << 10, KEPT = 64 }; /* 128 MB; each 64th piece stays */
static char *piece[PIECES];

static void take(void)
{
    for (int i = 0; i < PIECES; i++)
        if (!piece[i]) memset(piece[i] = malloc(PIECE), 1, PIECE);
}

/* All but some, so that no end of an arena is free. */
static void drop(void)
{
    for (int i = 0; i < PIECES; i++)
        if (i % KEPT != KEPT - 1) {
            free(piece[i]);
            piece[i] = NULL;
        }
}

/* What went back in so many looks. */
static int64_t looks(nj_trim *trim, int n)
{
    int64_t back = 0;
    while (n--) back += nj_trim_look(trim);
    return back;
}

/* Their malloc is another one, of which mallinfo2() knows nothing. */
static void not_with_sanitizers(void)
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    skip();
#endif
}

static void what_stays_free_goes_back(void **state)
{
    (void)state;
    not_with_sanitizers();
    nj_trim trim = { 0 };
    for (int round = 0; round < 3; round++) {
        take();
        assert_int_equal(looks(&trim, NJ_TRIM_LOOKS), 0); /* all of it is in use */
        const int64_t full = nj_own_bytes();
        drop();
        assert_true(nj_own_bytes() > full - (32 << 20)); /* else there is nothing to be seen here */
        assert_int_equal(looks(&trim, NJ_TRIM_LOOKS - 1), 0);
        assert_true(looks(&trim, 1) > 96 << 20);
        assert_true(nj_own_bytes() < full - (96 << 20));
        assert_int_equal(looks(&trim, 5 * NJ_TRIM_LOOKS), 0); /* not again and again */
        for (int i = KEPT - 1; i < PIECES; i += KEPT) assert_int_equal(piece[i][PIECE - 1], 1);
    }
}

static void what_is_taken_again_stays(void **state)
{
    (void)state;
    not_with_sanitizers();
    nj_trim trim = { 0 };
    for (int i = 0; i < 4 * NJ_TRIM_LOOKS; i++) { /* free in most looks, and not in all */
        take();
        if (i % (NJ_TRIM_LOOKS - 1)) drop();
        assert_int_equal(nj_trim_look(&trim), 0);
    }
    drop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stays_free_goes_back),
        cmocka_unit_test(what_is_taken_again_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
