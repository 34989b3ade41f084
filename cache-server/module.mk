CACHE_MAIN  := cache-server/serve/main.c
CACHE_ROOMS := store cache proto sight settings report serve
CACHE_A     := $(BUILD)/lib/squeal-cache.a
CACHE_DEPS  := conf net core
CACHE_LIBS  := $(CONF_LIBS) $(NET_LIBS) -lssl -lcrypto -lcrypt -lxxhash -lm

# Every room's sources are part of one archive, which its tests and fuzz targets link.
CACHE_SRC     := $(filter-out $(CACHE_MAIN),$(wildcard $(CACHE_ROOMS:%=cache-server/%/*.c)))
CACHE_TESTS   := $(patsubst %.c,$(BUILD)/test/%,$(wildcard $(CACHE_ROOMS:%=cache-server/%/test/test_*.c)))
CACHE_FUZZERS := $(patsubst %.c,$(BUILD)/fuzz/%,$(wildcard $(CACHE_ROOMS:%=cache-server/%/fuzz/fuzz_*.c)))

$(CACHE_A): $(call objs,$(CACHE_SRC))
$(BUILD)/crash/squeal-cache.a: $(call tobjs,$(CACHE_SRC))

TESTS   += $(CACHE_TESTS)
FUZZERS += $(CACHE_FUZZERS)
$(CACHE_TESTS) $(CACHE_FUZZERS): $(CACHE_A) $(patsubst %,$(BUILD)/lib/%.a,$(CACHE_DEPS))
$(CACHE_TESTS) $(CACHE_FUZZERS): TEST_LIBS := $(CACHE_LIBS)

ifneq ($(wildcard $(CACHE_MAIN)),)
CACHE_BIN   := $(BUILD)/bin/squeal-cache
PROGRAMS    += $(CACHE_BIN)
INSTALL_BIN += $(CACHE_BIN)
$(CACHE_BIN): $(call objs,$(CACHE_MAIN)) $(CACHE_A) $(patsubst %,$(BUILD)/lib/%.a,$(CACHE_DEPS))
$(CACHE_BIN): PROGRAM_LIBS := $(CACHE_LIBS)

CACHE_CRASH_BIN := $(BUILD)/crash-bin/squeal-cache
CRASH_PROGRAMS  += $(CACHE_CRASH_BIN)
$(CACHE_CRASH_BIN): $(call tobjs,$(CACHE_MAIN)) $(BUILD)/crash/squeal-cache.a $(patsubst %,$(BUILD)/crash/%.a,$(CACHE_DEPS))
$(CACHE_CRASH_BIN): PROGRAM_LIBS := $(CACHE_LIBS)
endif

# Says what squeal-cache would say about a command line, without a server; `make docs` asks it.
CACHE_SHOW_BIN := $(BUILD)/bin/squeal-cache-settings
PROGRAMS       += $(CACHE_SHOW_BIN)
$(CACHE_SHOW_BIN): $(call objs,cache-server/settings/show/show.c) $(CACHE_A) $(patsubst %,$(BUILD)/lib/%.a,$(CACHE_DEPS))
$(CACHE_SHOW_BIN): PROGRAM_LIBS := $(CACHE_LIBS)

# What a session costs without its socket.
$(BUILD)/bin/bench_text: $(call objs,cache-server/proto/bench/bench_text.c) $(CACHE_A) $(patsubst %,$(BUILD)/lib/%.a,$(CACHE_DEPS))
$(BUILD)/bin/bench_text: PROGRAM_LIBS := $(CACHE_LIBS)
