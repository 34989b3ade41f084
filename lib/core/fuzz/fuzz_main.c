/*
 * fuzz_main - replays a corpus through a fuzz target without a fuzzer.
 *
 *     build/fuzz/markers/fuzz/fuzz_comment markers/fuzz/corpus/comment
 *
 * Each argument is a file or a folder of files.  `make check` runs every target over its corpus this way, on
 * any compiler; `make fuzz` links the same target against libFuzzer.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replayed;

static int
replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t size = 0;
	size_t n;

	if (f == NULL) {
		perror(path);
		return 1;
	}
	do {
		data = realloc(data, size + 65536);
		if (data == NULL)
			abort();
		n = fread(data + size, 1, 65536, f);
		size += n;
	} while (n > 0);
	fclose(f);
	/* An exact-size copy lets the address sanitizer see one byte too far. */
	uint8_t *exact = malloc(size > 0 ? size : 1);
	if (exact == NULL)
		abort();
	memcpy(exact, data, size);
	free(data);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	replayed++;
	return 0;
}

static int
replay(const char *path)
{
	struct stat st;
	struct dirent *e;
	char child[4096];
	int bad = 0;
	DIR *d;

	if (stat(path, &st) != 0) {
		perror(path);
		return 1;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path);
	d = opendir(path);
	if (d == NULL) {
		perror(path);
		return 1;
	}
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(child, sizeof(child), "%s/%s", path, e->d_name);
		bad |= replay(child);
	}
	closedir(d);
	return bad;
}

int
main(int argc, char **argv)
{
	int bad = 0;

	for (int i = 1; i < argc; i++)
		bad |= replay(argv[i]);
	if (replayed == 0) {
		fprintf(stderr, "%s: no corpus files: name a file or a folder\n", argv[0]);
		return 1;
	}
	printf("replayed %u inputs\n", replayed);
	return bad;
}
