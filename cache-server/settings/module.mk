CACHE_SETTINGS_SRC := $(patsubst %,cache-server/settings/%.c,auth_file container listen settings settings_row settings_stats settings_text)
CACHE_SETTINGS_A   := $(BUILD)/lib/cache_settings.a
LIBS               += $(CACHE_SETTINGS_A)

$(CACHE_SETTINGS_A): $(call objs,$(CACHE_SETTINGS_SRC))
$(BUILD)/crash/cache_settings.a: $(call tobjs,$(CACHE_SETTINGS_SRC))

# Users before used; and what a program that links $(CACHE_SETTINGS_A) needs besides.
CACHE_SETTINGS_NEEDS := conf core
CACHE_SETTINGS_LIBS  := $(CONF_LIBS) -lxxhash -lcrypto

# Prints what squeal-cache says for the same command line; `make docs` asks it.
CACHE_SETTINGS_SHOW := $(BUILD)/bin/squeal-cache-settings
PROGRAMS            += $(CACHE_SETTINGS_SHOW)
$(CACHE_SETTINGS_SHOW): $(call objs,cache-server/settings/show.c) $(CACHE_SETTINGS_A) $(patsubst %,$(BUILD)/lib/%.a,$(CACHE_SETTINGS_NEEDS))
$(CACHE_SETTINGS_SHOW): PROGRAM_LIBS := $(CACHE_SETTINGS_LIBS)

CACHE_SETTINGS_TESTS := $(patsubst %.c,$(BUILD)/test/%,$(wildcard cache-server/settings/test/test_*.c))
TESTS                += $(CACHE_SETTINGS_TESTS)
CACHE_SETTINGS_FUZZERS := $(patsubst %.c,$(BUILD)/fuzz/%,$(wildcard cache-server/settings/fuzz/fuzz_*.c))
FUZZERS                += $(CACHE_SETTINGS_FUZZERS)
$(CACHE_SETTINGS_TESTS) $(CACHE_SETTINGS_FUZZERS): $(CACHE_SETTINGS_A) $(patsubst %,$(BUILD)/lib/%.a,$(CACHE_SETTINGS_NEEDS))
$(CACHE_SETTINGS_TESTS) $(CACHE_SETTINGS_FUZZERS): TEST_LIBS := $(CACHE_SETTINGS_LIBS)
