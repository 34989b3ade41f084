#include "replay/plan/pattern.h"

#include <fnmatch.h>
#include <regex.h>
#include <stdlib.h>

#include "lib/core/mem.h"

struct pattern {
	enum pattern_kind kind;
	char *glob;
	regex_t regex;
};

err_t
patterns_add(struct patterns *p, enum pattern_kind kind, const char *text, struct err_detail *why)
{
	struct pattern one = {.kind = kind};
	char reason[200];
	int rc = 0;

	if (text[0] == '\0')
		return err_set(why, ERR_USAGE, "an empty pattern matches nothing; write * for everything");
	if (kind == PATTERN_REGEX)
		rc = regcomp(&one.regex, text, REG_EXTENDED | REG_NOSUB);
	else
		one.glob = mem_strdup(text);
	if (rc != 0) {
		regerror(rc, &one.regex, reason, sizeof(reason));
		return err_set(why, ERR_USAGE, "\"%.200s\" is no regular expression: %s", text, reason);
	}
	p->at = mem_realloc(p->at, (p->n + 1) * sizeof(*p->at));
	p->at[p->n++] = one;
	return ERR_OK;
}

void
patterns_fini(struct patterns *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->at[i].glob);
		if (p->at[i].kind == PATTERN_REGEX)
			regfree(&p->at[i].regex);
	}
	free(p->at);
	*p = (struct patterns){0};
}

bool
patterns_match(const struct patterns *p, struct span text)
{
	char copy[PATTERN_TEXT_MAX + 1];

	if (p->n == 0 || text.len > PATTERN_TEXT_MAX)
		return false;
	memcpy(copy, text.p, text.len);
	copy[text.len] = '\0';
	for (size_t i = 0; i < p->n; i++) {
		if (p->at[i].kind == PATTERN_GLOB ? fnmatch(p->at[i].glob, copy, 0) == 0
						  : regexec(&p->at[i].regex, copy, 0, NULL, 0) == 0)
			return true;
	}
	return false;
}
