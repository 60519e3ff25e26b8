/* assert.h - what must be true where one room hands something to another. What a user or a packet can do
 * wrong is an error and no assertion: a broken assertion is a fault of nightjar. */
#ifndef NJ_BASE_ASSERT_H
#define NJ_BASE_ASSERT_H

/* Prints what is broken, and where, and aborts. */
_Noreturn __attribute__((format(printf, 4, 5))) void nj_assert_fails(const char *file, int line,
                                                                     const char *condition,
                                                                     const char *format, ...);

/* In every build: for what costs a comparison per chunk or batch. The text names what is broken. */
#define NJ_ASSERT(condition, ...)                                                                            \
    do {                                                                                                     \
        if (__builtin_expect(!(condition), 0)) nj_assert_fails(__FILE__, __LINE__, #condition, __VA_ARGS__); \
    } while (0)

/* With sanitizers only: for what looks at each row. */
#ifdef NJ_SLOW_ASSERTS
#define NJ_ASSERT_SLOW(condition, ...) NJ_ASSERT(condition, __VA_ARGS__)
#else
#define NJ_ASSERT_SLOW(condition, ...)                                                                       \
    do {                                                                                                     \
        if (0) NJ_ASSERT(condition, __VA_ARGS__);                                                            \
    } while (0)
#endif

#endif
