#include "markers/anchor.h"

/* Bytes looked at in one go: checked builds look at all of a range that is searched, not just up to the hit.
 */
enum { WINDOW = 256 };

static inline bool
is_filler(char c)
{
	return c == ';' || anchor_is_space(c);
}

static inline bool
opens_at(struct span s, size_t at)
{
	return s.len - at >= 2 && s.p[at] == '/' && s.p[at + 1] == '*';
}

static size_t
skip_filler(struct span s, size_t at)
{
	while (at < s.len && is_filler(s.p[at]))
		at++;
	return at;
}

static size_t
skip_filler_back(struct span s, size_t from, size_t end)
{
	while (end > from && is_filler(s.p[end - 1]))
		end--;
	return end;
}

size_t
anchor_code_end(struct span sql)
{
	return skip_filler_back(sql, 0, sql.len);
}

size_t
anchor_close(struct span s, size_t from)
{
	while (from + 1 < s.len) {
		const char *star = memchr(s.p + from, '*', s.len - 1 - from);

		if (star == NULL)
			return 0;
		from = (size_t)(star - s.p) + 1;
		if (star[1] == '/')
			return from + 1;
	}
	return 0;
}

bool
anchor_executable(struct span s)
{
	return (s.len > 2 && s.p[2] == '!') || (s.len > 3 && s.p[2] == 'M' && s.p[3] == '!');
}

bool
anchor_next(struct span *rest, struct span *comment)
{
	size_t at = skip_filler(*rest, 0);
	size_t end;

	if (!opens_at(*rest, at))
		return false;
	end = anchor_close(*rest, at + 2);
	if (end == 0)
		return false;
	*comment = span_make(rest->p + at, end - at);
	*rest = span_from(*rest, end);
	return true;
}

/*
 * Where the comment opens that ends right before `end`, or `end` when no comment ends there.  The terminator
 * closes the last opener before it; when another terminator stands between the two, what is at `end` closes
 * something that began earlier, which only executed comments and broken statements do.
 */
static size_t
comment_before(struct span sql, size_t from, size_t end)
{
	size_t close = end - 2;

	/* The opener's star may not be the terminator's. */
	for (size_t limit = close; limit > from;) {
		size_t low = limit - from > WINDOW ? limit - WINDOW : from;
		const char *star = memrchr(sql.p + low, '*', limit - low);
		size_t at;

		if (star == NULL) {
			limit = low;
			continue;
		}
		if (star == sql.p + from)
			return end;
		at = (size_t)(star - sql.p) - 1;
		if (sql.p[at] == '/') {
			struct span comment = span_make(sql.p + at, end - at);

			if (anchor_close(comment, 2) != comment.len || anchor_executable(comment))
				return end;
			return at;
		}
		limit = at + 1;
	}
	return end;
}

void
anchor_find(struct span sql, struct anchor *a)
{
	size_t lead = 0;
	size_t trail = sql.len;
	size_t at;

	a->open = false;
	for (at = skip_filler(sql, 0); opens_at(sql, at); at = skip_filler(sql, lead)) {
		size_t end;

		if (anchor_executable(span_from(sql, at)))
			break;
		end = anchor_close(sql, at + 2);
		if (end == 0) {
			a->open = true;
			break;
		}
		lead = end;
	}
	for (;;) {
		size_t end = skip_filler_back(sql, lead, trail);
		size_t open;

		if (end - lead < 4 || sql.p[end - 1] != '/' || sql.p[end - 2] != '*')
			break;
		open = comment_before(sql, lead, end);
		if (open == end)
			break;
		trail = open;
	}
	a->lead = span_first(sql, lead);
	a->middle = span_make(sql.p + lead, trail - lead);
	a->trail = span_from(sql, trail);
}
