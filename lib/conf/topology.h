/*
 * topology - squeal.yaml: what there is, where it runs, and how it is set.
 *
 * One file describes the source, the log, the clusters and the settings of every program.  Each program reads
 * all of it, so that a mistake anywhere is found by whoever is started first, and uses its part.  The tables
 * below are the only place where a setting's name, type, default, range, unit and help exist.
 *
 * Unknown keys are errors with line, column and a suggestion.  A server is "host:port", "/path/of/a/socket"
 * or a mapping; a socket has port 0, as in libmemcached, whose hash of it is that of "/path:0".
 *
 * Threads: the one that loads it; afterwards any may read.   Blocks: on reading the file.
 */
#ifndef SQUEAL_LIB_CONF_TOPOLOGY_H
#define SQUEAL_LIB_CONF_TOPOLOGY_H

#include "lib/conf/algorithm.h"
#include "lib/core/err.h"
#include "lib/core/option.h"

/* clang-format off */
/*      name             type      default        min max          unit      reload help */
#define REGION_OPTIONS(OPT)                                                                                        \
	OPT(region,          STR,      "default",     0, 0,           "",       NO,  "name of this region")

#define LOG_OPTIONS(OPT)                                                                                           \
	OPT(type,            CHOICE,   "sqlite",      0, 0,           "sqlite|kafka", NO, "kind of log: sqlite, a file on this machine; kafka, a topic") \
	OPT(path,            STR,      "",            0, 0,           "",       NO,  "sqlite: file of the log; required") \
	OPT(retention,       DURATION, "24h",         60, 31536000,   "s",      YES, "records older than this are trimmed") \
	OPT(max_size,        SIZE,     "10GiB",       1048576, 1ull << 50, "bytes", YES, "records beyond this size are trimmed, oldest first") \
	OPT(sync,            CHOICE,   "full",        0, 0,           "full|normal", NO, "sqlite: full: an acknowledged record survives power loss; normal: it survives a killed process") \
	OPT(brokers,         STR,      "",            0, 0,           "",       NO,  "kafka: where to find the cluster, as in kafka1:9092,kafka2:9092; required") \
	OPT(topic,           STR,      "squeal",      0, 0,           "",       NO,  "kafka: the topic; every source has one of its partitions, by the hash of its name") \
	OPT(partitions,      UINT,     "1",           1, 1000,        "",       NO,  "kafka: partitions of the topic where squeal creates it; one for each source is enough") \
	OPT(replication,     UINT,     "3",           1, 32,          "",       NO,  "kafka: copies of the topic where squeal creates it; min.insync.replicas is one less") \
	OPT(create,          BOOL,     "false",       0, 0,           "",       NO,  "kafka: squeal creates a topic that is not there") \
	OPT(state,           STR,      "",            0, 0,           "",       NO,  "kafka: file of what squeal itself must know after a restart: checkpoint, XA; required by squeal; lost, it is made again from the topic") \
	OPT(properties,      MAP,      "",            0, 0,           "",       NO,  "kafka: any setting of librdkafka, as in {security.protocol: ssl, compression.type: zstd}") \
	OPT(timeout,         DURATION, "30s",         1000, 600000,   "ms",     NO,  "kafka: a record that no broker has taken for this long is handed over anew")

