/*
 * settings - the command line of squeal-cache: memcached 1.6.45's own (memcached.c), and what is new.
 *
 * One row per item in the tables below; the struct, the parser, --help, `stats settings` (settings_stats())
 * and the man page (docs/man/squeal-cache.1) come from the rows.  A row has a letter (0: none), a long name,
 * and a name inside -o ("NULL": none); all the names that it has mean the same.
 *
 * Flags that memcached knows and that are about its storage engine are taken, kept for `stats settings`,
 * named in a notice and have no effect; what neither knows is an error with a suggestion.  Where memcached
 * makes 0 of a number that is none, and forgets a word that is no flag, we refuse the first and name the
 * second in a notice.
 *
 * Differences that matter to operators: without -l only 127.0.0.1 and ::1 are bound, and an address that
 * others can reach is refused unless the clients of it must show who they are (-Z with certificates or not,
 * -Y) or
 * --allow-wildcard is there.
 *
 * Nothing here exits, prints, resolves names or looks at the user: main does, with what it is given.
 *
 * Threads: the one that parses; afterwards any may read, nobody writes.   Blocks: on reading the file of
 * --config.
 */
#ifndef SQUEAL_CACHE_SERVER_SETTINGS_SETTINGS_H
#define SQUEAL_CACHE_SERVER_SETTINGS_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "cache-server/settings/container.h"
#include "cache-server/settings/listen.h"
#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

/*
 * Kinds:
 *
 *     BOOL     bool      a flag; in -o "name" and "no_name"
 *     COUNT    uint64_t  a flag that counts how often it is there
 *     UINT     uint64_t  whole number
 *     OPTUINT  uint64_t  the same; in -o "name" alone means 1, "no_name" 0
 *     PORT     int64_t   whole number, or -1
 *     OCTAL    uint64_t  octal number
 *     MEGS     uint64_t  megabytes, or with k, m or g behind it; kept in bytes
 *     KILOS    uint64_t  kilobytes, the same way
 *     BYTES    uint64_t  bytes, the same way
 *     SECONDS  uint64_t  seconds, or with s, m, h or d behind it
 *     RATIO    double    decimal fraction; min and max are in hundredths
 *     TEXT     char *    text; never NULL
 *     CHAR     char      one byte
 *     PROTOCOL enum      ascii, binary or auto
 *     LIST     char *    text; given several times it is joined with ","
 *     EACH     -         taken each time (--container, -o)
 *     SHOW     -         print something and leave
 *     REFUSED  -         memcached has it, we do not: an error whose text is the help
 *
 * Use: ACTS; ENGINE: taken and without effect here, said in a notice; QUIET: acts, not in --help.
 */
