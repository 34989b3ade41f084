/*
 * broker_ops - what a kind of log implements behind broker.h.
 *
 * Private to lib/broker.  Each kind's own struct begins with the one here; broker.c calls through it, and
 * each function promises what its namesake in broker.h does.  Those that may be NULL do nothing.
 */
#ifndef SQUEAL_LIB_BROKER_BROKER_OPS_H
#define SQUEAL_LIB_BROKER_BROKER_OPS_H

#include "lib/broker/broker.h"
#include "lib/broker/cursor.h"

struct broker_writer_ops {
	void (*close)(struct broker_writer *w);
	void (*retain)(struct broker_writer *w, uint64_t retention_s, uint64_t max_size); /* may be NULL */
	err_t (*append)(struct broker_writer *w, const struct span *records, size_t n, struct span checkpoint,
			const struct broker_note *notes, size_t nnotes, uint64_t *first,
			struct err_detail *why);
	err_t (*note_read)(struct broker_writer *w, struct span name, uint32_t part, struct buf *out,
			   bool *found, struct err_detail *why);
	err_t (*note_names)(struct broker_writer *w, broker_note_fn *fn, void *arg, struct err_detail *why);
	err_t (*checkpoint)(struct broker_writer *w, struct buf *out, struct err_detail *why);
	err_t (*trim)(struct broker_writer *w, size_t max_records, size_t *removed,
		      struct err_detail *why); /* may be NULL */
};

struct broker_writer {
	const struct broker_writer_ops *ops;
};

/* A record that was read from a log, which tells that log from another one at its place (kafka_witness.h). */
struct broker_witness {
	bool known;
	uint64_t offset, hash;
};

struct broker_reader_ops {
	void (*close)(struct broker_reader *r);
	const char *(*log_id)(const struct broker_reader *r);
	err_t (*bounds)(struct broker_reader *r, uint64_t *first, uint64_t *end, struct err_detail *why);
	err_t (*checkpoint)(struct broker_reader *r, const char *source, struct buf *out,
			    struct err_detail *why);
	err_t (*read)(struct broker_reader *r, uint64_t from, size_t max_records, size_t max_bytes,
		      broker_record_fn *fn, void *arg, uint64_t *next, struct err_detail *why);
	uint64_t (*ask)(struct broker_reader *r); /* may be NULL: the bounds are those of now */
	bool (*answered)(struct broker_reader *r, uint64_t asked); /* may be NULL with it */
	int (*fd)(const struct broker_reader *r);
	void (*woken)(struct broker_reader *r);
	/* May be NULL: the log's id tells.  The first record that the reader handed over. */
	struct broker_witness (*witness)(const struct broker_reader *r);
};

struct broker_reader {
	const struct broker_reader_ops *ops;
};

struct cursor_ops {
	void (*close)(struct cursor_store *s);
	err_t (*load)(struct cursor_store *s, struct cursor *c, bool *found, struct err_detail *why);
	err_t (*save)(struct cursor_store *s, const struct cursor *cursors, size_t n, struct err_detail *why);
	err_t (*forget)(struct cursor_store *s, const char *server, struct err_detail *why);
	void (*vouch)(struct cursor_store *s, const struct broker_witness *w); /* may be NULL */
};

struct cursor_store {
	const struct cursor_ops *ops;
};

#endif