#define SOURCE_OPTIONS(OPT)                                                                                        \
	OPT(name,            STR,      "main",        0, 0,           "",       NO,  "name of this source in records, metrics and checkpoints") \
	OPT(host,            STR,      "127.0.0.1",   0, 0,           "",       NO,  "host of the database")       \
	OPT(port,            UINT,     "3306",        1, 65535,       "",       NO,  "port of the database")       \
	OPT(socket,          STR,      "",            0, 0,           "",       NO,  "unix socket of the database; used instead of host and port") \
	OPT(endpoints,       STR,      "",            0, 0,           "",       NO,  "servers with the same data, as in db1:3306, db2, /path/of/a/socket; used instead of host and socket, the first that has our position (docs/operations.md)") \
	OPT(user,            STR,      "squeal",      0, 0,           "",       NO,  "account with REPLICATION SLAVE and BINLOG MONITOR (MySQL: REPLICATION CLIENT)") \
	OPT(password_file,   STR,      "",            0, 0,           "",       NO,  "file whose first line is the password; readable by its owner only") \
	OPT(tls,             CHOICE,   "preferred",   0, 0,           "off|preferred|required|verify", NO, "preferred: TLS where the server offers it; required: or no connection; verify: and its certificate must be right") \
	OPT(tls_ca,          STR,      "",            0, 0,           "",       NO,  "file with the certificates that tls: verify trusts") \
	OPT(tls_cert,        STR,      "",            0, 0,           "",       NO,  "file with our certificate")  \
	OPT(tls_key,         STR,      "",            0, 0,           "",       NO,  "file with our certificate's key") \
	OPT(server_id,       UINT,     "0",           0, 4294967295,  "",       NO,  "replica id, unique among all replicas of the source; 0 derives one from region and source name") \
	OPT(start,           STR,      "checkpoint",  0, 0,           "",       NO,  "checkpoint (the very first time: now), now, earliest, gtid:0-1-100, gtid:UUID:1-100 or file:NAME:POSITION") \
	OPT(connect_timeout, DURATION, "5s",          100, 600000,    "ms",     NO,  "give up connecting after this long") \
	OPT(heartbeat,       DURATION, "1s",          100, 600000,    "ms",     NO,  "the source speaks at least this often") \
	OPT(dead_after,      DURATION, "5s",          1000, 3600000,  "ms",     NO,  "a link silent for this long is dead; at least three heartbeats") \
	OPT(first_event,     DURATION, "5m",          1000, 86400000, "ms",     NO,  "patience for the first event: the source may search old files for the position") \
	OPT(backoff_max,     DURATION, "5s",          100, 600000,    "ms",     NO,  "longest pause between two tries to connect") \
	OPT(endpoint_check,  DURATION, "10s",         0, 3600000,     "ms",     NO,  "with several endpoints: how often to ask whether another one that takes writes is ahead of the one that is read, which is then left; 0: never") \
	OPT(gap_patience,    DURATION, "60s",         0, 86400000,    "ms",     NO,  "when no server has our position, but one may still get it: try for this long before reading ends") \
	OPT(max_event,       SIZE,     "1GiB",        1048576, 1ull << 30, "bytes", NO, "largest event taken from the source") \
	OPT(visibility,      CHOICE,   "gate",        0, 0,           "gate|off", NO, "gate: a key is released only when the source shows its commit to readers; off: as soon as it is in the binlog") \
	OPT(visibility_patience, DURATION, "30s",     100, 3600000,   "ms",     NO,  "a source that cannot say within this time that a commit is visible is not waited for any longer; counted and logged")

#define MARKERS_OPTIONS(OPT)                                                                                       \
	OPT(tag,             STR,      "inv",         0, 0,           "",       NO,  "name of the comment field that holds keys") \
	OPT(anywhere,        BOOL,     "false",       0, 0,           "",       NO,  "take comments inside a statement too; false: only at its start and end") \
	OPT(rules,           STR,      "",            0, 0,           "",       YES, "file of the rules that make keys of row changes (docs/rules.md); empty: none; read again at SIGHUP") \
	OPT(rules_only,      BOOL,     "false",       0, 0,           "",       NO,  "keys come from rules alone, never from comments; then the source need not write the texts of row changes")

#define SQUEAL_OPTIONS(OPT)                                                                                        \
	OPT(admin,           STR,      "127.0.0.1:9401", 0, 0,        "",       NO,  "address of /metrics /healthz /readyz /status; empty for none") \
	OPT(log_level,       CHOICE,   "info",        0, 0,           "debug|info|notice|warn|error|crit", YES, "least level that is logged") \
	OPT(batch_keys,      UINT,     "1000",        1, 100000,      "keys",   YES, "a log record holds at most this many keys") \
	OPT(batch_bytes,     SIZE,     "256KiB",      1024, 16777216, "bytes",  YES, "a log record holds at most about this many bytes") \
	OPT(linger,          DURATION, "0ms",         0, 1000,        "ms",     YES, "wait this long for more keys before a record is written") \
	OPT(queue_bytes,     SIZE,     "8MiB",        65536, 1ull << 32, "bytes", NO, "transactions read but not yet in the log; beyond it reading pauses") \
	OPT(txn_memory,      SIZE,     "8MiB",        65536, 1ull << 32, "bytes", NO, "keys of one open transaction kept in memory; more spill to disk") \
	OPT(spill_dir,       STR,      "",            0, 0,           "",       NO,  "folder of the spill files; empty: beside the log") \
	OPT(on_gap,          CHOICE,   "stay",        0, 0,           "stay|exit", NO, "in state GAP (docs/operations.md): stay, not ready, until an operator comes; exit: leave with the exit code of the reason") \
	OPT(unready_after,   DURATION, "10s",         1000, 3600000,  "ms",     YES, "/readyz fails when nothing was heard from the source for this long")

