#include "lib/ask/place.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/buf.h"
#include "lib/core/mem.h"
#include "lib/net/address.h"

/* What a client dials for an address that a server binds. */
static err_t
dial_address(const char *bound, char **out, struct err_detail *why)
{
	struct buf text = BUF_INIT;
	struct address a;
	err_t err = address_parse(&a, span_of(bound), why);

	if (err != ERR_OK)
		return err;
	if (a.port == 0 && a.path[0] == '\0')
		return err_set(why, ERR_CONFIG,
			       "the admin port \"%s\" is any free one; name the real one with --admin",
			       bound);
	if (address_is_wildcard(&a))
		buf_printf(&text, "%s:%u", strchr(a.host, ':') != NULL ? "[::1]" : "127.0.0.1", a.port);
	else
		buf_put_str(&text, bound);
	*out = span_dup(buf_span(&text));
	buf_fini(&text);
	return ERR_OK;
}

static err_t
add(struct places *p, bool is_router, const char *cluster, const char *admin, struct err_detail *why)
{
	struct place *to = &p->at[p->n++];

	*to = (struct place){.is_router = is_router};
	if (cluster != NULL)
		to->cluster = mem_strdup(cluster);
	return admin[0] != '\0' ? dial_address(admin, &to->address, why) : ERR_OK;
}

err_t
places_find(struct places *out, const struct topology *t, const struct place_choice *choice,
	    struct err_detail *why)
{
	size_t max = choice->nadmin + (t != NULL ? t->nclusters : 0) + 1;
	bool any = choice->cluster == NULL;
	err_t err = ERR_OK;

	*out = (struct places){.at = mem_zalloc(max, sizeof(struct place))};
	for (size_t i = 0; i < choice->nadmin && err == ERR_OK; i++)
		err = add(out, true, NULL, choice->admin[i], why);
	if (choice->nadmin > 0 || t == NULL)
		goto done;
	if (choice->with_squeal && choice->cluster == NULL)
		err = add(out, false, NULL, t->squeal.admin, why);
	for (size_t i = 0; i < t->nclusters && err == ERR_OK; i++) {
		const struct cluster_options *c = &t->clusters[i].opt;

		if (choice->cluster != NULL && strcmp(choice->cluster, c->name) != 0)
			continue;
		any = true;
		err = add(out, true, c->name, c->admin, why);
	}
	if (err == ERR_OK && !any)
		err = err_set(why, ERR_CONFIG, "there is no cluster \"%s\" in squeal.yaml", choice->cluster);
done:
	if (err != ERR_OK)
		places_fini(out);
	return err;
}

void
places_fini(struct places *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->at[i].cluster);
		free(p->at[i].address);
	}
	free(p->at);
	*p = (struct places){0};
}
