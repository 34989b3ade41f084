/*
 * pair - takes the body of a comment apart into sqlcommenter's tag='value' pairs.
 *
 *      action='save',inv='user%3A42',inv_h='2000'
 *
 * Encoders disagree, so this accepts more than any of them should write: a quote inside a value may be \' or
 * '' or stand there raw; a quote ends the value only where a comma or the end of the body follows.  Whatever
 * is not a pair at all is passed over up to the next comma.  Values come out as written, still encoded.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_MARKERS_PAIR_H
#define SQUEAL_MARKERS_PAIR_H

#include "lib/core/span.h"

enum { PAIR_TAG_MAX = 64 };

/* The tag that is ours; _p, _h and _m follow it. */
struct pair_tag {
	char name[PAIR_TAG_MAX];
	char upper[PAIR_TAG_MAX]; /* the same in capitals: a mistake worth reporting */
	size_t len;
};

enum pair_kind {
	PAIR_FOREIGN,	/* somebody else's, or prose: nothing to do */
	PAIR_KEYS,	/* inv */
	PAIR_MARKERS,	/* inv_m */
	PAIR_POOL,	/* inv_p */
	PAIR_HOLDOFF,	/* inv_h */
	PAIR_UNKNOWN,	/* inv_something, or the tag in capitals */
	PAIR_MALFORMED, /* our tag is in there but it is no pair */
};

struct pair {
	enum pair_kind kind;
	struct span text;  /* all of it */
	struct span tag;   /* empty when malformed */
	struct span value; /* between the quotes, as written */
	bool quotes;	   /* the value holds quotes */
	bool loose;	   /* some of them are raw, or the closing one had to be guessed */
};

struct pairs {
	const struct pair_tag *tag;
	const char *p;
	const char *end;
	bool strict; /* everything so far was exactly by the grammar */
	bool comma;  /* a comma was just passed: a pair must follow */
};

/* False unless `name` is 1 to 64 letters, digits, '_', '.', '-'. */
bool pair_tag_init(struct pair_tag *tag, struct span name);

/* Whether `body` holds the tag's name at all; what does not, needs no further look. */
bool pair_tag_in(const struct pair_tag *tag, struct span body);

/* Whether a word of `text` is one of our tags and '=' or ':' follows it. */
bool pair_tag_named(const struct pair_tag *tag, struct span text);

/* `tag` and the bytes of `body` must outlive the iterator and its pairs. */
static inline struct pairs
pairs_of(const struct pair_tag *tag, struct span body)
{
	return (struct pairs){tag, body.p, body.p + body.len, true, true};
}

/* The next pair; false at the end of the body.  Only then does `strict` speak of the whole body. */
bool pair_next(struct pairs *it, struct pair *out);

#endif