#define ROUTER_OPTIONS(OPT)                                                                                        \
	OPT(log_level,       CHOICE,   "info",        0, 0,           "debug|info|notice|warn|error|crit", YES, "least level that is logged") \
	OPT(window_keys,     UINT,     "500",         1, 100000,      "keys",   YES, "deletes per acknowledged window") \
	OPT(windows,         UINT,     "4",           1, 64,          "",       YES, "windows in flight per server") \
	OPT(queue_bytes,     SIZE,     "1MiB",        65536, 1ull << 30, "bytes", YES, "deletes waiting for one server; beyond it the server is served from the log later") \
	OPT(connect_timeout, DURATION, "1s",          10, 600000,     "ms",     YES, "give up connecting to a server after this long") \
	OPT(ack_timeout,     DURATION, "1s",          10, 600000,     "ms",     YES, "a server that leaves a window unacknowledged for this long is away") \
	OPT(backoff_max,     DURATION, "1s",          10, 600000,     "ms",     YES, "longest pause between two tries to reach a server") \
	OPT(cursor_interval, DURATION, "200ms",       10, 60000,      "ms",     YES, "cursors are written this often; what is delivered again after a crash") \
	OPT(catch_up_rate,   UINT,     "0",           0, 100000000,   "keys/s", YES, "deletes per second, at most, for a server that is behind, over all partitions of the log that the router has; 0: as fast as it takes them") \
	OPT(sample_hits,     UINT,     "100",         0, 1000000,     "",       YES, "one window in so many asks the server whether it had the keys: how many deletes were for nothing; 0: none") \
	OPT(trace_memory,    SIZE,     "4MiB",        0, 1ull << 30,  "bytes",  NO,  "the last deletes, for squealctl trace; 0: none are kept") \
	OPT(trace_prefix,    STR,      "",            0, 0,           "",       NO,  "acknowledged deletes of keys that start with this are written to trace_file") \
	OPT(trace_file,      STR,      "",            0, 0,           "",       NO,  "file of trace lines: microseconds since 1970, server, log offset, key")

/* The words of `hash`, of every algorithm; lib/conf/algorithm.h says what goes with each `distribution`. */
#define KEY_HASHES                                                                                                 \
	"default|md5|crc|fnv1_64|fnv1a_64|fnv1_32|fnv1a_32|hsieh|murmur|jenkins|murmur3|one_at_a_time|crc16|crc32|crc32a|" \
	"xxh64|murmur64a|crc64|str|bytes|java|ketama"

#define CLUSTER_OPTIONS(OPT)                                                                                       \
	OPT(name,            STR,      "",            0, 0,           "",       NO,  "name of the cluster; required") \
	OPT(admin,           STR,      "127.0.0.1:9402", 0, 0,        "",       NO,  "address of this cluster's router for /metrics /healthz /readyz /status; empty for none") \
	OPT(cursors,         STR,      "",            0, 0,           "",       NO,  "file of the delivery cursors and of what else the router must know after a restart; empty: beside the log; with Kafka the cursors are its committed offsets") \
	OPT(mode,            CHOICE,   "warm",        0, 0,           "warm|cold", YES, "cold: the cluster is being filled from another one, so every delete holds fills off for cold_holdoff; squealctl mode switches it until this setting is changed") \
	OPT(cold_holdoff,    DURATION, "2s",          1, 60000,       "ms",     YES, "hold-off of the deletes of a cold cluster") \
	OPT(distribution,    CHOICE,   "ketama",      0, 0,           ALGORITHM_CHOICES, YES, "how clients spread keys over servers (docs/routing.md)") \
	OPT(hash,            CHOICE,   "default",     0, 0,           KEY_HASHES, YES, "hash of the clients, in the words of their program; which there are depends on the distribution (docs/routing.md)") \
	OPT(hash_tag,        STR,      "",            0, 0,           "",       YES, "twemproxy: two characters, as in \"{}\": where both are in a key, only what is between them is hashed") \
	OPT(salt,            STR,      "",            0, 0,           "",       YES, "mcrouter: text that is hashed behind every key") \
	OPT(hash_stop,       CHOICE,   "auto",        0, 0,           "auto|on|off", YES, "on: only what stands before |#| in a key is hashed; auto: with mcrouter's distributions") \
	OPT(namespace,       STR,      "",            0, 0,           "",       YES, "prefix that clients put before every key, and that is not hashed") \
	OPT(mcrouter_prefix, STR,      "",            0, 0,           "",       YES, "/region/cluster/ of this cluster in mcrouter's keys: it is taken off before sending, and keys of other regions and clusters are not delivered here; empty: a key that begins with / is one like any other") \
	OPT(tls,             CHOICE,   "off",         0, 0,           "off|on|verify", NO, "TLS to the servers; verify: and their certificates must be right") \
	OPT(tls_ca,          STR,      "",            0, 0,           "",       NO,  "file with the certificates that tls: verify trusts; empty: the system's") \
	OPT(tls_cert,        STR,      "",            0, 0,           "",       NO,  "file with our certificate for the servers") \
	OPT(tls_key,         STR,      "",            0, 0,           "",       NO,  "file with our certificate's key") \
	OPT(auth_file,       STR,      "",            0, 0,           "",       NO,  "file whose first line is user:password for the servers (memcached -Y); readable by its owner only")