/* clang-format off */
/*   field                letter long                 -o name               kind     argument  default        min      max         use     help */
#define SETTINGS_FLAGS(X)                                                                                                               \
	X(port,               'p', "port",                NULL,                 PORT,    "num",    "11211",       0,       65535,      ACTS,   "TCP port to listen on; 0: none; -1: any free one") \
	X(udp_port,           'U', "udp-port",            NULL,                 PORT,    "num",    "0",           0,       65535,      ACTS,   "UDP port to listen on; 0: none; -1: any free one; without -p it is the TCP port too") \
	X(unix_socket,        's', "unix-socket",         NULL,                 TEXT,    "file",   "",            0,       0,          ACTS,   "unix socket to listen on; disables TCP and UDP") \
	X(unix_mask,          'a', "unix-mask",           NULL,                 OCTAL,   "mask",   "700",         0,       07777,      ACTS,   "access mask of the unix socket, in octal") \
	X(shutdown_command,   'A', "enable-shutdown",     NULL,                 BOOL,    NULL,     "no",          0,       0,          ACTS,   "take the command \"shutdown\"") \
	X(listen,             'l', "listen",              NULL,                 LIST,    "addr",   "",            0,       0,          ACTS,   "addresses to listen on, separated by \",\"; may be repeated; the default is 127.0.0.1 and ::1; each is ADDRESS or ADDRESS:PORT, where * is every address, and before it may stand notls: btls: or mtls:, then proto[ascii]: proto[binary]: or proto[negotiating]:, then tag[NAME]:") \
	X(allow_wildcard,     0,   "allow-wildcard",      "allow_wildcard",     BOOL,    NULL,     "no",          0,       0,          ACTS,   "bind addresses that others can reach without TLS (-Z) and without passwords (-Y)") \
	X(daemonize,          'd', "daemon",              NULL,                 BOOL,    NULL,     "no",          0,       0,          ACTS,   "run as a daemon") \
	X(coredumps,          'r', "enable-coredumps",    NULL,                 BOOL,    NULL,     "no",          0,       0,          ACTS,   "maximize the core file limit") \
	X(user,               'u', "user",                NULL,                 TEXT,    "user",   "",            0,       0,          ACTS,   "become this user (only, and required, when started as root)") \
	X(memory,             'm', "memory-limit",        NULL,                 MEGS,    "num",    "64",          1,       1 << 26,    ACTS,   "item memory in megabytes") \
	X(disable_evictions,  'M', "disable-evictions",   NULL,                 BOOL,    NULL,     "no",          0,       0,          ACTS,   "return an error when memory is full instead of evicting items") \
	X(maxconns,           'c', "conn-limit",          NULL,                 UINT,    "num",    "1024",        1,       1 << 24,    ACTS,   "connections at the same time") \
	X(max_connections_per_ip, 0, "max-connections-per-ip", "max_connections_per_ip", UINT, "num", "0",         0,       1 << 24,    ACTS,   "connections at the same time from one address; 0: no limit") \
	X(lock_memory,        'k', "lock-memory",         NULL,                 BOOL,    NULL,     "no",          0,       0,          ACTS,   "lock down all paged memory") \
	X(verbose,            'v', "verbose",             NULL,                 COUNT,   NULL,     "0",           0,       0,          ACTS,   "print errors and warnings; -vv: client commands and replies too; -vvv: and internal state") \
	X(help,               'h', "help",                NULL,                 SHOW,    NULL,     NULL,          0,       0,          ACTS,   "print this help and leave") \
	X(license,            'i', "license",             NULL,                 SHOW,    NULL,     NULL,          0,       0,          ACTS,   "print the license and leave") \
	X(version,            'V', "version",             NULL,                 SHOW,    NULL,     NULL,          0,       0,          ACTS,   "print the version and leave") \
	X(pid_file,           'P', "pidfile",             NULL,                 TEXT,    "file",   "",            0,       0,          ACTS,   "write the process id to this file; only with -d") \
	X(growth_factor,      'f', "slab-growth-factor",  NULL,                 RATIO,   "num",    "1.25",        101,     100000,     ENGINE, "growth of memcached's slab classes") \
	X(chunk_size,         'n', "slab-min-size",       NULL,                 UINT,    "bytes",  "48",          1,       1 << 20,    ENGINE, "smallest slab class of memcached") \
	X(large_pages,        'L', "enable-largepages",   NULL,                 BOOL,    NULL,     "no",          0,       0,          ENGINE, "large memory pages") \
	X(prefix_delimiter,   'D', NULL,                  NULL,                 CHAR,    "char",   ":",           0,       0,          ACTS,   "what ends the prefix of a key in `stats detail`; turns that on") \
	X(threads,            't', "threads",             NULL,                 UINT,    "num",    "4",           1,       256,        ACTS,   "worker threads") \
	X(reqs_per_event,     'R', "max-reqs-per-event",  NULL,                 UINT,    "num",    "20",          1,       1 << 30,    ACTS,   "requests of one connection before others get their turn") \
	X(disable_cas,        'C', "disable-cas",         NULL,                 BOOL,    NULL,     "no",          0,       0,          ACTS,   "disable the use of CAS") \
	X(backlog,            'b', "listen-backlog",      NULL,                 UINT,    "num",    "1024",        1,       1 << 20,    ACTS,   "connections that may wait to be accepted") \
	X(protocol,           'B', "protocol",            NULL,                 PROTOCOL, "name",  "auto",        0,       0,          ACTS,   "ascii, binary or auto") \
	X(item_size_max,      'I', "max-item-size",       NULL,                 BYTES,   "num",    "1m",          1024,    1 << 30,    ACTS,   "largest item; k, m and g may stand behind the number") \
	X(sasl,               'S', "enable-sasl",         NULL,                 REFUSED, NULL,     NULL,          0,       0,          QUIET,  "squeal-cache has no SASL; use -Y FILE (ASCII protocol) or -Z with -o ssl_verify_mode=2") \
	X(disable_flush_all,  'F', "disable-flush-all",   NULL,                 BOOL,    NULL,     "no",          0,       0,          ACTS,   "disable flush_all") \
	X(disable_dumping,    'X', "disable-dumping",     NULL,                 BOOL,    NULL,     "no",          0,       0,          ACTS,   "disable stats cachedump, stats detail and lru_crawler metadump") \
	X(disable_watch,      'W', "disable-watch",       NULL,                 BOOL,    NULL,     "no",          0,       0,          ACTS,   "disable watch (live logging)") \
	X(auth_file,          'Y', "auth-file",           NULL,                 TEXT,    "file",   "",            0,       0,          ACTS,   "clients must authenticate; the file has \"user:password\" lines or \"user:$sha256$SALT$HEX\"") \
	X(memory_file,        'e', "memory-file",         NULL,                 TEXT,    "file",   "",            0,       0,          ACTS,   "keep item memory in this file; it is warm after a restart") \
	X(tls,                'Z', "enable-ssl",          NULL,                 BOOL,    NULL,     "no",          0,       0,          ACTS,   "enable TLS; needs -o ssl_chain_cert") \
	X(napi_ids,           'N', "napi-ids",            NULL,                 UINT,    "num",    "0",           1,       1 << 16,    ENGINE, "thread selection by NAPI id") \
	X(config,             0,   "config",              NULL,                 TEXT,    "file",   "",            0,       0,          ACTS,   "YAML file of all containers; -p -U -s -m -M -e and the options of one container then stand in it") \
	X(container,          0,   "container",           NULL,                 EACH,    "settings", NULL,        0,       0,          ACTS,   "one more container, as in name=markers,port=11213,memory=64MiB,policy=marker; may be repeated") \
	X(admin,              0,   "admin",               "admin",              TEXT,    "addr",   "",            0,       0,          ACTS,   "HOST:PORT of /metrics /healthz /readyz /status; none without it") \
	X(serve_immediately,  0,   "serve-immediately",   "serve_immediately",  BOOL,    NULL,     "no",          0,       0,          ACTS,   "after a warm restart hand values out at once, not when the router has caught up; they may be old") \
	X(stale_ttl,          0,   "stale-ttl",           "stale_ttl",          SECONDS, "seconds", "0",          0,       2592000,    ACTS,   "keep a deleted value for this long and hand it out as stale only; 0: do not keep it") \
	X(lease_seconds,      0,   "lease-seconds",       "lease_seconds",      SECONDS, "seconds", "10",         1,       3600,       ACTS,   "one lease token per key in this time") \
	X(guard_memory,       0,   "guard-memory",        "guard_memory",       BYTES,   "bytes",  "0",           0,       1ull << 40, ACTS,   "memory for leases, hold-offs, deletes and markers; when it is full more is refused, never less; 0: 1/64 of the memory, at least 1m") \
	X(job_dir,            0,   "job-dir",             "job_dir",            TEXT,    "dir",    "",            0,       0,          ACTS,   "folder for the files of the commands backup and restore; without it there are none of these, and no clone: who reaches a port may read and fill its container by them") \
	X(max_ttl,            0,   "max-ttl",             "max_ttl",            SECONDS, "seconds", "0",          0,       315360000,  ACTS,   "an item lives for this long at most; 0: as long as it says") \
	X(extended,           'o', "extended",            NULL,                 EACH,    "options", NULL,         0,       0,          ACTS,   "options separated by \",\", each NAME or NAME=VALUE") \
	X(man,                0,   "man",                 NULL,                 SHOW,    NULL,     NULL,          0,       0,          QUIET,  "print the man page and leave") \
	X(config_sample,      0,   "config-sample",       NULL,                 SHOW,    NULL,     NULL,          0,       0,          ACTS,   "print a commented file for --config and leave") \
	X(config_schema,      0,   "config-schema",       NULL,                 SHOW,    NULL,     NULL,          0,       0,          ACTS,   "print the JSON Schema of such a file and leave")

