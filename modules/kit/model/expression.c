/* expression.c - arithmetic over columns that a manifest or a setting writes: compiled once, evaluated row
 * by row. */
#include "nightjar/expression.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum {
    NUMBER,
    COLUMN,
    ADD,
    SUBTRACT,
    MULTIPLY,
    DIVIDE,
    POWER,
    NEGATE,
    LOG10,
    LN,
    EXP,
    SQRT,
    ABS,
    FLOOR,
    LOG1P,
    MIN, /* two operands from here on */
    MAX,
    COALESCE,
    LESS,
    LESS_EQUAL,
    GREATER,
    GREATER_EQUAL,
    EQUAL,
    NOT_EQUAL,
    CLIP, /* three */
    WHERE
} operation;

static int operands(operation op)
{
    return op <= COLUMN ? 0 : op >= CLIP ? 3 : (op >= ADD && op <= POWER) || op >= MIN ? 2 : 1;
}

static const struct {
    const char *name;
    operation op;
    int arguments;
} functions[] = { { "log10", LOG10, 1 }, { "ln", LN, 1 },     { "exp", EXP, 1 },
                  { "sqrt", SQRT, 1 },   { "abs", ABS, 1 },   { "floor", FLOOR, 1 },
                  { "log1p", LOG1P, 1 }, { "min", MIN, 2 },   { "max", MAX, 2 },
                  { "pow", POWER, 2 },   { "clip", CLIP, 3 }, { "coalesce", COALESCE, 2 },
                  { "where", WHERE, 3 } };

/* Recursive descent; writes the steps behind each other, operands first. */
typedef struct parser {
    nj_expression *e;
    const char *text;
    uint32_t at, n, depth, level;
    nj_expression_names *names;
    const char *why;
} parser;

static int fail(parser *p, const char *why)
{
    if (!p->why) p->why = why;
    return -1;
}

static int emit(parser *p, operation op, uint32_t column, double number)
{
    if (p->e->n == NJ_EXPRESSION_STEPS) return fail(p, "too long");
    p->e->step[p->e->n++] = (nj_expression_step){ (uint16_t)op, (uint16_t)column, number };
    if (op <= COLUMN && ++p->depth > NJ_EXPRESSION_DEPTH) return fail(p, "nested too deeply");
    if (operands(op) > 1) p->depth -= (uint32_t)operands(op) - 1;
    return 0;
}

static char peek(parser *p)
{
    while (p->at < p->n && isspace((unsigned char)p->text[p->at])) p->at++;
    return p->at < p->n ? p->text[p->at] : 0;
}

static int take(parser *p, char c)
{
    if (peek(p) != c) return 0;
    p->at++;
    return 1;
}

static int comparison(parser *p);

static int call_function(parser *p, const char *name, uint32_t n)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (strlen(functions[i].name) != n || strncmp(functions[i].name, name, n)) continue;
        for (int k = 0; k < functions[i].arguments; k++) {
            if (k && !take(p, ','))
                return fail(p, functions[i].arguments == 2 ? "this function takes two arguments"
                                                           : "this function takes three arguments");
            if (comparison(p)) return -1;
        }
        return take(p, ')') ? emit(p, functions[i].op, 0, 0) : fail(p, "expected )");
    }
    return fail(p, "no such function (log10 ln log1p exp sqrt abs floor min max pow clip coalesce where)");
}

static int column(parser *p, const char *name, uint32_t n)
{
    nj_expression_names *names = p->names;
    for (uint32_t i = 0; i < names->n; i++)
        if (strlen(names->name[i]) == n && !strncmp(names->name[i], name, n)) return emit(p, COLUMN, i, 0);
    char *copy = names->n < names->cap ? names->copy(names->opaque, name, n) : NULL;
    if (!copy) return fail(p, "too many columns");
    names->name[names->n++] = copy;
    return emit(p, COLUMN, names->n - 1, 0);
}

static int number(parser *p)
{
    char text[48], *end;
    uint32_t n = p->n - p->at < sizeof text - 1 ? p->n - p->at : (uint32_t)sizeof text - 1;
    memcpy(text, p->text + p->at, n);
    text[n] = 0;
    double v = strtod(text, &end);
    if (end == text) return fail(p, "expected a number, a column or (");
    p->at += (uint32_t)(end - text);
    return emit(p, NUMBER, 0, v);
}

static int primary(parser *p)
{
    char c = peek(p);
    if (take(p, '(')) return comparison(p) ? -1 : take(p, ')') ? 0 : fail(p, "expected )");
    if (!isalpha((unsigned char)c) && c != '_')
        return isdigit((unsigned char)c) || c == '.' ? number(p)
                                                     : fail(p, "expected a number, a column or (");
    uint32_t start = p->at;
    while (p->at < p->n && (isalnum((unsigned char)p->text[p->at]) || strchr("_.@", p->text[p->at]))) p->at++;
    uint32_t n = p->at - start;
    return take(p, '(') ? call_function(p, p->text + start, n) : column(p, p->text + start, n);
}

