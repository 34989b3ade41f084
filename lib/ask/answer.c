#include "lib/ask/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ask/ask.h"
#include "lib/core/mem.h"

void
answer_who(const struct answer *a, struct buf *out)
{
	buf_put_str(out, a->place->is_router ? "squeal-router" : "squeal");
	if (a->place->cluster != NULL)
		buf_printf(out, " of cluster %s", a->place->cluster);
	if (a->place->address != NULL)
		buf_printf(out, " at %s", a->place->address);
}

const struct yaml_node *
answer_root(const struct answer *a)
{
	return a->tree != NULL ? yaml_root(a->tree) : NULL;
}

static void
ask_one(struct answer *a, const char *target, bool acts, uint64_t timeout_ms)
{
	const struct ask q = {a->place->address, target, acts, timeout_ms};
	struct err_detail why = {0};
	struct span said;

	if (a->place->address == NULL) {
		snprintf(a->error, sizeof(a->error), "it has no admin port (admin: \"\" in squeal.yaml)");
		return;
	}
	if (ask(&q, &a->body, &a->status, &why) != ERR_OK) {
		snprintf(a->error, sizeof(a->error),
			 "%.300s; is it running? --admin HOST:PORT names another port", err_why(&why));
		return;
	}
	said = span_trim(span_first(buf_span(&a->body), 300));
	if (yaml_create(&a->tree, buf_span(&a->body), "answer", &why) == ERR_OK &&
	    yaml_root(a->tree)->kind != YAML_MAP)
		yaml_destroy(&a->tree);
	if (a->status == 404)
		snprintf(a->error, sizeof(a->error),
			 "it knows no such question: is it another program, or an older one?");
	else if (a->status != 200 && a->status != 503 && answer_text(answer_root(a), "error").len > 0)
		snprintf(a->error, sizeof(a->error), "%.*s", SPAN_FMT(answer_text(answer_root(a), "error")));
	else if (a->status != 200 && a->status != 503)
		snprintf(a->error, sizeof(a->error), "%.*s", SPAN_FMT(said));
	else if (a->tree == NULL)
		snprintf(a->error, sizeof(a->error), "its answer is no JSON: %.*s",
			 SPAN_FMT(span_first(said, 80)));
}

void
answers_ask(struct answers *out, const struct places *places, const char *target, bool acts,
	    uint64_t timeout_ms)
{
	*out = (struct answers){.at = mem_zalloc(places->n > 0 ? places->n : 1, sizeof(struct answer)),
				.n = places->n};
	for (size_t i = 0; i < places->n; i++) {
		out->at[i].place = &places->at[i];
		ask_one(&out->at[i], target, acts, timeout_ms);
		out->failed += out->at[i].error[0] != '\0';
	}
}

void
answers_fini(struct answers *a)
{
	for (size_t i = 0; i < a->n; i++) {
		buf_fini(&a->at[i].body);
		yaml_destroy(&a->at[i].tree);
	}
	free(a->at);
	*a = (struct answers){0};
}

void
answers_json(const struct answers *a, struct buf *out)
{
	struct json j;

	json_init(&j, out);
	json_object(&j);
	json_name(&j, "places");
	json_array(&j);
	for (size_t i = 0; i < a->n; i++) {
		const struct answer *one = &a->at[i];

		json_object(&j);
		json_kv_str(&j, "program", one->place->is_router ? "squeal-router" : "squeal");
		json_kv_str(&j, "cluster", one->place->cluster);
		json_kv_str(&j, "address", one->place->address);
		json_kv_str(&j, "error", one->error[0] != '\0' ? one->error : NULL);
		json_name(&j, "answer");
		if (one->tree != NULL)
			buf_put_span(out, span_trim(buf_span(&one->body)));
		else
			json_null(&j);
		j.comma = true;
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
	buf_putc(out, '\n');
}

/* --- one answer's tree ------------------------------------------------------------------------------------
 */

const struct yaml_node *
answer_at(const struct yaml_node *from, const char *path)
{
	char name[64];

	while (from != NULL && *path != '\0') {
		size_t n = strcspn(path, ".");

		if (from->kind != YAML_MAP || n >= sizeof(name))
			return NULL;
		memcpy(name, path, n);
		name[n] = '\0';
		from = yaml_get(from, name);
		path += n + (path[n] == '.');
	}
	return from != NULL && !yaml_is_nothing(from) ? from : NULL;
}

struct span
answer_text(const struct yaml_node *from, const char *path)
{
	const struct yaml_node *v = answer_at(from, path);

	return v != NULL && v->kind == YAML_TEXT ? v->text : (struct span){"", 0};
}

uint64_t
answer_number(const struct yaml_node *from, const char *path, uint64_t otherwise)
{
	uint64_t number;

	return span_u64(answer_text(from, path), &number) ? number : otherwise;
}

bool
answer_true(const struct yaml_node *from, const char *path)
{
	return span_is(answer_text(from, path), "true");
}
