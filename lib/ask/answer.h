/*
 * answer - what every admin port said to the same question, taken apart.
 *
 * The ports speak JSON, which is YAML in flow style: lib/conf/yaml.h reads it.
 *
 * Threads: any.   Blocks: answers_ask(), for one timeout per port that does not answer.
 */
#ifndef SQUEAL_LIB_ASK_ANSWER_H
#define SQUEAL_LIB_ASK_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/ask/place.h"
#include "lib/conf/yaml.h"
#include "lib/core/json.h"

struct answer {
	const struct place *place;
	int status; /* of HTTP; 0: nobody answered */
	struct buf body;
	struct yaml *tree; /* NULL: it is not JSON */
	char error[400];   /* "" when it answered with 200 or, to /readyz, 503 */
};

struct answers {
	struct answer *at; /* one per place, in their order */
	size_t n;
	size_t failed; /* how many have an error */
};

/* `places` must outlive the answers.  `acts`: POST. */
void answers_ask(struct answers *out, const struct places *places, const char *target, bool acts,
		 uint64_t timeout_ms);
void answers_fini(struct answers *a);

/* {"places":[{"program":"squeal-router","cluster":"c","address":"…","error":null,"answer":{…}}]} */
void answers_json(const struct answers *a, struct buf *out);

/* "squeal-router of cluster c at 127.0.0.1:9402" */
void answer_who(const struct answer *a, struct buf *out);

/* --- one answer's tree ------------------------------------------------------------------------------------
 */

/* NULL when there is none; what follows takes that. */
const struct yaml_node *answer_root(const struct answer *a);

/* The value at a path such as "log.error"; NULL when there is none, or it is null. */
const struct yaml_node *answer_at(const struct yaml_node *from, const char *path);

/* Its text; "" when it is not there. */
struct span answer_text(const struct yaml_node *from, const char *path);

/* Its number; `otherwise` when it is not there or none. */
uint64_t answer_number(const struct yaml_node *from, const char *path, uint64_t otherwise);
bool answer_true(const struct yaml_node *from, const char *path);

#endif