/* -x^2 is -(x^2); 2^-1 is allowed. */
static int signed_power(parser *p)
{
    if (++p->level > 64) return fail(p, "nested too deeply");
    int rc;
    if (take(p, '-'))
        rc = signed_power(p) ? -1 : emit(p, NEGATE, 0, 0);
    else if (take(p, '+'))
        rc = signed_power(p);
    else {
        rc = primary(p);
        if (!rc && take(p, '^')) rc = signed_power(p) ? -1 : emit(p, POWER, 0, 0);
    }
    p->level--;
    return rc;
}

static int chain(parser *p, int (*operand)(parser *), char a, operation op_a, char b, operation op_b)
{
    if (operand(p)) return -1;
    for (char c; (c = peek(p)) == a || c == b;) {
        p->at++;
        if (operand(p) || emit(p, c == a ? op_a : op_b, 0, 0)) return -1;
    }
    return 0;
}

static int term(parser *p)
{
    return chain(p, signed_power, '*', MULTIPLY, '/', DIVIDE);
}

static int sum(parser *p)
{
    return chain(p, term, '+', ADD, '-', SUBTRACT);
}

/* One of them at most: a < b < c is not what it looks like. */
static int comparison(parser *p)
{
    static const struct {
        char sign[3];
        operation op;
    } signs[] = { { "<=", LESS_EQUAL }, { ">=", GREATER_EQUAL }, { "==", EQUAL },
                  { "!=", NOT_EQUAL },  { "<", LESS },           { ">", GREATER } };
    if (sum(p)) return -1;
    peek(p);
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        uint32_t n = (uint32_t)strlen(signs[i].sign);
        if (p->n - p->at < n || strncmp(p->text + p->at, signs[i].sign, n) != 0) continue;
        p->at += n;
        return sum(p) ? -1 : emit(p, signs[i].op, 0, 0);
    }
    return 0;
}

int nj_expression_compile(nj_expression *e, const char *text, uint32_t n, nj_expression_names *names,
                          const char **why, uint32_t *at)
{
    parser p = { .e = e, .text = text, .n = n, .names = names };
    e->n = 0;
    int rc = comparison(&p);
    if (!rc && peek(&p)) rc = fail(&p, "expected an operator");
    *why = p.why;
    *at = p.at;
    return rc;
}

static double combine(operation op, double a, double b)
{
    switch (op) {
    case ADD: return a + b;
    case SUBTRACT: return a - b;
    case MULTIPLY: return a * b;
    case DIVIDE: return a / b;
    case POWER: return isnan(a) || isnan(b) ? NAN : pow(a, b); /* pow(1, null) is no 1 here */
    case COALESCE: return isnan(a) ? b : a;
    default: break;
    }
    if (isnan(a) || isnan(b)) return NAN;
    switch (op) {
    case LESS: return a < b;
    case LESS_EQUAL: return a <= b;
    case GREATER: return a > b;
    case GREATER_EQUAL: return a >= b;
    case EQUAL: return a == b;
    case NOT_EQUAL: return a != b;
    default: return op == MIN ? fmin(a, b) : fmax(a, b);
    }
}

/* where: a condition that is null has no answer; the branch that is not taken may be null. */
static double combine_three(operation op, double a, double b, double c)
{
    if (op == WHERE) return isnan(a) ? NAN : a != 0 ? b : c;
    return isnan(a) || isnan(b) || isnan(c) ? NAN : fmin(fmax(a, b), c);
}

static double apply(operation op, double a)
{
    switch (op) {
    case NEGATE: return -a;
    case LOG10: return log10(a);
    case LN: return log(a);
    case EXP: return exp(a);
    case SQRT: return sqrt(a);
    case ABS: return fabs(a);
    case LOG1P: return log1p(a);
    default: return floor(a);
    }
}

double nj_expression_value(const nj_expression *e, const double *column_value)
{
    double stack[NJ_EXPRESSION_DEPTH + 1];
    uint32_t top = 0;
    for (uint32_t i = 0; i < e->n; i++) {
        const nj_expression_step *s = &e->step[i];
        operation op = (operation)s->op;
        if (op == NUMBER)
            stack[top++] = s->number;
        else if (op == COLUMN)
            stack[top++] = column_value[s->column];
        else if (top < (uint32_t)operands(op))
            return NAN; /* no program of nj_expression_compile: it writes operands first */
        else if (operands(op) == 3) {
            top -= 2;
            stack[top - 1] = combine_three(op, stack[top - 1], stack[top], stack[top + 1]);
        } else if (operands(op) == 2) {
            top--;
            stack[top - 1] = combine(op, stack[top - 1], stack[top]);
        } else
            stack[top - 1] = apply(op, stack[top - 1]);
    }
    return top ? stack[0] : NAN;
}
