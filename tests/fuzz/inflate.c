/* inflate.c - libFuzzer entry for gzip members that are unpacked together. The first byte says what the rest
 * is: even, a number from which a group of members is made; odd, a deflate stream, which gets a frame that is
 * right for it. Bit 1: portable. */
#include "tests/unit/inflate_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static kit *k;

static void say(void)
{
    fprintf(stderr, "%zu members: %zu taken, %zu refused by libdeflate, %zu left to it\n", k->members,
            k->done, k->refused, k->left);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *wrong = "";
    if (!k) {
        k = kit_new(1);
        atexit(say);
    }
    if (!size) return 0;
    const uint8_t what = *data++;
    size--;
    if (what & 1) {
        static const uint8_t header[10] = { 0x1f, 0x8b, 8 };
        nj_member member[4];
        if (size > KIT_MOST) size = KIT_MOST;
        memcpy(k->packed, header, sizeof header);
        memcpy(k->packed + sizeof header, data, size);
        memset(k->packed + sizeof header + size, 0, 8);
        k->n_packed = sizeof header + size + 8;
        kit_frame(k);
        for (size_t i = 0; i < 4; i++)
            member[i] = kit_member(k->packed, i == 1 ? k->n_packed / 2 : k->n_packed);
        wrong = kit_check(k, member, 4, what & 2);
    } else {
        k->random = 88172645463325252u;
        for (size_t i = 0; i < size; i++) k->random = (k->random ^ data[i]) * UINT64_C(0x100000001b3) | 1;
        wrong = kit_round(k, what & 2);
    }
    if (*wrong) {
        fprintf(stderr, "%s\n", wrong);
        abort();
    }
    return 0;
}