/* Only inside -o. */
#define SETTINGS_EXTENDED(X)                                                                                                            \
	X(maxconns_fast,      0,   NULL,                  "maxconns_fast",      BOOL,    NULL,     "yes",         0,       0,          ACTS,   "close a new connection at once when there are too many; no_maxconns_fast: let it wait") \
	X(idle_timeout,       0,   NULL,                  "idle_timeout",       SECONDS, "seconds", "0",          0,       31536000,   ACTS,   "close connections that were silent for this long; 0: never") \
	X(watcher_logbuf_size, 0,  NULL,                  "watcher_logbuf_size", KILOS,  "num",    "256",         1,       1 << 20,    ACTS,   "kilobytes that may wait for one watcher") \
	X(worker_logbuf_size, 0,   NULL,                  "worker_logbuf_size", KILOS,   "num",    "64",          1,       1 << 20,    ACTS,   "kilobytes of log lines that may wait in one worker thread") \
	X(read_buf_mem_limit, 0,   NULL,                  "read_buf_mem_limit", MEGS,    "num",    "0",           0,       1 << 20,    ACTS,   "megabytes of all connections' buffers; 0: no limit") \
	X(ssl_chain_cert,     0,   NULL,                  "ssl_chain_cert",     TEXT,    "file",   "",            0,       0,          ACTS,   "certificate chain, PEM") \
	X(ssl_key,            0,   NULL,                  "ssl_key",            TEXT,    "file",   "",            0,       0,          ACTS,   "private key, where it is not in ssl_chain_cert") \
	X(ssl_keyformat,      0,   NULL,                  "ssl_keyformat",      UINT,    "num",    "1",           1,       2,          ACTS,   "form of the private key: 1: PEM, 2: DER") \
	X(ssl_verify_mode,    0,   NULL,                  "ssl_verify_mode",    UINT,    "num",    "0",           0,       3,          ACTS,   "certificate of the client: 0: not asked for, 1: asked for, 2: required, 3: asked for once") \
	X(ssl_ca_cert,        0,   NULL,                  "ssl_ca_cert",        TEXT,    "file",   "",            0,       0,          ACTS,   "certificates that clients' certificates are checked with, PEM") \
	X(ssl_ciphers,        0,   NULL,                  "ssl_ciphers",        TEXT,    "list",   "",            0,       0,          ACTS,   "ciphers, in OpenSSL's words") \
	X(ssl_min_version,    0,   NULL,                  "ssl_min_version",    UINT,    "num",    "2",           0,       3,          ACTS,   "least version of TLS: 0: 1.0, 1: 1.1, 2: 1.2, 3: 1.3") \
	X(ssl_session_cache,  0,   NULL,                  "ssl_session_cache",  BOOL,    NULL,     "no",          0,       0,          ACTS,   "keep TLS sessions so that clients can resume them") \
	X(ssl_wbuf_size,      0,   NULL,                  "ssl_wbuf_size",      KILOS,   "num",    "16",          1,       1 << 20,    ACTS,   "kilobytes of a connection's buffer for TLS output") \
	X(ssl_kernel_tls,     0,   NULL,                  "ssl_kernel_tls",     BOOL,    NULL,     "no",          0,       0,          ACTS,   "let the kernel do TLS where it can") \
	X(hot_sample,         0,   NULL,                  "hot_sample",         UINT,    "num",    "64",          0,       1 << 20,    ACTS,   "look at one request in this many for hot keys and clients; 0: never") \
	X(latency_sample,     0,   NULL,                  "latency_sample",     UINT,    "num",    "64",          0,       1 << 20,    ACTS,   "time one request in this many; 0: none") \
	X(debug_commands,     0,   NULL,                  "debug_commands",     BOOL,    NULL,     "no",          0,       0,          QUIET,  "take the commands debugtime and debugitem, for test suites") \
	X(hashpower,          0,   NULL,                  "hashpower",          UINT,    "num",    "0",           12,      32,         ENGINE, "first size of the hash table") \
	X(hashexpand,         0,   NULL,                  "hashexpand",         BOOL,    NULL,     "yes",         0,       0,          ENGINE, "let the hash table grow") \
	X(hash_algorithm,     0,   NULL,                  "hash_algorithm",     TEXT,    "name",   "murmur3",     0,       0,          ENGINE, "hash of the table") \
	X(tail_repair_time,   0,   NULL,                  "tail_repair_time",   UINT,    "seconds", "0",          10,      1 << 30,    ENGINE, "release lost items of the LRU after this long") \
	X(slab_reassign,      0,   NULL,                  "slab_reassign",      BOOL,    NULL,     "yes",         0,       0,          ENGINE, "move memory between slab classes") \
	X(slab_automove,      0,   NULL,                  "slab_automove",      OPTUINT, "0|1|2",  "1",           0,       2,          ENGINE, "do it unasked") \
	X(slab_automove_ratio, 0,  NULL,                  "slab_automove_ratio", RATIO,  "num",    "0.8",         1,       100,        ENGINE, "when to do it") \
	X(slab_automove_window, 0, NULL,                  "slab_automove_window", UINT,  "num",    "10",          3,       1800,       ENGINE, "over how long") \
	X(slab_automove_freeratio, 0, NULL,               "slab_automove_freeratio", RATIO, "num", "0.01",        0,       100,        ENGINE, "memory held free") \
	X(slab_sizes,         0,   NULL,                  "slab_sizes",         TEXT,    "sizes",  "",            0,       0,          ENGINE, "sizes of slab classes") \
	X(slab_chunk_max,     0,   NULL,                  "slab_chunk_max",     KILOS,   "num",    "512",         1,       1024,       ENGINE, "largest chunk of a slab") \
	X(chunked_items,      0,   NULL,                  "chunked_items",      BOOL,    NULL,     "yes",         0,       0,          ENGINE, "large items in several chunks") \
	X(lru_crawler,        0,   NULL,                  "lru_crawler",        BOOL,    NULL,     "yes",         0,       0,          ENGINE, "look for expired items in the background") \
	X(lru_crawler_sleep,  0,   NULL,                  "lru_crawler_sleep",  UINT,    "num",    "100",         0,       1000000,    ENGINE, "microseconds between two items") \
	X(lru_crawler_tocrawl, 0,  NULL,                  "lru_crawler_tocrawl", UINT,   "num",    "0",           0,       4294967295, ENGINE, "items per slab class and run") \
	X(lru_maintainer,     0,   NULL,                  "lru_maintainer",     BOOL,    NULL,     "yes",         0,       0,          ENGINE, "segmented LRU and its thread") \
	X(hot_lru_pct,        0,   NULL,                  "hot_lru_pct",        UINT,    "num",    "20",          1,       79,         ENGINE, "share of the hot LRU") \
	X(warm_lru_pct,       0,   NULL,                  "warm_lru_pct",       UINT,    "num",    "40",          1,       79,         ENGINE, "share of the warm LRU") \
	X(hot_max_factor,     0,   NULL,                  "hot_max_factor",     RATIO,   "num",    "0.2",         1,       100000000,  ENGINE, "age that leaves the hot LRU") \
	X(warm_max_factor,    0,   NULL,                  "warm_max_factor",    RATIO,   "num",    "2.0",         1,       100000000,  ENGINE, "age that leaves the warm LRU") \
	X(temporary_ttl,      0,   NULL,                  "temporary_ttl",      UINT,    "num",    "61",          0,       1 << 30,    ENGINE, "TTL below which an item has an LRU of its own") \
	X(track_sizes,        0,   NULL,                  "track_sizes",        BOOL,    NULL,     "no",          0,       0,          ENGINE, "stats sizes") \
	X(inline_ascii_resp,  0,   NULL,                  "inline_ascii_resp",  BOOL,    NULL,     "no",          0,       0,          ENGINE, "replies made ahead") \
	X(modern,             0,   NULL,                  "modern",             BOOL,    NULL,     "yes",         0,       0,          ACTS,   "no_modern: defaults of memcached 1.4, which are no_maxconns_fast and options without effect") \
	X(drop_privileges,    0,   NULL,                  "drop_privileges",    BOOL,    NULL,     "no",          0,       0,          ENGINE, "drop system calls that are not needed") \
	X(relaxed_privileges, 0,   NULL,                  "relaxed_privileges", BOOL,    NULL,     "no",          0,       0,          ENGINE, "for memcached's tests") \
	X(resp_obj_mem_limit, 0,   NULL,                  "resp_obj_mem_limit", UINT,    "num",    "0",           0,       4294967295, ENGINE, "no longer used by memcached either") \
	X(sock_cookie_id,     0,   NULL,                  "sock_cookie_id",     UINT,    "num",    "0",           0,       4294967295, ENGINE, "identity of a socket for firewalls")