/* What is left out is the cluster's. */
#define POOL_OPTIONS(OPT)                                                                                          \
	OPT(name,            STR,      "",            0, 0,           "",       NO,  "name of the pool; required; keys can ask for it (inv_p)") \
	OPT(prefixes,        LIST,     "",            0, 0,           "",       YES, "keys that begin so belong to this pool, the longest prefix wins; none: all that no other pool takes") \
	OPT(kind,            CHOICE,   "sharded",     0, 0,           "sharded|replicated", YES, "sharded: a key is on one of the servers; replicated: on all") \
	OPT(role,            CHOICE,   "main",        0, 0,           "main|gutter|shadow|regional", YES, "main: the servers of the keys; gutter, shadow: they also get the deletes of the pools that they stand for, and a shadow never counts for readiness; regional: main, but several clusters name it") \
	OPT(stands_for,      LIST,     "",            0, 0,           "",       YES, "gutter and shadow: the pools whose deletes they get; none: every main and regional pool") \
	OPT(action,          CHOICE,   "delete",      0, 0,           "delete|stale|holdoff", YES, "delete; stale: the value stays for stale_for and is marked (only where every client reads with mg); holdoff: delete, and no fill for holdoff (squeal-cache)") \
	OPT(holdoff,         DURATION, "2s",          1, 3600000,     "ms",     YES, "hold-off of action: holdoff; a longer one of the transaction counts") \
	OPT(stale_for,       DURATION, "30s",         1000, 86400000, "ms",     YES, "action: stale: how long a stale value may be served; whole seconds") \
	OPT(distribution,    CHOICE,   "",            0, 0,           ALGORITHM_CHOICES, YES, "as in the cluster") \
	OPT(hash,            CHOICE,   "",            0, 0,           KEY_HASHES, YES, "as in the cluster")     \
	OPT(hash_tag,        STR,      "",            0, 0,           "",       YES, "as in the cluster")         \
	OPT(salt,            STR,      "",            0, 0,           "",       YES, "as in the cluster")         \
	OPT(hash_stop,       CHOICE,   "",            0, 0,           "auto|on|off", YES, "as in the cluster")    \
	OPT(namespace,       STR,      "",            0, 0,           "",       YES, "as in the cluster")         \
	OPT(tls,             CHOICE,   "",            0, 0,           "off|on|verify", NO, "as in the cluster")   \
	OPT(tls_ca,          STR,      "",            0, 0,           "",       NO,  "as in the cluster")         \
	OPT(tls_cert,        STR,      "",            0, 0,           "",       NO,  "as in the cluster")         \
	OPT(tls_key,         STR,      "",            0, 0,           "",       NO,  "as in the cluster")         \
	OPT(auth_file,       STR,      "",            0, 0,           "",       NO,  "as in the cluster")

#define SERVER_OPTIONS(OPT)                                                                                        \
	OPT(host,            STR,      "",            0, 0,           "",       YES, "host exactly as clients write it, or /path/of/a/socket: it is part of the hash") \
	OPT(port,            UINT,     "11211",       1, 65535,       "",       YES, "port")                       \
	OPT(weight,          DECIMAL,  "1",           0, 10000,       "",       YES, "weight as clients set it: whole numbers for libmemcached and twemproxy, 0 to 1 for wch3 and weighted_rendezvous") \
	OPT(name,            STR,      "",            0, 0,           "",       YES, "what is hashed instead of host:port: twemproxy's name behind the weight, mcrouter's tag of rendezvous") \
	OPT(connect,         STR,      "",            0, 0,           "",       YES, "host:port or /path/of/a/socket to connect to where that is not the name that is hashed")

#define LIMIT_OPTIONS(OPT)                                                                                         \
	OPT(prefix,          STR,      "",            0, 0,           "",       YES, "keys that begin so, the longest prefix wins; required") \
	OPT(rate,            UINT,     "1000",          1, 100000000,   "keys/s", YES, "deletes of these keys per second and server, at most; of each partition of the log; required")
/* clang-format on */

