SQUEAL_MAIN := squeal/main.c
SQUEAL_A    := $(BUILD)/lib/squeal-daemon.a
SQUEALD_LIBS := $(BINLOG_LIBS) -lsqlite3 $(KAFKA_LIBS) -lprotobuf-c $(CONF_LIBS) $(NET_LIBS) -lxxhash

# Users before used.
SQUEAL_DEPS := binlog markers broker wire conf net core

# $(eval $(call squeal_room,FOLDER)): its sources are part of the daemon's archive, which its tests link.
define squeal_room
$(SQUEAL_A): $(call objs,$(filter-out $(SQUEAL_MAIN),$(wildcard $(1)/*.c)))
$(BUILD)/crash/squeal-daemon.a: $(call tobjs,$(filter-out $(SQUEAL_MAIN),$(wildcard $(1)/*.c)))

SQUEAL_TESTS := $(patsubst %.c,$(BUILD)/test/%,$(wildcard $(1)/test/test_*.c))
TESTS        += $$(SQUEAL_TESTS)
$$(SQUEAL_TESTS): $(SQUEAL_A) $(patsubst %,$(BUILD)/lib/%.a,$(SQUEAL_DEPS))
$$(SQUEAL_TESTS): TEST_LIBS := $(SQUEALD_LIBS)

SQUEAL_FUZZERS := $(patsubst %.c,$(BUILD)/fuzz/%,$(wildcard $(1)/fuzz/fuzz_*.c))
FUZZERS        += $$(SQUEAL_FUZZERS)
$$(SQUEAL_FUZZERS): $(SQUEAL_A) $(patsubst %,$(BUILD)/lib/%.a,$(SQUEAL_DEPS))
$$(SQUEAL_FUZZERS): TEST_LIBS := $(SQUEALD_LIBS)
endef

$(eval $(call squeal_room,squeal))

PROGRAMS += $(BUILD)/bin/squeal
$(BUILD)/bin/squeal: $(call objs,$(SQUEAL_MAIN)) $(SQUEAL_A) $(patsubst %,$(BUILD)/lib/%.a,$(SQUEAL_DEPS))
$(BUILD)/bin/squeal: PROGRAM_LIBS = $(SQUEALD_LIBS)

CRASH_PROGRAMS += $(BUILD)/crash-bin/squeal
$(BUILD)/crash-bin/squeal: $(call tobjs,$(SQUEAL_MAIN)) $(BUILD)/crash/squeal-daemon.a \
			   $(patsubst %,$(BUILD)/crash/%.a,$(SQUEAL_DEPS))
$(BUILD)/crash-bin/squeal: PROGRAM_LIBS = $(SQUEALD_LIBS)

INSTALL_BIN += $(BUILD)/bin/squeal