/* A key of `stats settings` in memcached's order: U64, I64, YESNO, NOYES (the field is the opposite), ONOFF (the same in
 * other words), TEXT ("NULL" when empty), NAME ("no" when empty), OCTAL, CHAR, RATIO, or WORD: always this word.
 * NOW: from struct settings_now. */
#define SETTINGS_STATS(S)                                                                                                               \
	S("maxbytes",              NOW,      memory)               \
	S("maxconns",              U64,      maxconns)             \
	S("tcpport",               I64,      port)                 \
	S("udpport",               I64,      udp_port)             \
	S("inter",                 TEXT,     listen)               \
	S("verbosity",             NOW,      verbose)              \
	S("oldest",                NOW,      oldest)               \
	S("evictions",             ONOFF,    disable_evictions)    \
	S("domain_socket",         TEXT,     unix_socket)          \
	S("umask",                 OCTAL,    unix_mask)            \
	S("shutdown_command",      YESNO,    shutdown_command)     \
	S("growth_factor",         RATIO,    growth_factor)        \
	S("chunk_size",            U64,      chunk_size)           \
	S("num_threads",           U64,      threads)              \
	S("num_threads_per_udp",   U64,      threads_per_udp)      \
	S("stat_key_prefix",       CHAR,     prefix_delimiter)     \
	S("detail_enabled",        NOWYESNO, detail)               \
	S("reqs_per_event",        U64,      reqs_per_event)       \
	S("cas_enabled",           NOYES,    disable_cas)          \
	S("tcp_backlog",           U64,      backlog)              \
	S("binding_protocol",      PROTOCOL, protocol)             \
	S("auth_enabled_sasl",     WORD,     "no")                 \
	S("auth_enabled_ascii",    NAME,     auth_file)            \
	S("item_size_max",         U64,      item_size_max)        \
	S("maxconns_fast",         YESNO,    maxconns_fast)        \
	S("hashpower_init",        U64,      hashpower)            \
	S("slab_reassign",         YESNO,    slab_reassign)        \
	S("slab_automove",         NOW,      slab_automove)        \
	S("slab_automove_ratio",   RATIO,    slab_automove_ratio)  \
	S("slab_automove_window",  U64,      slab_automove_window) \
	S("slab_chunk_max",        U64,      slab_chunk_max)       \
	S("lru_crawler",           NOWYESNO, lru_crawler)          \
	S("lru_crawler_sleep",     NOW,      lru_crawler_sleep)    \
	S("lru_crawler_tocrawl",   NOW,      lru_crawler_tocrawl)  \
	S("tail_repair_time",      U64,      tail_repair_time)     \
	S("flush_enabled",         NOYES,    disable_flush_all)    \
	S("dump_enabled",          NOYES,    disable_dumping)      \
	S("hash_algorithm",        TEXT,     hash_algorithm)       \
	S("lru_maintainer_thread", YESNO,    lru_maintainer)       \
	S("lru_segmented",         YESNO,    lru_maintainer)       \
	S("hot_lru_pct",           U64,      hot_lru_pct)          \
	S("warm_lru_pct",          U64,      warm_lru_pct)         \
	S("hot_max_factor",        RATIO,    hot_max_factor)       \
	S("warm_max_factor",       RATIO,    warm_max_factor)      \
	S("temp_lru",              YESNO,    temp_lru)             \
	S("temporary_ttl",         U64,      temporary_ttl)        \
	S("idle_timeout",          U64,      idle_timeout)         \
	S("watcher_logbuf_size",   U64,      watcher_logbuf_size)  \
	S("worker_logbuf_size",    U64,      worker_logbuf_size)   \
	S("read_buf_mem_limit",    U64,      read_buf_mem_limit)   \
	S("track_sizes",           YESNO,    track_sizes)          \
	S("inline_ascii_response", WORD,     "no")                 \
	S("drop_privileges",       YESNO,    drop_privileges)      \
	S("ssl_enabled",           YESNO,    tls)                  \
	S("ssl_chain_cert",        TEXT,     ssl_chain_cert)       \
	S("ssl_key",               TEXT,     ssl_key)              \
	S("ssl_verify_mode",       U64,      ssl_verify_mode)      \
	S("ssl_keyformat",         U64,      ssl_keyformat)        \
	S("ssl_ciphers",           TEXT,     ssl_ciphers)          \
	S("ssl_ca_cert",           TEXT,     ssl_ca_cert)          \
	S("ssl_wbuf_size",         U64,      ssl_wbuf_size)        \
	S("ssl_session_cache",     YESNO,    ssl_session_cache)    \
	S("ssl_kernel_tls",        YESNO,    ssl_kernel_tls)       \
	S("ssl_min_version",       TLSMIN,   ssl_min_version)      \
	S("num_napi_ids",          U64,      napi_ids)             \
	S("memory_file",           TEXT,     memory_file)          \
	S("client_flags_size",     WORD,     "4")