struct region_options {
	OPTION_FIELDS(REGION_OPTIONS)
};
struct log_options {
	OPTION_FIELDS(LOG_OPTIONS)
};
struct source_options {
	OPTION_FIELDS(SOURCE_OPTIONS)
};
struct markers_options {
	OPTION_FIELDS(MARKERS_OPTIONS)
};
struct squeal_options {
	OPTION_FIELDS(SQUEAL_OPTIONS)
};
struct router_options {
	OPTION_FIELDS(ROUTER_OPTIONS)
};
struct server_options {
	OPTION_FIELDS(SERVER_OPTIONS)
};
struct cluster_options {
	OPTION_FIELDS(CLUSTER_OPTIONS)
};

struct pool_options {
	OPTION_FIELDS(POOL_OPTIONS)
};
struct limit_options {
	OPTION_FIELDS(LIMIT_OPTIONS)
};

struct pool {
	struct pool_options opt;	/* what the file left out is the cluster's */
	struct server_options *servers; /* in the file's order, which some distributions depend on */
	size_t nservers;
};

struct cluster {
	struct cluster_options opt;
	struct pool *pools; /* `servers` of the cluster is the first, named "default" */
	size_t npools;
	struct limit_options *limits;
	size_t nlimits;
	/* The servers of all pools, each once by host and port, in the pools' order; texts belong to the
	 * pools. */
	struct server_options *servers;
	size_t nservers;
};

struct topology {
	struct region_options region;
	struct log_options log;
	struct source_options source;
	struct markers_options markers;
	struct squeal_options squeal;
	struct router_options router;
	struct cluster *clusters;
	size_t nclusters;
};

/*
 * Reads and checks the whole file.  On error *out is NULL and *why reads
 * "squeal.yaml:12:3: unknown key "pasword_file" in source; did you mean "password_file"?".
 * Values are checked against each other too (dead_after >= 3 heartbeats, names unique, servers present), and
 * relative paths are made to begin at the file's folder.  The caller destroys it.
 */
err_t topology_load(struct topology **out, const char *path, struct err_detail *why) MUST_CHECK;

/* The same from text; `name` stands in messages, and relative paths are left as they are. */
err_t topology_parse(struct topology **out, struct span yaml, const char *name,
		     struct err_detail *why) MUST_CHECK;

void topology_destroy(struct topology **t);

/* NULL when there is none of that name. */
const struct cluster *topology_cluster(const struct topology *t, const char *name);

/* Where to connect to: `connect`, or what `host` and `port` say: "10.0.0.1:11211", "[::1]:11211", "/path". */
void topology_server_address(const struct server_options *s, struct buf *out);

/*
 * Takes the reloadable settings of `fresh` into `t`.  Each change is reported once: taken, or needing a
 * restart.  Clusters that came or went need one (section "clusters" and the name).  Of a cluster that stayed,
 * pools, servers and limits are taken: section "clusters[NAME]" and the setting, "limits" or "pools" (some
 * came or went), or section "clusters[NAME].pools[POOL]" and the setting or "servers".  &t->clusters[i] stays
 * where it is; its pools, servers and limits do not.  Texts are valid during the call.  Other threads must
 * not read `t` meanwhile.
 */
typedef void topology_change_fn(void *arg, const char *section, const char *name, bool taken);
void topology_reload(struct topology *t, const struct topology *fresh, topology_change_fn *fn, void *arg);

/*
 * What decides which server has a key, of one cluster, as a squeal.yaml with this cluster alone: two clusters
 * with the same text route alike.  `reach`: with what it takes to reach the servers.  topology_parse() reads
 * it.
 */
void topology_ring_text(const struct cluster *c, bool reach, struct buf *out);

/* Where the cluster's cursors are: what squeal.yaml says, or a file beside the log. */
void topology_cursor_path(const struct topology *t, const struct cluster *c, struct buf *out);

/* The sections in the file's order, for --help, samples and docs. */
enum {
	TOPOLOGY_TOP, /* values at the top level */
	TOPOLOGY_LOG,
	TOPOLOGY_SOURCE,
	TOPOLOGY_MARKERS,
	TOPOLOGY_SQUEAL,
	TOPOLOGY_ROUTER,
	TOPOLOGY_CLUSTER,
	TOPOLOGY_POOL,
	TOPOLOGY_SERVER,
	TOPOLOGY_LIMIT,
	TOPOLOGY_NSECTIONS,
};
const struct option_section *topology_sections(size_t *n);

/* A complete commented squeal.yaml made from the tables. */
void topology_sample(struct buf *out);

/* A JSON Schema (draft 7) of squeal.yaml for editors; schemas/squeal.yaml.schema.json is this text. */
void topology_json_schema(struct buf *out);

#endif
