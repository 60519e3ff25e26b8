/* completion.c - `nightjar completion bash|zsh`: the script that a shell sources. */
#include <stdio.h>
#include <string.h>

#include "command.h"

static int completion(int argc, char **argv);

NJ_COMMAND(completion) = {
    .name = "completion",
    .usage = "completion bash|zsh",
    .summary = "a script that lets the shell complete commands and options",
    .help = "  bash: source <(nightjar completion bash)\n  zsh:  source <(nightjar completion zsh), after "
            "compinit\n",
    .main = completion,
};

static int completion(int argc, char **argv)
{
    static const char *const shells[] = { "bash", "zsh", NULL };
    nj_words words;
    nj_error err = { "" };
    nj_buffer text = { 0 };
    int bad = nj_command_parse(&nj_command_completion, NULL, argc, argv, &words, &err);
    if (!bad && words.n != 1) bad = nj_fail(&err, "expected bash or zsh");
    if (!bad && !strcmp(words.item[0], "bash"))
        nj_complete_bash(nj_commands, &text);
    else if (!bad && !strcmp(words.item[0], "zsh"))
        nj_complete_zsh(nj_commands, &text);
    else if (!bad)
        bad = nj_word_wrong("shell", words.item[0], shells, &err);
    if (bad) return fprintf(stderr, "nightjar completion: %s\n", err.text), NJ_EXIT_USAGE;
    return nj_command_print(&text);
}
