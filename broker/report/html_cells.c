/* html_cells.c - all HTML pages use the same headings, number formats and tables, so they are written
 * once. */
#include "html_cells.h"

#include <math.h>
#include <stdio.h>

#include "html.h"

static const char style[] =
    "<style>:root{color-scheme:light "
    "dark;--bg:#fff;--fg:#1c2430;--dim:#5b6675;--line:#d9dee5;--panel:#f6f7f9;--module:#2a6fb0;--stage:#"
    "8a94a3;"
    "--limit:#b3541e;--offered:#dfe5ec;--passed:#a9c5e2;--hits:#4a8ac6;--flagged:#d9822b;"
    "--span0:#d3dae3;--span1:#a9b4c1;--span2:#75808f;--span3:#2a6fb0;--span4:#7a5aa8;--span5:#d9822b}"
    "@media(prefers-color-scheme:dark){:root{--bg:#12161c;--fg:#e3e8ef;--dim:#97a3b3;--line:#2d3642;--panel:#"
    "1a2029;--module:#"
    "5aa2e6;--stage:#7d8898;"
    "--limit:#f0a35e;--offered:#2d3642;--passed:#35536f;--hits:#5aa2e6;--flagged:#f0a35e;"
    "--span0:#39434f;--span1:#5a6676;--span2:#8e99a9;--span3:#5aa2e6;--span4:#a98ae0;--span5:#f0a35e}}"
    "*{box-sizing:border-box}body{margin:0 "
    "auto;max-width:1200px;padding:16px;background:var(--bg);color:var(--fg);font:15px/1.5 "
    "system-ui,sans-serif}"
    "h1{font-size:1.5rem;margin:.3em 0;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2em 0 "
    ".4em}p{margin:.4em "
    "0;overflow-wrap:anywhere}.dim{color:var(--dim)}.warn{color:var(--limit)}.range{display:block;color:var(-"
    "-dim);font-size:."
    "75rem;line-height:1.1}h3{font-size:1rem;margin:1.4em 0 .3em}"
    ".tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:10px;margin:14px 0}"
    ".tile{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:8px 12px}.tile "
    "b{display:block;font-size:1.25rem}"
    ".tile span{color:var(--dim);font-size:.85rem}.scroll{overflow-x:auto}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.85rem;min-width:100%}"
    "th,td{padding:4px 5px;text-align:right;white-space:nowrap;border-bottom:1px solid "
    "var(--line)}th:first-child,td:first-child{text-align:left;"
    "position:sticky;left:0;background:var(--bg)}th{color:var(--dim);font-weight:600;white-space:normal;"
    "vertical-align:bottom}th "
    "button{all:unset;cursor:pointer}th button:focus-visible{outline:2px solid var(--module)}"
    ".grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:14px}.cell{background:"
    "var(--panel);border:"
    "1px solid var(--line);border-radius:8px;padding:8px 12px}"
    "svg{display:block;overflow:visible}svg text{fill:var(--fg);font:13px system-ui,sans-serif}svg .name,svg "
    ".note{paint-order:stroke;stroke:var(--bg);stroke-width:3px}svg "
    ".note{fill:var(--dim);font-size:11.5px}.cell svg "
    ".note{stroke:var(--panel)}"
    "rect.span0{fill:var(--span0)}rect.span1{fill:var(--span1)}rect.span2{fill:var(--span2)}rect.span3{fill:"
    "var(--span3)}"
    "rect.span4{fill:var(--span4)}rect.span5{fill:var(--span5)}circle.dot{fill:var(--module);opacity:.7}"
    "circle.told{fill:var(--"
    "limit);"
    "opacity:.8}line.trend,.grid line.trend{stroke:var(--fg);stroke-width:1.5}"
    "rect.module{fill:var(--module)}rect.stage{fill:var(--stage)}rect.offered{fill:var(--offered)}rect."
    "passed{fill:var(--passed)}"
    "rect.hits{fill:var(--hits)}"
    "rect.flagged{fill:var(--flagged)}.grid "
    "line,line.grid,line.base{stroke:var(--line)}line.limit,line.budget{stroke:var(--limit);stroke-dasharray:"
    "5 4}"
    ".grid "
    "line.path{stroke:var(--module);opacity:.6}line.whisker{stroke:var(--fg);stroke-width:1.5}line.mark,."
    "grid "
    "line.mark{stroke:var(--limit)}"
    ".key{display:inline-block;width:11px;height:11px;border-radius:2px;margin:0 4px 0 12px}"
    "a{color:var(--module)}dt{font-weight:600;margin-top:.6em}dd{margin:0 0 0 1.2em;max-width:75ch}"
    "@media(max-width:720px){body{padding:12px;font-size:14px}.tiles{grid-template-columns:1fr 1fr}}</style>";