/* clang-format on */

#define SETTINGS_C_BOOL(field)	   bool field;
#define SETTINGS_C_COUNT(field)	   uint64_t field;
#define SETTINGS_C_UINT(field)	   uint64_t field;
#define SETTINGS_C_OPTUINT(field)  uint64_t field;
#define SETTINGS_C_PORT(field)	   int64_t field;
#define SETTINGS_C_OCTAL(field)	   uint64_t field;
#define SETTINGS_C_MEGS(field)	   uint64_t field;
#define SETTINGS_C_KILOS(field)	   uint64_t field;
#define SETTINGS_C_BYTES(field)	   uint64_t field;
#define SETTINGS_C_SECONDS(field)  uint64_t field;
#define SETTINGS_C_RATIO(field)	   double field;
#define SETTINGS_C_TEXT(field)	   char *field;
#define SETTINGS_C_LIST(field)	   char *field;
#define SETTINGS_C_CHAR(field)	   char field;
#define SETTINGS_C_PROTOCOL(field) enum listen_protocol field;
#define SETTINGS_C_EACH(field)
#define SETTINGS_C_SHOW(field)
#define SETTINGS_C_REFUSED(field)
#define SETTINGS_FIELD(field, letter, name, sub, kind, arg, def, min, max, use, help) SETTINGS_C_##kind(field)

