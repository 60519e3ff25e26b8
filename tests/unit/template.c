/* template.c - the files of pages: values, escaping, sections, formats, and errors that name file, line and
 * name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "broker/base/embed.h"
#include "broker/base/template.h"

/* The values that all tests see: {text, empty, n, x, nothing, yes, no, list: [{name, inner: [..]}], words,
 * of: {x}} */
static nj_template_values values(void)
{
    nj_template_values v = nj_template_begin();
    nj_template_put(&v, NULL, "text=%s empty=%s n=%d x=%g nothing=%g yes=%d no=%d", "<b a=\"1\">'&", "", 42,
                    1234.5, NAN, 1, 0);
    json_t *list = nj_template_list(&v, NULL, "list");
    nj_template_list(&v, NULL, "none");
    for (int i = 0; i < 2; i++) {
        json_t *item = nj_template_put(&v, list, "name=%s big=%llu", i ? "b" : "a", 1ULL << 60);
        json_t *inner = nj_template_list(&v, item, "inner");
        for (int k = 0; k < 2; k++) nj_template_put(&v, inner, "k=%d", 10 * i + k);
    }
    json_t *words = nj_template_list(&v, NULL, "words");
    nj_template_item(&v, words, "p");
    nj_template_item(&v, words, "<q>");
    nj_template_put(&v, nj_template_object(&v, NULL, "of"), "x=%g name=%s", 7.0, "of");
    return v;
}

/* `want` begins with "!" when it is an error. */
static void expect(const char *text, const char *want)
{
    nj_template_values v = values();
    nj_buffer out = { 0 };
    nj_error err = { "" };
    nj_buffer_text(&out, "");
    const int rc = nj_template_text(text, &v, &out, &err);
    assert_string_equal(rc ? err.text : out.data ? out.data : "", *want == '!' ? want + 1 : want);
    assert_int_equal(rc, *want == '!' ? -1 : 0);
    nj_template_end(&v);
    nj_buffer_free(&out);
}

static void values_are_escaped_unless_they_are_raw(void **state)
{
    (void)state;
    expect("<p title=\"{{text}}\">", "<p title=\"&lt;b a=&quot;1&quot;&gt;&#39;&amp;\">");
    expect("{{{text}}}", "<b a=\"1\">'&");
    expect("{{ n }} {{x}} [{{nothing}}{{empty}}]", "42 1234.5 []");
    expect("a{{! not shown: {{x }}b", "ab");
    expect("{ {n} } }}", "{ {n} } }}");
}

static void bytes_that_are_no_utf8_are_shown(void **state)
{
    (void)state;
    nj_template_values v = nj_template_begin();
    nj_buffer out = { 0 };
    nj_template_put(&v, NULL, "bytes=%s", "a\xff<");
    assert_int_equal(nj_template_text("{{bytes}}", &v, &out, NULL), 0);
    assert_string_equal(out.data, "a\\xff&lt;");
    nj_template_end(&v);
    nj_buffer_free(&out);
}

static void a_value_is_no_template(void **state)
{
    (void)state;
    nj_template_values v = nj_template_begin();
    nj_buffer out = { 0 };
    nj_template_put(&v, NULL, "a=%s", "{{a}} {{/a}} {{#x}}");
    assert_int_equal(nj_template_text("{{a}}{{{a}}}", &v, &out, NULL), 0);
    assert_string_equal(out.data, "{{a}} {{/a}} {{#x}}{{a}} {{/a}} {{#x}}");
    nj_template_end(&v);
    nj_buffer_free(&out);
}

static void sections_repeat_choose_and_nest(void **state)
{
    (void)state;
    expect("{{#list}}{{name}}{{#inner}}-{{k}}{{/inner}};{{/list}}", "a-0-1;b-10-11;");
    expect("{{#list}}{{#inner}}{{name}}{{n}} {{/inner}}{{/list}}", "a42 a42 b42 b42 ");
    expect("{{#words}}[{{.}}]{{/words}}", "[p][&lt;q&gt;]");
    expect("{{#none}}never{{/none}}{{^none}}empty{{/none}}", "empty");
    expect("{{^list}}never{{/list}}{{#yes}}yes{{/yes}}{{#no}}no{{/no}}{{^no}}not{{/no}}", "yesnot");
    expect("{{#nothing}}never{{/nothing}}{{^nothing}}null{{/nothing}}{{#empty}}never{{/empty}}", "null");
    expect("{{#of}}{{x}} {{name}} {{n}}{{/of}} {{of.x}}", "7 of 42 7");
    expect("{{#list}}{{big}} {{/list}}", "1152921504606846976 1152921504606846976 ");
}

static void numbers_are_formatted(void **state)
{
    (void)state;
    expect("{{x %.1f}} {{x %+.3e}} {{x %8.2f}}|", "1234.5 +1.234e+03  1234.50|");
    expect("{{x si}} {{x rate}} {{x duration}} {{x us}} {{x count}} {{x sort}} {{x estimate}}",
           "1.23k 1.23k 1.23 µs 1234.50 1234 1234.5 1.2k");
    expect("{{of.x*0.05 share}} {{of.x*1e-5 small}} {{n*1e6 duration}}", "35.0 % &lt;.001 42 ms");
    expect("{{n-4 %.0f}} {{n+0.5 %.1f}} {{n*2+1}} {{n*-1-1}} {{n*0 %.0f}}", "38 42.5 85 -43 0");
    expect("{{nothing %.1f}} {{nothing us}} [{{nothing sort}}] {{nothing*2-1 %.0f}}", "– – [] –");
}

