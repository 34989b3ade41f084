ROUTER_SRC := $(filter-out router/main.c,$(sort $(wildcard router/*.c)))
ROUTER_A   := $(BUILD)/lib/router.a
LIBS       += $(ROUTER_A)

$(ROUTER_A): $(call objs,$(ROUTER_SRC))
$(BUILD)/crash/router.a: $(call tobjs,$(ROUTER_SRC))

# Users before used.
ROUTER_NEEDS := rings deliver route net broker wire conf core
ROUTER_LIBS  := $(NET_LIBS) $(CONF_LIBS) -lsqlite3 $(KAFKA_LIBS) -lprotobuf-c -lxxhash -lcrypto -lm

ROUTER_BIN := $(BUILD)/bin/squeal-router
PROGRAMS    += $(ROUTER_BIN)
INSTALL_BIN += $(ROUTER_BIN)
$(ROUTER_BIN): $(call objs,router/main.c) $(ROUTER_A) $(patsubst %,$(BUILD)/lib/%.a,$(ROUTER_NEEDS))
$(ROUTER_BIN): PROGRAM_LIBS := $(ROUTER_LIBS)

ROUTER_CRASH_BIN := $(BUILD)/crash-bin/squeal-router
CRASH_PROGRAMS   += $(ROUTER_CRASH_BIN)
$(ROUTER_CRASH_BIN): $(call tobjs,router/main.c) $(BUILD)/crash/router.a $(patsubst %,$(BUILD)/crash/%.a,$(ROUTER_NEEDS))
$(ROUTER_CRASH_BIN): PROGRAM_LIBS := $(ROUTER_LIBS)

ROUTER_TESTS := $(patsubst router/test/%.c,$(BUILD)/test/router/test/%,$(wildcard router/test/test_*.c))
TESTS        += $(ROUTER_TESTS)
$(ROUTER_TESTS): $(ROUTER_A) $(patsubst %,$(BUILD)/lib/%.a,$(ROUTER_NEEDS))
$(ROUTER_TESTS): TEST_LIBS := $(ROUTER_LIBS)

# Fills a log for measuring; not part of any check.
$(BUILD)/bin/fill_log: $(BUILD)/obj/router/bench/fill_log.o $(patsubst %,$(BUILD)/lib/%.a,broker wire core)
$(BUILD)/bin/fill_log: PROGRAM_LIBS := -lsqlite3 $(KAFKA_LIBS) -lprotobuf-c -lxxhash
