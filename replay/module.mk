REPLAY_SRC := replay/ages.c replay/audit.c replay/cache.c replay/follow.c replay/job.c replay/report.c
REPLAY_A   := $(BUILD)/lib/replay.a
LIBS       += $(REPLAY_A)

$(REPLAY_A): $(call objs,$(REPLAY_SRC))

# Users before used.
REPLAY_NEEDS := net broker wire conf core
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
