#include "cache-server/proto/marking.h"

#include <stdlib.h>

bool
marking_room(struct buf *tokens)
{
	size_t room = (size_t)MARKER_MAX_TOKENS * (MARKER_MAX_TOKEN + 1);

	*tokens = BUF_INIT;
	tokens->p = tokens->base = malloc(room);
	tokens->cap = tokens->base ? room : 0;
	return tokens->base != NULL;
}

bool
marking_split(struct span key, struct span *name, struct span *token)
{
	for (size_t i = key.len; i >= 3; i--) {
		if (memcmp(key.p + i - 3, "|#|", 3) == 0) {
			*name = span_first(key, i - 3);
			*token = span_from(key, i);
			return true;
		}
	}
	*name = key;
	*token = (struct span){"", 0};
	return false;
}

enum cache_result
marking_set(struct cache_thread *t, const struct store *store, const struct cache_set *set)
{
	struct span name, token;

	if (!marking_split(set->key, &name, &token))
		token = set->value;
	else if (set->value.len > 0)
		return CACHE_TOO_LARGE;
	return marker_set(t, name, store_hash(store, name), token, set->expiry);
}

enum cache_result
marking_delete(struct cache_thread *t, const struct store *store, struct span key)
{
	struct span name, token;

	if (!marking_split(key, &name, &token))
		return CACHE_NOT_FOUND;
	return marker_clear(t, name, store_hash(store, name), token);
}
