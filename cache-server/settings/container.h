/*
 * container - the stores of one squeal-cache process and how each is set.
 *
 * memcached's flags make one container, "default".  More come from repeated flags
 *
 *     --container name=markers,port=11213,memory=64MiB,policy=marker
 *
 * (inside a value of `listen`, entries are separated by ";") or, all of them, from a YAML file (--config):
 *
 *     containers:
 *       - name: default
 *         port: 11211
 *         memory: 1GiB
 *       - name: markers
 *         port: 11213
 *         policy: marker
 *
 * The table is the only place where a setting's name, type, default, range and help exist; the struct, both
 * parsers, the sample file, the JSON Schema (schemas/cache.yaml.schema.json) and the man page come from it.
 *
 * Threads: the one that loads them; afterwards any may read.   Blocks: container_list_load() on the file.
 */
#ifndef SQUEAL_CACHE_SERVER_SETTINGS_CONTAINER_H
#define SQUEAL_CACHE_SERVER_SETTINGS_CONTAINER_H

#include "cache-server/settings/listen.h"
#include "lib/conf/yaml.h"
#include "lib/core/err.h"
#include "lib/core/option.h"

enum {
	CONTAINER_MAX = 64,
	CONTAINER_NAME_MAX = 32,
	CONTAINER_SOCKET_MAX = 107, /* sun_path */
	CONTAINER_FILE_MAX = 64 << 10,
};

/* clang-format off */
/*      name           type      default     min      max          unit                  reload help */
#define CONTAINER_OPTIONS(OPT)                                                                                         \
	OPT(name,          STR,      "",         0,       0,           "",                   NO, "name in statistics and messages: letters, digits, _ - and ., at most 32; required") \
	OPT(port,          UINT,     "0",        0,       65535,       "",                   NO, "TCP port; 0: none") \
	OPT(udp_port,      UINT,     "0",        0,       65535,       "",                   NO, "UDP port; 0: none") \
	OPT(listen,        STR,      "",         0,       0,           "",                   NO, "addresses as -l has them; empty: those of -l") \
	OPT(socket,        STR,      "",         0,       0,           "",                   NO, "unix socket; empty: none") \
	OPT(memory,        SIZE,     "64MiB",    1048576, 1ull << 46,  "bytes",              NO, "memory for items") \
	OPT(policy,        CHOICE,   "evict",    0,       0,           "evict|store|marker", NO, "when memory is full: evict removes items that are used least, store refuses new ones, marker refuses too and holds markers only") \
	OPT(persist,       STR,      "",         0,       0,           "",                   NO, "file of the memory, which is warm after a restart; empty: none") \
	OPT(max_ttl,       DURATION, "0s",       0,       315360000,   "s",                  NO, "an item lives for this long at most; 0s: as long as it says") \
	OPT(stale_ttl,     DURATION, "0s",       0,       2592000,     "s",                  NO, "a deleted value is kept for this long and handed out as stale only; 0s: not kept") \
	OPT(lease_seconds, DURATION, "10s",      1,       3600,        "s",                  NO, "one lease token per key in this time") \
	OPT(guard_memory,  SIZE,     "0",        0,       1ull << 40,  "bytes",              NO, "memory for leases, hold-offs, deletes and markers, beside that of the items; when it is full more is refused, never less; 0: 1/64 of memory, at least 1MiB")
/* clang-format on */

struct container_options {
	OPTION_FIELDS(CONTAINER_OPTIONS)
};

enum container_policy { CONTAINER_EVICT, CONTAINER_STORE, CONTAINER_MARKER };

struct container_settings {
	struct container_options opt; /* what was written; strings are never NULL */
	enum container_policy policy; /* opt.policy */
	bool any_port;		      /* -p -1: any free TCP port */
	bool any_udp_port;	      /* -U -1 */
	bool no_address;	      /* -p 0 and nothing else: nobody can connect, and that is allowed */
	struct listen_list tcp;	      /* where it listens; made by settings_parse() */
	struct listen_list udp;	      /* the same hosts with opt.udp_port */
	struct yaml_place at;	      /* where it was declared, for messages; line 0: on the command line */
};

struct container_list {
	struct container_settings *at;
	size_t n; /* at least 1 after settings_parse() */
};

/* The table as text needs it. */
const struct option_section *container_section(void);

/* Adds one with the table's defaults; the pointer is valid until the next one is added. */
struct container_settings *container_list_add(struct container_list *l);

/* Adds the container of one --container flag ("name=a,port=1,…").  ERR_USAGE with a sentence. */
err_t container_list_flag(struct container_list *l, struct span text, struct err_detail *why) MUST_CHECK;

/* Adds those of a YAML text; `name` stands in messages.  ERR_CONFIG "FILE:LINE:COLUMN: …"; on error nothing
 * was added. */
err_t container_list_yaml(struct container_list *l, struct span text, const char *name,
			  struct err_detail *why) MUST_CHECK;

/* The same from a file; relative paths in it begin at its folder. */
err_t container_list_load(struct container_list *l, const char *path, struct err_detail *why) MUST_CHECK;

/* Names, ports, sockets and files are there once; each has a name, and a port or a socket.  `file` is where
 * those with a line are from, for messages; NULL: no file. */
err_t container_list_check(const struct container_list *l, const char *file,
			   struct err_detail *why) MUST_CHECK;

/* The index of the name, or -1. */
ptrdiff_t container_list_find(const struct container_list *l, struct span name);

/* Frees the strings; the list can be used again. */
void container_list_fini(struct container_list *l);

/* A commented file, and its JSON Schema. */
void container_sample(struct buf *out);
void container_json_schema(struct buf *out);

#endif
