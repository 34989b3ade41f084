/* Any bytes as a password file, and, behind the last NUL, as what a client sends. */
#include <stdlib.h>
#include <string.h>

#include "cache-server/settings/auth_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every user of the file gets in with what stands behind the ":", unless that is a hash. */
static void
check(const struct auth_file *a, struct span text)
{
	while (text.len > 0) {
		struct span line = span_cut(&text, '\n'), user;

		if (line.len > 0 && line.p[line.len - 1] == '\r')
			line.len--;
		if (line.len == 0)
			continue;
		user = span_cut(&line, ':');
		if (auth_file_allows(a, user, line) == span_starts(line, SPAN_LIT("$sha256$")))
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size > 0 ? memrchr(data, '\0', size) : NULL;
	struct span text = span_make(data, end != NULL ? (size_t)(end - data) : size);
	struct span sent = end != NULL ? span_make(end + 1, size - text.len - 1) : text, user;
	struct auth_file *a = NULL;
	struct err_detail why = {0};

	if (auth_file_parse(&a, text, "f", 7, &why) != ERR_OK) {
		if (a != NULL || strncmp(why.text, "f:", 2) != 0 || strchr(why.text, '\n') != NULL)
			abort();
		return 0;
	}
	check(a, text);
	user = span_cut(&sent, ' ');
	(void)auth_file_allows(a, user, sent);
	auth_file_destroy(&a);
	return 0;
}