enum settings_action {
	SETTINGS_RUN,  /* serve; the text is notices for standard error, one per line, maybe none */
	SETTINGS_SHOW, /* print the text to standard output and leave with 0 */
};

struct settings {
	/* Memory, counts and times are in bytes, numbers and seconds.  Text is never NULL. */
	SETTINGS_FLAGS(SETTINGS_FIELD)
	SETTINGS_EXTENDED(SETTINGS_FIELD)

	/* Made of the above. */
	bool detail_enabled;	  /* -D was there: `stats detail` is on from the start */
	bool temp_lru;		  /* temporary_ttl was there */
	uint64_t threads_per_udp; /* memcached's number, for `stats settings` */

	enum settings_action action;
	struct container_list containers; /* at least one; with their listeners */
};

/*
 * Reads the command line and, where it names one, the file of containers; checks all of it.  On ERR_OK *s is
 * filled, s->action says what to do with what was appended to `text`, and the caller calls settings_fini().
 * On error (ERR_USAGE, ERR_CONFIG, or why a file cannot be read) *s needs no fini, and *why is one sentence
 * for standard error. Strings are copied: argv may change afterwards.
 */
err_t settings_parse(struct settings *s, int argc, char *const argv[], struct buf *text,
		     struct err_detail *why) MUST_CHECK;

