/*
 * scan_json - takes JSON text apart, from its beginning to its end, without building anything.
 *
 *     struct scan_json s = scan_json_of(line);
 *     bool first = true;
 *     scan_json_take(&s, '{');
 *     while (scan_json_more(&s, '}', &first)) { a name, a colon, a value }
 *     ok = scan_json_end(&s);
 *
 * Whoever asks for something that is not there gets false, and so does everybody from then on: `bad` is asked
 * once at the end.  Nesting deeper than SCAN_JSON_DEPTH is bad.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_REPLAY_TAPE_SCAN_JSON_H
#define SQUEAL_REPLAY_TAPE_SCAN_JSON_H

#include "lib/core/buf.h"
#include "lib/core/span.h"

enum { SCAN_JSON_DEPTH = 32 };

/* What \u0080 to \u00ff in a text is: the character, as in JSON, or that byte, as lib/core/json.h writes it.
 */
enum scan_json_text { SCAN_JSON_CHARACTERS, SCAN_JSON_BYTES };

struct scan_json {
	struct span rest;
	bool bad;
};

static inline struct scan_json
scan_json_of(struct span text)
{
	return (struct scan_json){text, false};
}

/* The next character that is no space; 0 at the end. */
char scan_json_peek(struct scan_json *s);

/* Takes this character. */
bool scan_json_take(struct scan_json *s, char c);

/*
 * In an object or array, `*first` true before the first call: is there another member?  Takes the comma, or
 * the closing character.
 */
bool scan_json_more(struct scan_json *s, char closing, bool *first);

/* Appends the text's bytes to `out`. */
bool scan_json_string(struct scan_json *s, enum scan_json_text kind, struct buf *out);

/* A whole number without sign, and any number that is not below 0, as microseconds of a number of seconds. */
bool scan_json_u64(struct scan_json *s, uint64_t *out);
bool scan_json_seconds(struct scan_json *s, uint64_t *us);

/* Any value. */
bool scan_json_skip(struct scan_json *s);

/* Nothing but spaces is left, and nothing was bad. */
bool scan_json_end(struct scan_json *s);

#endif
