SQUEAL_SRC  := $(filter-out squeal/main.c,$(wildcard squeal/*.c))
SQUEAL_MAIN := squeal/main.c
SQUEAL_A   := $(BUILD)/lib/squeal-daemon.a
SQUEALD_LIBS := $(BINLOG_LIBS) -lsqlite3 -lprotobuf-c $(CONF_LIBS) $(NET_LIBS) -lxxhash

$(SQUEAL_A): $(call objs,$(SQUEAL_SRC))
$(BUILD)/crash/squeal-daemon.a: $(call tobjs,$(SQUEAL_SRC))

# Users before used.
SQUEAL_DEPS := binlog markers broker wire conf net core

PROGRAMS += $(BUILD)/bin/squeal
$(BUILD)/bin/squeal: $(call objs,$(SQUEAL_MAIN)) $(SQUEAL_A) $(patsubst %,$(BUILD)/lib/%.a,$(SQUEAL_DEPS))
$(BUILD)/bin/squeal: PROGRAM_LIBS = $(SQUEALD_LIBS)

CRASH_PROGRAMS += $(BUILD)/crash-bin/squeal
$(BUILD)/crash-bin/squeal: $(call tobjs,$(SQUEAL_MAIN)) $(BUILD)/crash/squeal-daemon.a \
			   $(patsubst %,$(BUILD)/crash/%.a,$(SQUEAL_DEPS))
$(BUILD)/crash-bin/squeal: PROGRAM_LIBS = $(SQUEALD_LIBS)

INSTALL_BIN += $(BUILD)/bin/squeal

SQUEAL_TESTS := $(patsubst squeal/test/%.c,$(BUILD)/test/squeal/test/%,$(wildcard squeal/test/test_*.c))
TESTS        += $(SQUEAL_TESTS)
$(SQUEAL_TESTS): $(SQUEAL_A) $(patsubst %,$(BUILD)/lib/%.a,$(SQUEAL_DEPS))
$(SQUEAL_TESTS): TEST_LIBS := $(SQUEALD_LIBS)

SQUEAL_FUZZERS := $(patsubst squeal/fuzz/%.c,$(BUILD)/fuzz/squeal/fuzz/%,$(wildcard squeal/fuzz/fuzz_*.c))
FUZZERS        += $(SQUEAL_FUZZERS)
$(SQUEAL_FUZZERS): $(SQUEAL_A) $(patsubst %,$(BUILD)/lib/%.a,$(SQUEAL_DEPS))
$(SQUEAL_FUZZERS): TEST_LIBS := $(SQUEALD_LIBS)
