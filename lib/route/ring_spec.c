#include "lib/route/ring_spec.h"

#include <math.h>
#include <string.h>

enum {
	NAME_MAX_BYTES = 255, /* twemproxy cuts what is longer */
	TEXT_MAX_BYTES = 512, /* a salt, a prefix */
};

struct ring_spec
ring_spec_of_cluster(const struct cluster *cluster)
{
	const struct algorithm *a = algorithm_find(cluster->opt.distribution);

	return (struct ring_spec){
	    .algorithm = cluster->opt.distribution,
	    /* What an algorithm without a choice is told is the setting's default. */
	    .hash = a != NULL && a->hashes[0] == '\0' ? "default" : cluster->opt.hash,
	    .prefix = a != NULL && algorithm_takes(a, 'P') ? cluster->opt.namespace : NULL,
	    .servers = cluster->servers,
	    .nservers = cluster->nservers,
	};
}

double
ring_spec_weight(const struct ring_spec *spec, size_t i)
{
	return spec->weights != NULL ? spec->weights[i] : (double)spec->servers[i].weight;
}

const char *
ring_spec_name(const struct ring_spec *spec, size_t i)
{
	const char *name = spec->names != NULL ? spec->names[i] : NULL;

	return name != NULL && name[0] != '\0' ? name : NULL;
}

static err_t
check_weights(const struct algorithm *a, const struct ring_spec *spec, struct err_detail *why)
{
	double total = 0;

	for (size_t i = 0; i < spec->nservers; i++) {
		double w = ring_spec_weight(spec, i);
		bool ok = a->weight == ALGORITHM_WEIGHT_FRACTION ? w >= 0 && w <= 1
								 : w >= 1 && w <= UINT32_MAX && w == floor(w);

		total += w;
		if (a->weight == ALGORITHM_WEIGHT_NONE && w != 1)
			return err_set(
			    why, ERR_CONFIG,
			    "server %zu has weight %g, but weights mean nothing to %s; leave it out", i, w,
			    a->name);
		if (a->weight != ALGORITHM_WEIGHT_NONE && !ok)
			return err_set(
			    why, ERR_CONFIG, "server %zu has weight %g, but %s wants %s", i, w, a->name,
			    a->weight == ALGORITHM_WEIGHT_FRACTION ? "0 to 1" : "a whole number from 1 on");
	}
	if (a->weight == ALGORITHM_WEIGHT_WHOLE && total > UINT32_MAX)
		return err_set(why, ERR_CONFIG, "the weights come to more than %u; make all of them smaller",
			       UINT32_MAX);
	return ERR_OK;
}

err_t
ring_spec_check(const struct ring_spec *spec, const struct algorithm *a, struct err_detail *why)
{
	const char *hash = spec->hash != NULL ? spec->hash : "";

	if (spec->nservers == 0 || spec->nservers > RING_SERVERS_MAX)
		return err_set(why, ERR_CONFIG, "there are %zu servers; list 1 to %d under servers",
			       spec->nservers, RING_SERVERS_MAX);
	if (!algorithm_has_hash(a, hash))
		return err_set(why, ERR_CONFIG, "%s has no hash \"%s\"; it has %s", a->name, hash,
			       a->hashes[0] != '\0' ? a->hashes : "only one and no choice");
	if (spec->hash_tag != NULL && spec->hash_tag[0] != '\0' &&
	    (!algorithm_takes(a, 'T') || strlen(spec->hash_tag) != 2))
		return err_set(why, ERR_CONFIG,
			       algorithm_takes(a, 'T') ? "the hash tag of %s is two characters, as in \"{}\""
						       : "%s has no hash tag; leave it out",
			       a->name);
	if (spec->salt != NULL && spec->salt[0] != '\0' &&
	    (!algorithm_takes(a, 'S') || strlen(spec->salt) > TEXT_MAX_BYTES))
		return err_set(why, ERR_CONFIG,
			       algorithm_takes(a, 'S') ? "the salt of %s is too long"
						       : "%s has no salt; leave it out",
			       a->name);
	if (spec->prefix != NULL && spec->prefix[0] != '\0' &&
	    (!algorithm_takes(a, 'P') || strlen(spec->prefix) > TEXT_MAX_BYTES))
		return err_set(why, ERR_CONFIG,
			       algorithm_takes(a, 'P') ? "the namespace of %s is too long"
						       : "%s does not hash a namespace; leave it out",
			       a->name);
	for (size_t i = 0; i < spec->nservers; i++) {
		const char *name = ring_spec_name(spec, i);

		if (name != NULL && !algorithm_takes(a, 'N'))
			return err_set(
			    why, ERR_CONFIG,
			    "server %zu is named \"%.80s\", but names mean nothing to %s; leave it out", i,
			    name, a->name);
		if (name != NULL && strlen(name) > NAME_MAX_BYTES)
			return err_set(why, ERR_CONFIG, "the name of server %zu has more than %d bytes", i,
				       NAME_MAX_BYTES);
	}
	return check_weights(a, spec, why);
}
