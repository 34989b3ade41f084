REPLAY_SRC := replay/ages.c replay/audit.c replay/cache.c replay/follow.c replay/job.c replay/partitions.c replay/report.c
REPLAY_A   := $(BUILD)/lib/replay.a
LIBS       += $(REPLAY_A)

$(REPLAY_A): $(call objs,$(REPLAY_SRC))

# Users before used.
REPLAY_NEEDS := deliver route net broker wire conf core
REPLAY_LIBS  := $(NET_LIBS) $(CONF_LIBS) -lsqlite3 $(KAFKA_LIBS) -lprotobuf-c -lxxhash -lcrypto -lm

AUDIT_BIN   := $(BUILD)/bin/squeal-audit
PROGRAMS    += $(AUDIT_BIN)
INSTALL_BIN += $(AUDIT_BIN)
$(AUDIT_BIN): $(call objs,replay/main.c) $(REPLAY_A) $(patsubst %,$(BUILD)/lib/%.a,$(REPLAY_NEEDS))
$(AUDIT_BIN): PROGRAM_LIBS := $(REPLAY_LIBS)

REPLAY_TESTS := $(patsubst replay/test/%.c,$(BUILD)/test/replay/test/%,$(wildcard replay/test/test_*.c))
TESTS        += $(REPLAY_TESTS)
$(REPLAY_TESTS): $(REPLAY_A) $(patsubst %,$(BUILD)/lib/%.a,$(REPLAY_NEEDS))
$(REPLAY_TESTS): TEST_LIBS := $(REPLAY_LIBS)

# squeal-replay: four rooms, and what it shares with the daemon and the router.
REPLAYER_MAIN  := replay/command/main.c
REPLAYER_ROOMS := replay/tape replay/plan replay/send replay/command
REPLAYER_SRC   := $(filter-out $(REPLAYER_MAIN),$(wildcard $(addsuffix /*.c,$(REPLAYER_ROOMS))))
REPLAYER_A     := $(BUILD)/lib/replayer.a
LIBS           += $(REPLAYER_A)

$(REPLAYER_A): $(call objs,$(REPLAYER_SRC))

# Users before used.
REPLAYER_NEEDS := squeal-daemon binlog markers ask rings deliver route net broker wire conf core
REPLAYER_LIBS   = $(BINLOG_LIBS) $(NET_LIBS) $(CONF_LIBS) -lsqlite3 $(KAFKA_LIBS) -lprotobuf-c -lxxhash -lcrypto -lm

REPLAYER_BIN := $(BUILD)/bin/squeal-replay
PROGRAMS     += $(REPLAYER_BIN)
INSTALL_BIN  += $(REPLAYER_BIN)
$(REPLAYER_BIN): $(call objs,$(REPLAYER_MAIN)) $(REPLAYER_A) $(patsubst %,$(BUILD)/lib/%.a,$(REPLAYER_NEEDS))
$(REPLAYER_BIN): PROGRAM_LIBS = $(REPLAYER_LIBS)

REPLAYER_TESTS := $(patsubst %.c,$(BUILD)/test/%,$(wildcard $(addsuffix /test/test_*.c,$(REPLAYER_ROOMS))))
TESTS          += $(REPLAYER_TESTS)
$(REPLAYER_TESTS): $(REPLAYER_A) $(patsubst %,$(BUILD)/lib/%.a,$(REPLAYER_NEEDS))
$(REPLAYER_TESTS): TEST_LIBS = $(REPLAYER_LIBS)

REPLAYER_FUZZERS := $(patsubst %.c,$(BUILD)/fuzz/%,$(wildcard $(addsuffix /fuzz/fuzz_*.c,$(REPLAYER_ROOMS))))
FUZZERS          += $(REPLAYER_FUZZERS)
$(REPLAYER_FUZZERS): $(REPLAYER_A) $(patsubst %,$(BUILD)/lib/%.a,$(REPLAYER_NEEDS))
$(REPLAYER_FUZZERS): TEST_LIBS = $(REPLAYER_LIBS)
