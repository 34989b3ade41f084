#include "lib/broker/kafka_watch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/broker/kafka_witness.h"
#include "lib/core/mem.h"
#include "lib/core/thread.h"

enum { ASK_MS = 1000, PAUSE_MS = 1000, RETRY_MS = 100, GONE_ROUNDS = 3 };

struct kafka_watch {
	struct kafka *k;
	const struct log_options *opt;
	char *source; /* NULL: the partition was given */
	int event_fd;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t changed;
	struct kafka_view view;
	struct err_detail why; /* of the last round */
	uint64_t begun;	       /* rounds */
	unsigned missing;      /* rounds in a row that did not find it */
	bool asked, stop;
	struct broker_witness doubted; /* known: to be looked at */
};

static void
deadline(struct timespec *ts, unsigned ms)
{
	clock_gettime(CLOCK_MONOTONIC, ts);
	ts->tv_sec += ms / 1000;
	ts->tv_nsec += (long)(ms % 1000) * 1000000;
	if (ts->tv_nsec >= 1000000000) {
		ts->tv_sec++;
		ts->tv_nsec -= 1000000000;
	}
}

static err_t
ask(struct kafka_watch *w, struct kafka_view *v, const struct broker_witness *doubted, struct err_detail *why)
{
	struct kafka_topic topic;
	err_t err = ERR_OK;

	if (v->round == 0) {
		err = kafka_find_topic(w->k, ASK_MS, &topic, why);
		if (err != ERR_OK)
			return err;
		if (w->source != NULL)
			v->partition = kafka_partition(w->source, topic.npartitions);
		if (v->partition >= topic.npartitions)
			return err_set(why, ERR_NOT_FOUND,
				       "topic %s has %u partitions; there is no partition %u", w->opt->topic,
				       topic.npartitions, v->partition);
		kafka_log_id(topic.cluster, w->opt->topic, v->partition, v->log_id);
	}
	if (doubted->known)
		err = kafka_witness_same(w->k, v->partition, doubted, ASK_MS, &v->same, why);
	return err == ERR_OK ? kafka_bounds(w->k, v->partition, ASK_MS, &v->first, &v->end, why) : err;
}

static void
take_answer(struct kafka_watch *w, const struct kafka_view *v, err_t err, const struct err_detail *why,
	    bool was_asked)
{
	static const uint64_t one = 1;

	w->why = *why;
	if (err == ERR_OK) {
		w->view = *v;
		w->view.round = w->begun;
		w->view.gone = false;
		w->missing = 0;
		kafka_untroubled(w->k);
	} else if (err == ERR_NOT_FOUND) {
		/* A broker that has just started does not know its topics yet. */
		w->missing++;
		w->view.gone = w->missing >= GONE_ROUNDS;
	}
	pthread_cond_broadcast(&w->changed);
	if ((was_asked || w->view.gone) && write(w->event_fd, &one, sizeof(one)) < 0)
		return; /* it is readable already */
}

static void *
watch_main(void *arg)
{
	struct kafka_watch *w = arg;

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		struct kafka_view v = w->view;
		struct err_detail why = {0};
		struct timespec until;
		struct broker_witness doubted = w->doubted;
		bool was_asked = w->asked;
		err_t err;

		w->asked = w->doubted.known = false;
		w->begun++;
		pthread_mutex_unlock(&w->lock);
		err = ask(w, &v, &doubted, &why);
		pthread_mutex_lock(&w->lock);
		take_answer(w, &v, err, &why, was_asked);
		/* The question stays until it has its answer. */
		if (err != ERR_OK && doubted.known && !w->doubted.known)
			w->doubted = doubted;
		deadline(&until, err == ERR_OK ? PAUSE_MS : RETRY_MS);
		while (!w->stop && !w->asked && pthread_cond_timedwait(&w->changed, &w->lock, &until) == 0)
			continue;
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static err_t
await_first(struct kafka_watch *w, struct err_detail *why)
{
	struct timespec until;
	err_t err = ERR_OK;
	int rc = 0;

	deadline(&until, KAFKA_WATCH_OPEN_MS);
	pthread_mutex_lock(&w->lock);
	while (rc == 0 && w->view.round == 0 && w->why.code != ERR_NOT_FOUND)
		rc = pthread_cond_timedwait(&w->changed, &w->lock, &until);
	if (w->view.round == 0) {
		err = w->why.code != ERR_OK ? w->why.code : ERR_BUSY;
		if (w->why.code != ERR_OK)
			err_set(why, err, "%s", err_why(&w->why));
		else
			err_set(why, err, "topic %s: no broker has answered yet; it is tried again",
				w->opt->topic);
	}
	pthread_mutex_unlock(&w->lock);
	return err;
}

err_t
kafka_watch_open(struct kafka_watch **out, const struct log_options *opt, uint32_t partition,
		 const char *source, int event_fd, struct log *log, struct err_detail *why)
{
	struct kafka_watch *w = MEM_NEW(struct kafka_watch);
	pthread_condattr_t attr;
	err_t err;

	*out = NULL;
	w->opt = opt;
	w->event_fd = event_fd;
	w->source = mem_strdup(source);
	w->view.partition = partition;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->changed, &attr);
	pthread_condattr_destroy(&attr);
	err = kafka_open(&w->k, KAFKA_LOOKER, opt, NULL, NULL, w, log, why);
	if (err == ERR_OK)
		err = thread_start(&w->thread, "kafka-watch", watch_main, w, why);
	w->started = err == ERR_OK;
	if (err == ERR_OK)
		err = await_first(w, why);
	if (err == ERR_OK)
		*out = w;
	else
		kafka_watch_close(&w);
	return err;
}

void
kafka_watch_close(struct kafka_watch **wp)
{
	struct kafka_watch *w = *wp;

	if (w == NULL)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
	if (w->started)
		pthread_join(w->thread, NULL);
	kafka_close(&w->k);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	free(w->source);
	free(w);
	*wp = NULL;
}

void
kafka_watch_view(struct kafka_watch *w, struct kafka_view *out)
{
	pthread_mutex_lock(&w->lock);
	*out = w->view;
	pthread_mutex_unlock(&w->lock);
}

static uint64_t
ask_anew(struct kafka_watch *w, const struct broker_witness *witness)
{
	uint64_t round;

	pthread_mutex_lock(&w->lock);
	if (witness != NULL)
		w->doubted = *witness;
	w->asked = true;
	round = w->begun + 1;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
	return round;
}

uint64_t
kafka_watch_ask(struct kafka_watch *w)
{
	return ask_anew(w, NULL);
}

uint64_t
kafka_watch_doubt(struct kafka_watch *w, const struct broker_witness *witness)
{
	return ask_anew(w, witness);
}