/* Frees the strings and containers. */
void settings_fini(struct settings *s);

/*
 * memcached's rule for root: ERR_USAGE "must add '-u root' to start as root" where `root` (the real or
 * effective user id is 0) and no -u is there.  For main, before it opens anything.
 */
err_t settings_check_user(const struct settings *s, bool root, struct err_detail *why) MUST_CHECK;

/*
 * The rule for addresses that others can reach; settings_parse() has asked it.  ERR_USAGE with a sentence
 * that names the first address that is neither local, nor behind TLS or passwords, nor allowed.  UDP has
 * neither TLS nor passwords.
 */
err_t settings_check_open(const struct settings *s, struct err_detail *why) MUST_CHECK;

/* What commands change while the server runs; filled by who owns that. */
struct settings_now {
	uint64_t memory; /* cache_memlimit */
	uint64_t verbose;
	uint64_t oldest; /* flush_all: memcached's oldest_live */
	bool detail;	 /* stats detail on|off */
	uint64_t slab_automove;
	bool lru_crawler;
	uint64_t lru_crawler_sleep, lru_crawler_tocrawl;
};

/* As they are before any such command. */
struct settings_now settings_now(const struct settings *s);

/* `stats settings`: calls `put` for each key in memcached's order; the texts are valid during the call.  No
 * value has a space in it. */
typedef void settings_stat_fn(void *arg, struct span key, struct span value);
void settings_stats(const struct settings *s, const struct settings_now *now, settings_stat_fn *put,
		    void *arg);

/* Text for people; all of it can be had from the command line too. */
void settings_help(struct buf *out);
void settings_man(struct buf *out);

#endif
