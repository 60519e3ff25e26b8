/* shortest.cc - std::to_chars of libstdc++ behind a C name. It saves an own implementation of the shortest
 * round-trip decimal (Ryu), which the C library lacks: printf would need up to three tries per number. */
#include <charconv>
#include <cmath>
#include <cstring>

template <typename T> static int shortest(char *text, T value)
{
    if (std::isnan(value)) return std::strcpy(text, "nan"), 3;
    // "-0" is a whole number, which has no sign
    if (value == 0 && std::signbit(value)) return std::strcpy(text, "-0.0"), 4;
    auto end = std::to_chars(text, text + 31, value).ptr;
    *end = 0;
    return static_cast<int>(end - text);
}

extern "C" int nj_shortest_f64(char *text, double value)
{
    return shortest(text, value);
}
extern "C" int nj_shortest_f32(char *text, float value)
{
    return shortest(text, value);
}