static void lines_without_text_and_blanks_before_it_are_not_written(void **state)
{
    (void)state;
    expect("a\n  {{#list}}\n    <b>{{name}}</b>\n  {{/list}}\n\t{{! why }}\nz  z\n",
           "a\n<b>a</b>\n<b>b</b>\nz  z\n");
    expect("  {{#list}} {{name}}\n  {{/list}}", " a\n b\n");
    expect("  {{n}}\n  {{^yes}}\n  {{/yes}}\n", "42\n");
}

static void what_may_be_missing_is_marked(void **state)
{
    (void)state;
    expect("[{{what?}}] {{of.what? %.1f}} {{of.what.more?}}{{#of.what?}}never{{/of.what}}", "[] – ");
    expect("{{#list}}[{{n?}}]{{/list}}", "[][]"); /* n is of the outermost */
    expect("{{#list}}{{of.x?}}{{/list}}", "77");
    expect("\n{{what}}", "!template:2: no value what (what)");
    expect("{{what.more?}}", "!template:1: no value what.more (what)");
    expect("{{of.what}}", "!template:1: no value of.what (what)");
    expect("{{#list}}\n{{#inner}}\n{{what}}{{/inner}}{{/list}}", "!template:3: no value what (what)");
    expect("{{^what}}{{/what}}", "!template:1: no value what (what)");
}

static void wrong_tags_are_named(void **state)
{
    (void)state;
    expect("a\n{{#list}}", "!template:2: {{#list}} is not closed");
    expect("{{#list}}{{/words}}", "!template:1: {{/words}} closes {{#list}}");
    expect("{{/list}}", "!template:1: {{/list}} closes nothing");
    expect("{{n", "!template:1: {{ without }}");
    expect("{{{n}}", "!template:1: {{ without }}}");
    expect("{{}}", "!template:1: no name in {{}}");
    expect("{{n nice}}", "!template:1: no format nice in {{n nice}}");
    expect("{{n %s}}", "!template:1: no format %s in {{n %s}}");
    expect("{{n %n}}", "!template:1: no format %n in {{n %n}}");
    expect("{{n %*f}}", "!template:1: no format %*f in {{n %*f}}");
    expect("{{text %.1f}}", "!template:1: text is no number");
    expect("{{text+1}}", "!template:1: text is no number");
    expect("{{list}}", "!template:1: list is no text");
    expect("{{>no_such.html}}", "!template:1: no file data/embed/pages/no_such.html");
}

static void memory_is_reported_as_memory(void **state)
{
    (void)state;
    nj_template_values v = nj_template_begin();
    nj_buffer out = { 0 };
    nj_error err = { "" };
    v.failed = true;
    assert_int_equal(nj_template_text("{{what}}", &v, &out, &err), -1);
    assert_string_equal(err.text, "out of memory");
    nj_template_end(&v);
    nj_buffer_free(&out);
}

/* A file that no page calls is one that was forgotten. The pages are those that broker/ writes by name. */
static void each_file_is_on_a_page(void **state)
{
    (void)state;
    static const char *const page[] = { "report.html",         "history.html", "hostless.html",
                                        "hostless_index.html", "profile.html", "figure.svg" };
    const char *folder = "data/embed/pages/";
    for (const nj_embedded *f = nj_embedded_files; f->name; f++) {
        char call[128];
        bool is_called = false;
        if (strncmp(f->name, folder, strlen(folder))) continue;
        snprintf(call, sizeof call, "{{>%s}}", f->name + strlen(folder));
        for (size_t i = 0; i < sizeof page / sizeof *page; i++)
            is_called |= !strcmp(f->name + strlen(folder), page[i]);
        for (const nj_embedded *g = nj_embedded_files; g->name; g++)
            is_called |= !strncmp(g->name, folder, strlen(folder)) && strstr(g->data, call);
        if (!is_called) fail_msg("%s is on no page", f->name);
    }
}

static void the_files_are_well_formed(void **state)
{
    (void)state;
    const char *folder = "data/embed/pages/";
    int n = 0;
    for (const nj_embedded *f = nj_embedded_files; f->name; f++) {
        nj_error err = { "" };
        if (strncmp(f->name, folder, strlen(folder))) continue;
        nj_template_check(f->name + strlen(folder), &err);
        assert_string_equal(err.text, "");
        n++;
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_escaped_unless_they_are_raw),
        cmocka_unit_test(bytes_that_are_no_utf8_are_shown),
        cmocka_unit_test(a_value_is_no_template),
        cmocka_unit_test(sections_repeat_choose_and_nest),
        cmocka_unit_test(numbers_are_formatted),
        cmocka_unit_test(lines_without_text_and_blanks_before_it_are_not_written),
        cmocka_unit_test(what_may_be_missing_is_marked),
        cmocka_unit_test(wrong_tags_are_named),
        cmocka_unit_test(memory_is_reported_as_memory),
        cmocka_unit_test(the_files_are_well_formed),
        cmocka_unit_test(each_file_is_on_a_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