/* Without it the tables stand in the order of dispatch; the buttons are made by it too. */
static const char script[] =
    "<script>document.querySelectorAll('table').forEach(t=>t.querySelectorAll('th').forEach((h,i)=>{const "
    "b=document.createElement('button');"
    "b.textContent=h.textContent;h.textContent='';h.append(b);let up=i===0;b.onclick=()=>{const "
    "body=t.tBodies[0],r=[...body.rows];"
    "const v=x=>{const c=x.cells[i],d=c.dataset.v;return d===undefined?c.textContent:d===''?-Infinity:+d};"
    "r.sort((a,b)=>{const p=v(a),q=v(b);return(p<q?-1:p>q?1:0)*(up?1:-1)});up=!up;"
    "t.querySelectorAll('th').forEach(x=>x.removeAttribute('aria-sort'));h.setAttribute('aria-sort',up?'"
    "descending':'ascending');"
    "body.append(...r)}}))</script>";

void nj_html_text(nj_buffer *out, const char *text)
{
    nj_markup_text(out, text);
}

double nj_html_number(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

const char *nj_html_words(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

void nj_html_heading(nj_buffer *b, const char *title, const char *note)
{
    nj_buffer_text(b, "\n<h2>");
    nj_html_text(b, title);
    nj_buffer_text(b, "</h2>\n");
    if (!note) return;
    nj_buffer_text(b, "<p class=dim>");
    nj_html_text(b, note);
    nj_buffer_text(b, "</p>\n");
}

/* A cell with what it is sorted by. */
void nj_html_cell(nj_buffer *b, double value, const char *text)
{
    nj_buffer_text(b, "<td data-v=\"");
    if (isfinite(value)) nj_buffer_printf(b, "%.9g", value);
    nj_buffer_text(b, "\">");
    nj_html_text(b, text);
    nj_buffer_text(b, "</td>");
}

void nj_html_text_cell(nj_buffer *b, const char *text)
{
    nj_buffer_text(b, "<td>");
    nj_html_text(b, text);
    nj_buffer_text(b, "</td>");
}

void nj_html_count_cell(nj_buffer *b, double value)
{
    char text[32] = "–";
    if (isfinite(value)) snprintf(text, sizeof text, "%.0f", value);
    nj_html_cell(b, value, text);
}

void nj_html_si_cell(nj_buffer *b, double value)
{
    char text[24];
    nj_html_cell(b, value, nj_html_si(text, value));
}

void nj_html_duration_cell(nj_buffer *b, double ns)
{
    char text[24];
    nj_html_cell(b, ns, nj_html_duration(text, ns));
}

void nj_html_table(nj_buffer *b, const char *const *head)
{
    nj_buffer_text(b, "<div class=scroll><table><thead><tr>");
    for (; *head; head++) {
        nj_buffer_text(b, "<th scope=col>");
        nj_html_text(b, *head);
        nj_buffer_text(b, "</th>");
    }
    nj_buffer_text(b, "</tr></thead><tbody>\n");
}

void nj_html_end_table(nj_buffer *b)
{
    nj_buffer_text(b, "</tbody></table></div>\n");
}

void nj_html_begin(nj_buffer *b, const char *title)
{
    nj_buffer_text(b, "<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport "
                      "content=\"width=device-width,initial-scale=1\"><title>");
    nj_html_text(b, title);
    nj_buffer_printf(b, "</title>\n%s</head><body>\n<h1>", style);
    nj_html_text(b, title);
    nj_buffer_text(b, "</h1>\n");
}

void nj_html_end(nj_buffer *b)
{
    nj_buffer_printf(b, "%s</body></html>\n", script);
}
