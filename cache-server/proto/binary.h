/*
 * binary - the packets of memcached's binary protocol.
 *
 *     0  magic 0x80 (request), 0x81 (response)     8  length of extras, key and value together
 *     1  opcode                                   12  opaque: echoed as it is
 *     2  length of the key                        16  CAS
 *     4  length of the extras                     24  extras, key, value
 *     5  data type, ignored
 *     6  status (response)
 *
 * All numbers are big-endian.  A quiet form (opcode + "Q") says nothing when all went well, a quiet get says
 * nothing about a miss; errors are always answered.  There is no SASL: its opcodes are unknown commands.
 *
 * Differences from memcached 1.6.45, all where it loses its place in the stream: what follows the key of a
 * request that has no value is thrown away (stat, touch, gat, unknown commands); a key that is too long is
 * refused before it has arrived.  And verbosity (0x1b), which it has lost, is understood.
 *
 * Source: memcached's docs/protocol-binary.xml and protocol_binary.h; the behaviour of proto_bin.c.
 *
 * Threads: the session's.   Blocks: as session.h.   Clock: the cache's.
 */
#ifndef SQUEAL_CACHE_SERVER_PROTO_BINARY_H
#define SQUEAL_CACHE_SERVER_PROTO_BINARY_H

#include <stdint.h>
#include <string.h>

enum { BINARY_HEADER = 24, BINARY_REQUEST_MAGIC = 0x80, BINARY_RESPONSE_MAGIC = 0x81 };

/* The version that clients are told, as in `stats`. */
#define BINARY_VERSION "1.6.45"

/* clang-format off */
/*        name                opcode  what it does when it is loud; BINARY_LOUD when there is no loud form of it */
#define BINARY_OPCODES(X)                                       \
	X(BINARY_GET,         0x00,   BINARY_GET)               \
	X(BINARY_SET,         0x01,   BINARY_SET)               \
	X(BINARY_ADD,         0x02,   BINARY_ADD)               \
	X(BINARY_REPLACE,     0x03,   BINARY_REPLACE)           \
	X(BINARY_DELETE,      0x04,   BINARY_DELETE)            \
	X(BINARY_INCREMENT,   0x05,   BINARY_INCREMENT)         \
	X(BINARY_DECREMENT,   0x06,   BINARY_DECREMENT)         \
	X(BINARY_QUIT,        0x07,   BINARY_QUIT)              \
	X(BINARY_FLUSH,       0x08,   BINARY_FLUSH)             \
	X(BINARY_GETQ,        0x09,   BINARY_GET)               \
	X(BINARY_NOOP,        0x0a,   BINARY_NOOP)              \
	X(BINARY_VERSION_OP,  0x0b,   BINARY_VERSION_OP)        \
	X(BINARY_GETK,        0x0c,   BINARY_GETK)              \
	X(BINARY_GETKQ,       0x0d,   BINARY_GETK)              \
	X(BINARY_APPEND,      0x0e,   BINARY_APPEND)            \
	X(BINARY_PREPEND,     0x0f,   BINARY_PREPEND)           \
	X(BINARY_STAT,        0x10,   BINARY_STAT)              \
	X(BINARY_SETQ,        0x11,   BINARY_SET)               \
	X(BINARY_ADDQ,        0x12,   BINARY_ADD)               \
	X(BINARY_REPLACEQ,    0x13,   BINARY_REPLACE)           \
	X(BINARY_DELETEQ,     0x14,   BINARY_DELETE)            \
	X(BINARY_INCREMENTQ,  0x15,   BINARY_INCREMENT)         \
	X(BINARY_DECREMENTQ,  0x16,   BINARY_DECREMENT)         \
	X(BINARY_QUITQ,       0x17,   BINARY_QUIT)              \
	X(BINARY_FLUSHQ,      0x18,   BINARY_FLUSH)             \
	X(BINARY_APPENDQ,     0x19,   BINARY_APPEND)            \
	X(BINARY_PREPENDQ,    0x1a,   BINARY_PREPEND)           \
	X(BINARY_VERBOSITY,   0x1b,   BINARY_VERBOSITY)         \
	X(BINARY_TOUCH,       0x1c,   BINARY_TOUCH)             \
	X(BINARY_GAT,         0x1d,   BINARY_GAT)               \
	X(BINARY_GATQ,        0x1e,   BINARY_GAT)               \
	X(BINARY_SASL_LIST,   0x20,   BINARY_SASL_LIST)         \
	X(BINARY_SASL_AUTH,   0x21,   BINARY_SASL_AUTH)         \
	X(BINARY_SASL_STEP,   0x22,   BINARY_SASL_STEP)         \
	X(BINARY_GATK,        0x23,   BINARY_GATK)              \
	X(BINARY_GATKQ,       0x24,   BINARY_GATK)

/*        name                status  text */
#define BINARY_STATUSES(X)                                                              \
	X(BINARY_OK,          0x00,   "")                                               \
	X(BINARY_ENOENT,      0x01,   "Not found")                                      \
	X(BINARY_EEXISTS,     0x02,   "Data exists for key.")                           \
	X(BINARY_E2BIG,       0x03,   "Too large.")                                     \
	X(BINARY_EINVAL,      0x04,   "Invalid arguments")                              \
	X(BINARY_NOT_STORED,  0x05,   "Not stored.")                                    \
	X(BINARY_BADVAL,      0x06,   "Non-numeric server-side value for incr or decr") \
	X(BINARY_AUTH_ERROR,  0x20,   "Auth failure.")                                  \
	X(BINARY_UNKNOWN,     0x81,   "Unknown command")                                \
	X(BINARY_ENOMEM,      0x82,   "Out of memory")
/* clang-format on */

enum binary_opcode {
#define BINARY_ENUM(name, number, x) name = (number),
	BINARY_OPCODES(BINARY_ENUM)
};
enum binary_status {
	BINARY_STATUSES(BINARY_ENUM)
#undef BINARY_ENUM
};

struct binary_header {
	uint8_t magic, opcode, extras_len;
	uint16_t key_len, status; /* status: responses */
	uint32_t body_len;
	uint32_t opaque; /* as it came: not turned */
	uint64_t cas;
};

static inline uint64_t
binary_get_be(const char *p, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v = v << 8 | (unsigned char)p[i];
	return v;
}

static inline char *
binary_put_be(char *to, uint64_t v, unsigned n)
{
	for (unsigned i = n; i > 0; i--) {
		to[i - 1] = (char)(unsigned char)v;
		v >>= 8;
	}
	return to + n;
}

/* The first BINARY_HEADER bytes of a packet. */
void binary_header_read(const char *p, struct binary_header *h);
void binary_header_write(const struct binary_header *h, char *p);

#endif
