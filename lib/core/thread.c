#include "lib/core/thread.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static err_t
start(pthread_t *id, const pthread_attr_t *attr, thread_fn *fn, void *arg, struct err_detail *why)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(id, attr, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return err_set(why, ERR_SYS, "cannot start a thread: %s; raise the limit of processes",
			       strerror(rc));
	return ERR_OK;
}

err_t
thread_start(pthread_t *id, const char *name, thread_fn *fn, void *arg, struct err_detail *why)
{
	char text[THREAD_NAME_MAX + 1];
	err_t err = start(id, NULL, fn, arg, why);

	if (err == ERR_OK) {
		snprintf(text, sizeof(text), "%s", name);
		pthread_setname_np(*id, text);
	}
	return err;
}

err_t
thread_start_detached(thread_fn *fn, void *arg, struct err_detail *why)
{
	pthread_attr_t attr;
	pthread_t id;
	err_t err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = start(&id, &attr, fn, arg, why);
	pthread_attr_destroy(&attr);
	return err;
}
